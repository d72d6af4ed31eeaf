"""Limiters of a worker elsewhere: its own, with what services announce passed on, or leave from the coordinator.

Knows the coordinator only by a function that sends messages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rollouts.engine.limits import cancel

if TYPE_CHECKING:
    from rollouts.engine.scopes import Park
    from rollouts.engine.stopping import StopSignal
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage
    from rollouts.typing import Limiter, Outcome, Permit, Stop

Tell = Callable[..., None]
"""Sends a message about one run: what, and the rest of it."""


class OwnLeave:
    """This process's own limiter; a limit that a service announces is told to the other workers."""

    def __init__(self, limiter: Limiter, park: Park, tell: Tell) -> None:
        """Ask `limiter`, whose scope parks at `park`."""
        self._limiter = limiter
        self._park = park
        self._tell = tell

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """As the limiter."""
        permit = self._limiter.acquire(request, stop)
        return None if permit is None else _Own(permit, self._tell)

    def park(self, seconds: float | None) -> None:
        """Another worker was told of a limit."""
        now = time.monotonic()
        self._park.announce(seconds, started=now, now=now)


class _Own:
    __slots__ = ("_permit", "_tell")

    def __init__(self, permit: Permit, tell: Tell) -> None:
        self._permit = permit
        self._tell = tell

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        if outcome.parks and not outcome.is_answer:
            self._tell("park", outcome.retry_after)
        self._permit.settle(outcome, usage)

    def cancel(self) -> None:
        cancel(self._permit)


class AskedLeave:
    """A limiter whose leave comes from the coordinator: one limit for all workers."""

    def __init__(self, tell: Tell) -> None:
        """Ask by `tell`."""
        self._tell = tell
        self._lock = threading.Lock()
        self._count = 0
        self._waiting: dict[int, Any] = {}
        self._answers: dict[int, bool] = {}
        self.asks: dict[str, int] = {}
        """By fingerprint, what the coordinator calls a prompt."""

    def acquire(self, request: SampleRequest, stop: StopSignal) -> Permit | None:
        """Wait for leave; None when stopped."""
        waiter = stop.waiter()
        with self._lock:
            self._count += 1
            number = self._count
            self._waiting[number] = waiter
        self._tell("want", number, self.asks[request.fingerprint])
        while number not in self._answers:
            if waiter.wait(None):
                with self._lock:
                    if number not in self._answers:
                        del self._waiting[number]  # an answer that comes later is given back
                        return None
        return _Asked(self._tell, number) if self._answers.pop(number) else None

    def answered(self, number: int, granted: bool) -> None:
        """The coordinator's answer."""
        with self._lock:
            waiter = self._waiting.pop(number, None)
            if waiter is not None:
                self._answers[number] = granted
        if waiter is not None:
            waiter.wake()
        elif granted:
            self._tell("cancel", number)


class _Asked:
    __slots__ = ("_number", "_tell")

    def __init__(self, tell: Tell, number: int) -> None:
        self._tell = tell
        self._number = number

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        self._tell("settle", self._number, None if outcome.kind == "ok" else outcome, usage)

    def cancel(self) -> None:
        self._tell("cancel", self._number)
