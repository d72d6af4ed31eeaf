"""Tells rollouts that there is an adapter `local`. Knows nothing of weights, servers and requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.typing import AdapterOptions, AdapterSpec

if TYPE_CHECKING:
    from rollouts_local.adapter import LocalAdapter


def make_adapter(options: AdapterOptions) -> LocalAdapter:
    """Make the adapter; starts nothing."""
    from rollouts_local.adapter import LocalAdapter

    return LocalAdapter(options)


@hookimpl
def rollouts_register_adapters() -> Sequence[AdapterSpec]:
    """Offer the adapter `local`, which every model named `local/…` chooses."""
    return [
        AdapterSpec(
            name="local",
            factory=make_adapter,
            description="a small model on this machine, served by llama.cpp on a loopback port",
            key_required=False,
            model_prefixes=("local/",),
        )
    ]
