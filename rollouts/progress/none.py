"""The progress reporter `none`: shows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.typing import ProgressOptions, Spec

if TYPE_CHECKING:
    from rollouts.events import SampleEvent


class Silent:
    """A `Progress` that shows nothing."""

    __slots__ = ()

    def __init__(self, options: ProgressOptions | None = None) -> None:
        """Take nothing from `options`."""

    def start(self, total: int | None, cached: int) -> None:
        """Show nothing."""

    def advance(self, event: SampleEvent) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


@hookimpl
def rollouts_register_progress() -> Sequence[Spec]:
    """Offer `none`."""
    return [Spec(name="none", factory=Silent, description="shows nothing")]
