"""All limits of one call as one limiter: each must agree before a request starts. Knows limiters by Protocol only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.engine.guests import blame
from rollouts.engine.scopes import Park
from rollouts.exceptions import PluginError, RolloutsError
from rollouts.typing import Outcome

if TYPE_CHECKING:
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage
    from rollouts.typing import Clock, Limiter, Permit, Stop

__all__ = ["NOT_SENT", "Limiters", "cancel"]

NOT_SENT = Outcome("empty", message="not sent")
"""What a permit is settled with that was given back and knows no `cancel`."""


def cancel(permit: Permit) -> None:
    """Give back a permit whose request was not sent."""
    give_back = getattr(permit, "cancel", None)
    if give_back is not None:
        give_back()
    else:
        permit.settle(NOT_SENT, None)


class Limiters:
    """A `Limiter` made of others, and of the park that the service itself orders.

    They are asked in the order given; put last the one that counts starts, so that what it grants starts at once.
    """

    __slots__ = ("_clock", "_limiters", "_park")

    def __init__(
        self, limiters: Sequence[Limiter], park: Park, clock: Clock = time.monotonic, *, names: Sequence[str] = ()
    ) -> None:
        """Compose `limiters`; `park` and they read the same `clock`, `names` says whose they are."""
        names = names or [f"the limiter {type(limiter).__name__}" for limiter in limiters]
        self._limiters = tuple(zip(limiters, names, strict=True))
        self._park = park
        self._clock = clock

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """Wait until every limiter agrees and no park is on; None when stopped, and then nothing is kept.

        Raises:
            PluginError: A limiter failed; nothing is kept then either.
        """
        park, clock = self._park, self._clock
        while True:
            if park.until > clock() and not park.wait(stop, clock):
                return None
            permits: list[tuple[Permit, str]] = []
            for limiter, name in self._limiters:
                try:
                    permit = limiter.acquire(request, stop)
                except BaseException as error:
                    _give_back(permits)
                    if isinstance(error, RolloutsError) or not isinstance(error, Exception):
                        raise
                    raise blame(name, "acquire", error) from None
                if permit is None:
                    _give_back(permits)
                    return None
                permits.append((permit, name))
            now = clock()
            if park.until <= now:
                return _Permits(permits, park, clock, now)
            # The service said stop while we waited for leave: what was granted would start late, all at once.
            _give_back(permits)


def _give_back(permits: list[tuple[Permit, str]]) -> None:
    failed: PluginError | None = None
    for permit, name in reversed(permits):
        try:
            cancel(permit)
        except Exception as error:
            failed = blame(name, "cancel", error)
    if failed is not None:
        raise failed


class _Permits:
    __slots__ = ("_clock", "_park", "_permits", "_started")

    def __init__(self, permits: list[tuple[Permit, str]], park: Park, clock: Clock, started: float) -> None:
        self._permits = permits
        self._park = park
        self._clock = clock
        self._started = started

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        if outcome.is_answer:
            self._park.relieve(started=self._started)
        elif outcome.parks:
            self._park.announce(outcome.retry_after, started=self._started, now=self._clock())
        failed: PluginError | None = None
        for permit, name in self._permits:
            try:
                permit.settle(outcome, usage)
            except Exception as error:  # the others are told all the same
                failed = blame(name, "settle", error)
        if failed is not None:
            raise failed

    def cancel(self) -> None:
        _give_back(self._permits)
