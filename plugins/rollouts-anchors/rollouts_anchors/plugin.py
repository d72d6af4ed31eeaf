"""The plugin: offers the command `rollouts anchors`. Imports numpy and matplotlib only when the command runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollouts.hookspecs import hookimpl
from rollouts.typing import Spec


@hookimpl
def rollouts_register_commands() -> Sequence[Spec]:
    """Offer `rollouts anchors`."""
    return [
        Spec(name="anchors", factory=_add, description="which sentences of a thought matter: samples, table, picture")
    ]


def _add(subparsers: Any) -> None:
    from rollouts_anchors.command import add

    add(subparsers)
