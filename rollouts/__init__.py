"""Sample many answers from a language model, keep every one, and resample chains of thought.

    from rollouts import RolloutsClient

    client = RolloutsClient(model="qwen/qwen3-30b-a3b")
    rollouts = client.generate("What is 5*10?", n_samples=50)

Names are resolved when first used, so that importing this package loads no plugin and no HTTP library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts.client import RolloutsClient
    from rollouts.results import Failure, Response, Rollouts, Usage

__version__ = "0.2.0"

__all__ = ["Failure", "Response", "Rollouts", "RolloutsClient", "Usage", "__version__"]

_HOMES = {
    "Failure": "rollouts.results",
    "Response": "rollouts.results",
    "Rollouts": "rollouts.results",
    "RolloutsClient": "rollouts.client",
    "Usage": "rollouts.results",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'rollouts' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
