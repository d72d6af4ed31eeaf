"""The limiter `none`: every request starts at once. Counts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.typing import LimiterOptions, Outcome, Permit, Spec, Stop

if TYPE_CHECKING:
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage


class Unlimited:
    """Grants whatever is asked, unless the run was stopped."""

    __slots__ = ()

    def __init__(self, options: LimiterOptions | None = None) -> None:
        """Take nothing from `options`."""

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """Grant at once; None when stopped."""
        return None if stop.is_set() else _FREE

    def __repr__(self) -> str:
        return "Unlimited()"


class _Free:
    __slots__ = ()

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        """Nothing was taken."""

    def cancel(self) -> None:
        """Nothing was taken."""


_FREE = _Free()


@hookimpl
def rollouts_register_limiters() -> Sequence[Spec]:
    """Offer `none`."""
    return [Spec(name="none", factory=Unlimited, description="no limit but max_concurrency")]
