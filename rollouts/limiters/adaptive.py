"""The default limiter: as many requests at once as the service bears. Knows no clock and no rate.

Additive increase, multiplicative decrease on concurrency (Chiu and Jain 1989, as in TCP): a refusal (429, 529) halves
what the scope may have in flight, answered rounds let it grow back. The state is one for all clients of a scope.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.limiters._waiting import waiter_of
from rollouts.typing import LimiterOptions, Outcome, Permit, Spec, Stop, Waiter

if TYPE_CHECKING:
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage

_log = logging.getLogger("rollouts.limiters")

_REFUSALS = (429, 529)
_PATIENT_ROUNDS = 4
"""Rounds of growth by one before the step doubles with every round."""


class _Window:
    """What one scope may have in flight. Every attribute is guarded by `lock`."""

    __slots__ = ("ceiling", "grown", "in_flight", "limit", "lock", "queue", "round", "step", "successes")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.queue: deque[_Ticket] = deque()
        self.in_flight = 0
        self.ceiling = 1
        """The largest `max_concurrency` of any client so far."""
        self.limit: int | None = None
        """Requests that may be in flight; None while the service bears all."""
        self.round = 0
        """Counts halvings: a refusal of a request from before the last one says nothing new."""
        self.successes = self.grown = 0
        self.step = 1

    def halve(self) -> int:
        before = self.limit if self.limit is not None else max(self.ceiling, self.in_flight)
        self.limit = max(1, before // 2)
        self.round += 1
        self.successes = self.grown = 0
        self.step = 1
        return self.limit

    def grow(self) -> None:
        """Count one answer; after as many as are in flight at once the limit rises by a step."""
        if self.limit is None:
            return
        self.successes += 1
        if self.successes < self.limit:
            return
        self.successes = 0
        self.grown += 1
        if self.grown > _PATIENT_ROUNDS:
            self.step *= 2
        self.limit += self.step
        if self.limit >= self.ceiling:
            self.limit = None

    def admit(self) -> list[Waiter]:
        """Grant what may start now, first come first served; returns whom to wake, once the lock is free."""
        woken: list[Waiter] = []
        if not self.queue:
            return woken
        full: list[_Ticket] = []
        while self.queue and (self.limit is None or self.in_flight < self.limit):
            ticket = self.queue.popleft()
            if ticket.owner.in_flight < ticket.owner.max_concurrency:
                ticket.permit = ticket.owner.grant()
                woken.append(ticket.waiter)
            else:
                full.append(ticket)
        # Those whose own client is full keep their place, and hold up nobody else's.
        self.queue.extendleft(reversed(full))
        return woken


class _Ticket:
    """A place in the queue; `permit` is set by whoever grants it."""

    __slots__ = ("owner", "permit", "waiter")

    def __init__(self, owner: Adaptive, waiter: Waiter) -> None:
        self.owner = owner
        self.waiter = waiter
        self.permit: _Permit | None = None


class Adaptive:
    """A `Limiter` on concurrency: begins at `max_concurrency`, halves on 429 and 529, grows back, never above.

    A burst of refusals halves once: only a refusal of a request that started after the last halving halves again. From
    there each round of answers (as many as may be in flight) adds one, after four rounds two, four, eight.
    """

    __slots__ = ("_window", "in_flight", "label", "max_concurrency")

    def __init__(self, options: LimiterOptions) -> None:
        """Join the scope of `options`, which all its clients share."""
        self.max_concurrency = options.max_concurrency
        self.label = options.scope.label
        self.in_flight = 0
        """Requests of this client under way; guarded by the window's lock."""
        self._window = window = options.scope.shared("rollouts.adaptive", _Window)
        with window.lock:
            if self.max_concurrency > window.ceiling:
                window.ceiling = self.max_concurrency

    @property
    def limit(self) -> int:
        """Requests of the scope that may be in flight now, as far as this client is concerned."""
        limit = self._window.limit
        return self.max_concurrency if limit is None else min(limit, self.max_concurrency)

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """Wait, first come first served, until one more may be in flight; None when stopped."""
        if stop.is_set():
            return None
        window = self._window
        with window.lock:
            # Where there is room, those who still queue wait for their own client: nobody is overtaken.
            if self.in_flight < self.max_concurrency and (window.limit is None or window.in_flight < window.limit):
                return self.grant()
            ticket = _Ticket(self, waiter_of(stop))
            window.queue.append(ticket)
            woken = window.admit()
        _wake(woken)
        try:
            while ticket.permit is None:
                if ticket.waiter.wait(None):
                    self._withdraw(ticket)
                    return None
        except BaseException:
            self._withdraw(ticket)
            raise
        return ticket.permit

    def grant(self) -> _Permit:
        """Count one more in flight; the caller holds the window's lock."""
        window = self._window
        window.in_flight += 1
        self.in_flight += 1
        return _Permit(self, window.round)

    def _withdraw(self, ticket: _Ticket) -> None:
        with self._window.lock:
            if ticket.permit is None:
                self._window.queue.remove(ticket)
        if ticket.permit is not None:
            ticket.permit.cancel()

    def release(self, outcome: Outcome | None, round_: int) -> None:
        """Take one from what is in flight, learn from `outcome` (None: it was never sent), let others in."""
        window = self._window
        halved = None
        with window.lock:
            window.in_flight -= 1
            self.in_flight -= 1
            if outcome is not None and round_ == window.round:
                if outcome.is_answer:
                    window.grow()
                elif outcome.status in _REFUSALS or outcome.parks:
                    halved = window.halve()
            woken = window.admit()
        if halved is not None:
            _log.info(
                "%s refuses (%s): at most %d requests at once from now on",
                self.label,
                outcome and outcome.status,
                halved,
            )
        _wake(woken)

    def __repr__(self) -> str:
        return f"Adaptive(limit={self.limit}, max_concurrency={self.max_concurrency})"


def _wake(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        waiter.wake()


class _Permit:
    __slots__ = ("_limiter", "_round")

    def __init__(self, limiter: Adaptive, round_: int) -> None:
        self._limiter = limiter
        self._round = round_

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        """Free the place and learn from the outcome."""
        self._limiter.release(outcome, self._round)

    def cancel(self) -> None:
        """Free the place."""
        self._limiter.release(None, self._round)


@hookimpl
def rollouts_register_limiters() -> Sequence[Spec]:
    """Offer `adaptive`."""
    return [
        Spec(name="adaptive", factory=Adaptive, description="halves concurrency when the service refuses, grows back")
    ]
