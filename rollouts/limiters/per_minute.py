"""The limits `requests_per_minute` and `tokens_per_minute`. Knows time only by the clock it is given.

The promise: in no window of 60 seconds do more than r requests of a scope start, whoever sends them in this process.
A scope keeps one bucket for each r that somebody uses; every start is charged to all of them, and waits for all that
are in use at that moment (a request under it waits or is in flight).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.limiters._buckets import RequestBucket, StartHistory, TokenWindow
from rollouts.limiters._waiting import waiter_of
from rollouts.typing import Clock, LimiterOptions, Outcome, Permit, Spec, Stop, Waiter

if TYPE_CHECKING:
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage

_GUESS = 1000
"""Completion tokens assumed where neither `max_tokens` nor any answer tells."""

_MOST_BUCKETS = 32
"""Beyond this many different limits in one scope, those that nobody uses are forgotten (the starts are not)."""


class _Rates:
    """The starts of one scope, and every limit on them that this process uses. Guarded by `lock`."""

    __slots__ = ("history", "lock", "mean_completion", "queue", "requests", "tokens")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.queue: deque[_Ticket] = deque()
        self.history = StartHistory()
        self.requests: dict[float, RequestBucket] = {}
        self.tokens: dict[float, TokenWindow] = {}
        self.mean_completion: float | None = None

    def bucket(self, limit: float | None, now: float) -> RequestBucket | None:
        if limit is None:
            return None
        bucket = self.requests.get(limit)
        if bucket is None:
            if len(self.requests) >= _MOST_BUCKETS:
                self.requests = {r: b for r, b in self.requests.items() if b.users}
            bucket = self.requests[limit] = RequestBucket(limit)
            for second, count in self.history.recent(now):
                bucket.charge(min(second + 1.0, now), count)
        return bucket

    def window(self, limit: float | None) -> TokenWindow | None:
        if limit is None:
            return None
        window = self.tokens.get(limit)
        if window is None:
            if len(self.tokens) >= _MOST_BUCKETS:
                self.tokens = {t: w for t, w in self.tokens.items() if w.users}
            window = self.tokens[limit] = TokenWindow(limit)
        return window

    def due(self, tokens: float, now: float) -> float:
        """When a request of that many tokens may start, if none starts before it."""
        due = now
        for bucket in self.requests.values():
            if bucket.users:
                due = max(due, bucket.due())
        for window in self.tokens.values():
            if window.users:
                due = max(due, window.due(tokens, now))
        return due

    def start(self, tokens: float, now: float) -> list[tuple[TokenWindow, list[float]]]:
        """Charge one start to everything; returns the entries that settling corrects."""
        self.history.add(now)
        for bucket in self.requests.values():
            bucket.charge(now)
        return [(window, window.charge(now, tokens)) for window in self.tokens.values()]

    def head(self) -> Waiter | None:
        return self.queue[0].waiter if self.queue else None


class _Ticket:
    __slots__ = ("tokens", "waiter")

    def __init__(self, tokens: float, waiter: Waiter) -> None:
        self.tokens = tokens
        self.waiter = waiter


class PerMinute:
    """A `Limiter` on starts and tokens a minute; with neither it only counts, and keeps others' limits.

    First come, first served in the whole scope. Tokens are reserved as an estimate (the prompt's characters by four,
    and `max_tokens` or the mean completion seen, whichever is less) and corrected by the usage that the service states.
    A request that alone is larger than `tokens_per_minute` starts when nothing else was sent for a minute.
    """

    __slots__ = ("_clock", "_rates", "requests_per_minute", "tokens_per_minute")

    def __init__(self, options: LimiterOptions) -> None:
        """Join the scope of `options`; all its clients must read the same clock."""
        self._clock: Clock = options.clock
        self._rates = options.scope.shared("rollouts.per_minute", _Rates)
        self.requests_per_minute = options.requests_per_minute
        self.tokens_per_minute = options.tokens_per_minute

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """Wait until a start breaks no limit in use; None when stopped."""
        if stop.is_set():
            return None
        rates = self._rates
        with rates.lock:
            now = self._clock()
            bucket, window = rates.bucket(self.requests_per_minute, now), rates.window(self.tokens_per_minute)
            if not rates.requests and not rates.tokens:
                rates.history.add(now)
                return _COUNTED
            for used in (bucket, window):
                if used is not None:
                    used.users += 1
            tokens = _estimate(request, rates.mean_completion) if rates.tokens else 0.0
            if not rates.queue and rates.due(tokens, now) <= now:
                return _Permit(rates, bucket, window, rates.start(tokens, now))
            ticket = _Ticket(tokens, waiter_of(stop))
            rates.queue.append(ticket)
        return self._wait(ticket, bucket, window)

    def _wait(self, ticket: _Ticket, bucket: RequestBucket | None, window: TokenWindow | None) -> Permit | None:
        rates = self._rates
        try:
            while True:
                timeout = None
                with rates.lock:
                    if rates.queue[0] is ticket:
                        now = self._clock()
                        timeout = rates.due(ticket.tokens, now) - now
                        if timeout <= 0:
                            return _Permit(rates, bucket, window, rates.start(ticket.tokens, now))
                if ticket.waiter.wait(timeout):
                    _leave(rates, bucket, window)
                    return None
        except BaseException:
            _leave(rates, bucket, window)
            raise
        finally:
            with rates.lock:
                rates.queue.remove(ticket)
                following = rates.head()
            if following is not None:
                following.wake()

    def __repr__(self) -> str:
        return f"PerMinute(requests_per_minute={self.requests_per_minute}, tokens_per_minute={self.tokens_per_minute})"


def _estimate(request: SampleRequest, mean_completion: float | None) -> float:
    body = request.wire.body
    allowed = body.get("max_completion_tokens", body.get("max_tokens"))
    completion: float = mean_completion if mean_completion is not None else allowed if allowed is not None else _GUESS
    return len(request.canonical) / 4 + (min(completion, allowed) if allowed is not None else completion)


def _leave(rates: _Rates, bucket: RequestBucket | None, window: TokenWindow | None) -> None:
    with rates.lock:
        for used in (bucket, window):
            if used is not None:
                used.users -= 1


class _Permit:
    __slots__ = ("_bucket", "_charges", "_rates", "_window")

    def __init__(
        self,
        rates: _Rates,
        bucket: RequestBucket | None,
        window: TokenWindow | None,
        charges: list[tuple[TokenWindow, list[float]]],
    ) -> None:
        self._rates = rates
        self._bucket = bucket
        self._window = window
        self._charges = charges

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        """Correct the tokens; the start itself stays charged."""
        self._end(_spent(outcome, usage), None if usage is None else usage.completion_tokens)

    def cancel(self) -> None:
        """Give the tokens back. The start stays charged: others may have been timed by it."""
        self._end(0, None)

    def _end(self, tokens: float | None, completion: int | None) -> None:
        rates = self._rates
        _leave(rates, self._bucket, self._window)
        with rates.lock:
            if tokens is not None:
                for window, charge in self._charges:
                    window.correct(charge, tokens)
            if completion is not None:
                mean = rates.mean_completion
                rates.mean_completion = completion if mean is None else mean + (completion - mean) / 16
            # Room may have come (fewer tokens, a limit out of use); the head looks, the others wait for it.
            head = rates.head()
        if head is not None:
            head.wake()


def _spent(outcome: Outcome, usage: Usage | None) -> float | None:
    """Tokens that a request cost in the end; None where nobody knows and the estimate stands."""
    if usage is not None and usage.total_tokens is not None:
        return usage.total_tokens
    return None if outcome.is_answer or outcome.billed else 0


class _Counted:
    __slots__ = ()

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        """Nothing is to be corrected."""

    def cancel(self) -> None:
        """Stay counted."""


_COUNTED = _Counted()


@hookimpl
def rollouts_register_limiters() -> Sequence[Spec]:
    """Offer `per-minute`."""
    return [
        Spec(name="per-minute", factory=PerMinute, description="requests and tokens a minute, for all clients of a key")
    ]
