"""The rules that every limiter keeps.

class TestMine(LimiterContract):
    def make(self, options):
        return Mine(options)
"""

from __future__ import annotations

import pickle
import threading
import time
from itertools import count
from typing import Any

from rollouts.engine.scopes import scope_for
from rollouts.identity import SampleRequest
from rollouts.results import Usage
from rollouts.testing.clock import FakeClock, FakeStop
from rollouts.typing import Conversation, Limiter, LimiterOptions, Outcome, Parts, Permit, WireRequest

__all__ = ["LimiterContract", "limiter_options", "limiter_request"]

OK = Outcome("ok", status=200)
REFUSED = Outcome("retryable", status=429, code="rate_limit_exceeded", parks=True)
BROKEN = Outcome("retryable", status=503)

_numbers = count()
_KEY = "sk-canary-of-the-limiter-contract"


class _Plain:
    def open(self, thought: str) -> str:
        return thought

    def split(self, text: str, prefill: str | None) -> Parts:
        return Parts(None, text, True)


def limiter_request(**body: Any) -> SampleRequest:
    """A small request, as a limiter sees one; `body` adds fields to the wire body."""
    messages = ({"role": "user", "content": "2 + 2?"},)
    url = "http://127.0.0.1:9/v1/chat/completions"
    fields = {"model": "m", "messages": list(messages), **body}
    wire = WireRequest(url, "chat/completions", fields, "seed", Conversation(messages), _Plain())
    return SampleRequest(adapter="test", service="test", model="m", wire=wire)


def limiter_options(
    clock: FakeClock,
    *,
    scope: str | None = None,
    max_concurrency: int = 8,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
) -> LimiterOptions:
    """Options for a limiter under test: a scope of its own, or the one called `scope`."""
    name = scope if scope is not None else f"contract-{next(_numbers)}"
    return LimiterOptions(
        scope_for(f"http://127.0.0.1:9/{name}", _KEY), max_concurrency, requests_per_minute, tokens_per_minute, clock
    )


class LimiterContract:
    """Subclass with `make`; `requests_per_minute` and `max_concurrency` may be set to what suits."""

    max_concurrency = 4
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def make(self, options: LimiterOptions) -> Limiter:
        """The limiter under test."""
        raise NotImplementedError

    def _make(self, clock: FakeClock, scope: str | None = None) -> Limiter:
        return self.make(
            limiter_options(
                clock,
                scope=scope,
                max_concurrency=self.max_concurrency,
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
            )
        )

    def test_fits_the_protocol(self) -> None:
        """`acquire` gives something with `settle`."""
        clock = FakeClock()
        limiter = self._make(clock)
        assert isinstance(limiter, Limiter)
        permit = limiter.acquire(limiter_request(), FakeStop(clock))
        assert isinstance(permit, Permit)
        permit.settle(OK, Usage(total_tokens=10, completion_tokens=5))

    def test_grants_nothing_once_stopped(self) -> None:
        """None, and nothing is kept: a later run is not held up."""
        clock = FakeClock()
        limiter = self._make(clock)
        stopped = FakeStop(clock)
        stopped.set()
        for _ in range(self.max_concurrency + 1):
            assert limiter.acquire(limiter_request(), stopped) is None
        assert limiter.acquire(limiter_request(), FakeStop(clock)) is not None

    def test_any_outcome_can_be_settled(self) -> None:
        """Answers, refusals, errors and unsent requests, with usage and without."""
        clock = FakeClock()
        limiter, stop = self._make(clock), FakeStop(clock)
        outcomes = (OK, REFUSED, BROKEN, Outcome("fatal", status=401), Outcome("empty", message="not sent"))
        for outcome in outcomes:
            for usage in (None, Usage(), Usage(total_tokens=3, completion_tokens=1)):
                permit = limiter.acquire(limiter_request(), stop)
                assert permit is not None
                permit.settle(outcome, usage)

    def test_is_never_frozen_by_refusals(self) -> None:
        """However many requests are refused one after the other, the next may start in its time."""
        clock = FakeClock()
        limiter, stop = self._make(clock), FakeStop(clock)
        for _ in range(100):
            permit = limiter.acquire(limiter_request(), stop)
            assert permit is not None
            permit.settle(REFUSED, None)
        permit = limiter.acquire(limiter_request(), stop)
        assert permit is not None
        permit.settle(OK, None)

    def test_many_threads_all_get_their_turn(self) -> None:
        """No wake-up is lost between threads that acquire and settle."""
        clock = FakeClock()
        limiter, stop = self._make(clock), FakeStop(clock)
        request = limiter_request()
        done: list[int] = []

        def work(number: int) -> None:
            for i in range(20):
                permit = limiter.acquire(request, stop)
                assert permit is not None
                permit.settle(REFUSED if (i + number) % 7 == 0 else OK, None)
            done.append(number)

        _run([threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)])
        assert sorted(done) == list(range(8))

    def test_a_stop_ends_every_wait(self) -> None:
        """Threads that wait get None as soon as the run is stopped, without time passing."""
        clock = FakeClock(moves_itself=False)
        limiter, stop = self._make(clock), FakeStop(clock)
        request = limiter_request()

        def work() -> None:
            for _ in range(100):
                if limiter.acquire(request, stop) is None:
                    return

        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        stop.set()
        _join(threads)

    def test_never_sleeps(self, monkeypatch: Any) -> None:
        """It waits on the stop, in the time of the clock that it was given."""

        def refuse(seconds: float) -> None:
            raise AssertionError(f"slept {seconds} s: wait on `stop` instead")

        monkeypatch.setattr(time, "sleep", refuse)
        clock = FakeClock()
        limiter, stop = self._make(clock), FakeStop(clock)
        for _ in range(20):
            permit = limiter.acquire(limiter_request(), stop)
            assert permit is not None
            permit.settle(OK, None)

    def test_shows_no_key(self) -> None:
        """Neither in its repr nor in a pickle."""
        limiter = self._make(FakeClock())
        assert _KEY not in repr(limiter) + str(limiter)
        try:
            pickled = pickle.dumps(limiter)
        except (TypeError, AttributeError, pickle.PicklingError):
            return
        assert _KEY.encode() not in pickled


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    _join(threads)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs in acquire"
