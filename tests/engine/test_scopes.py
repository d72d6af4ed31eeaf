"""Scopes: who shares limits, what is known of the key, and the park that a service orders."""

import gc
import pickle
import random

import pytest

from rollouts.engine.limits import Limiters
from rollouts.engine.scopes import Park, park_of, scope_for
from rollouts.limiters.adaptive import Adaptive
from rollouts.limiters.per_minute import PerMinute
from rollouts.limiters.unlimited import Unlimited
from rollouts.testing.clock import FakeClock, FakeStop
from rollouts.testing.contracts.limiter import limiter_options, limiter_request
from rollouts.typing import Outcome

OK = Outcome("ok", status=200)
REQUEST = limiter_request()


def refused(retry_after=None):
    return Outcome("retryable", status=429, parks=True, retry_after=retry_after)


def test_the_same_url_and_key_are_one_scope_and_any_other_is_not():
    scope = scope_for("https://api.example/v1", "key")
    assert scope_for("https://api.example/v1", "key") is scope
    assert scope_for("HTTPS://user:pw@API.example:443/v1/?q=1", "key") is scope
    assert scope_for("https://api.example/v1", "other") is not scope
    assert scope_for("https://api.example/v2", "key") is not scope
    assert scope_for("https://api.example:8443/v1", "key") is not scope
    assert scope_for("https://api.example/v1", None) is not scope


def test_shared_objects_are_made_once():
    scope = scope_for("http://127.0.0.1:9/once", "key")
    first = scope.shared("thing", list)
    assert scope_for("http://127.0.0.1:9/once", "key").shared("thing", list) is first
    assert scope.shared("other", list) is not first


def test_the_key_and_the_user_cannot_be_read_back():
    key = "sk-canary-4f1b"
    scope = scope_for("https://canary-user:canary-word@api.example/v3?token=canary", key)
    assert scope.label == "https://api.example/v3"
    assert "canary" not in repr(scope) + str(scope)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(scope)
    holders = [o for o in gc.get_referrers(key) if isinstance(o, (dict, list, tuple, set)) and o is not globals()]
    assert not any(scope in (h.values() if isinstance(h, dict) else h) for h in holders)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def stop(clock):
    return FakeStop(clock)


def limiters(clock, scope, *makers, **settings):
    options = limiter_options(clock, scope=scope, **settings)
    return Limiters([make(options) for make in makers], park_of(options.scope), clock)


def test_retry_after_parks_every_client_of_the_scope(clock, stop):
    one, other = (limiters(clock, "parked", Unlimited) for _ in range(2))
    stranger = limiters(clock, "not-parked", Unlimited)
    began = clock()
    one.acquire(REQUEST, stop).settle(refused(retry_after=30), None)
    stranger.acquire(REQUEST, stop)
    assert clock() == began
    other.acquire(REQUEST, stop)
    assert clock() == began + 30


def test_a_park_of_hours_is_capped(clock, stop):
    limited = limiters(clock, "capped", Unlimited)
    began = clock()
    limited.acquire(REQUEST, stop).settle(refused(retry_after=86_400), None)
    limited.acquire(REQUEST, stop)
    assert clock() == began + Park.LONGEST


def test_without_a_time_the_wait_grows_and_begins_anew_after_an_answer(clock, stop, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda a, b: a)
    limited = limiters(clock, "growing", Unlimited)

    def wait_after(outcome):
        limited.acquire(REQUEST, stop).settle(outcome, None)
        began = clock()
        limited.acquire(REQUEST, stop).cancel()
        return clock() - began

    assert [wait_after(refused()) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    assert wait_after(OK) == 0
    assert wait_after(refused()) == 1


def test_a_burst_of_refusals_is_one_sign(clock, stop, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda a, b: a)
    limited = limiters(clock, "burst", Unlimited)
    permits = [limited.acquire(REQUEST, stop) for _ in range(64)]
    began = clock()
    for permit in permits[:-1]:
        permit.settle(refused(), None)
    clock.advance(5)
    permits[-1].settle(refused(), None)  # sent before the park, answered after it
    clock.move_to(began + 5)
    limited.acquire(REQUEST, stop)
    assert clock() == began + 5


def test_a_stop_ends_a_park(clock):
    limited, stop = limiters(clock, "stopped-park", Unlimited), FakeStop(clock)
    limited.acquire(REQUEST, stop).settle(refused(retry_after=60), None)
    stop.set()
    began = clock()
    assert limited.acquire(REQUEST, stop) is None
    assert clock() == began


class Refuser:
    """A limiter that grants nothing."""

    def __init__(self, options):
        pass

    def acquire(self, request, stop):
        return None


def test_what_was_taken_is_given_back_when_a_later_limiter_is_stopped(clock, stop):
    limited = limiters(clock, "back", Adaptive, Refuser, max_concurrency=1)
    assert limited.acquire(REQUEST, stop) is None
    assert limiters(clock, "back", Adaptive, max_concurrency=1).acquire(REQUEST, stop) is not None


class Slow:
    """A limiter during whose wait the service announces a limit, the first time."""

    def __init__(self, options):
        self.options = options
        self.granted = 0

    def acquire(self, request, stop):
        self.granted += 1
        if self.granted == 1:
            now = self.options.clock()
            park_of(self.options.scope).announce(20, started=now, now=now)
        return Unlimited().acquire(request, stop)


def test_a_park_that_begins_while_a_request_waits_for_leave_holds_it_too(clock, stop):
    limited = limiters(clock, "meanwhile", Recorder, Slow)
    began = clock()
    assert limited.acquire(REQUEST, stop) is not None
    assert clock() == began + 20
    assert [(o.kind, o.message) for o in Recorder.settled] == [("empty", "not sent")]


class Recorder:
    """A third party's limiter, whose permit knows no `cancel`."""

    settled: list

    def __init__(self, options):
        Recorder.settled = []

    def acquire(self, request, stop):
        return self

    def settle(self, outcome, usage):
        self.settled.append(outcome)


def test_a_permit_without_cancel_is_told_that_nothing_was_sent(clock, stop):
    limited = limiters(clock, "told", Recorder, Refuser)
    assert limited.acquire(REQUEST, stop) is None
    assert [(o.kind, o.message) for o in Recorder.settled] == [("empty", "not sent")]


def test_every_limiter_learns_the_outcome(clock, stop):
    limited = limiters(clock, "learns", Adaptive, Recorder, PerMinute, max_concurrency=8)
    limited.acquire(REQUEST, stop).settle(refused(retry_after=1), None)
    assert [o.status for o in Recorder.settled] == [429]
    assert Adaptive(limiter_options(clock, scope="learns", max_concurrency=8)).limit == 4


def test_requests_granted_before_a_park_do_not_start_all_at_once_after_it(clock, stop):
    one = limiters(clock, "no-herd", PerMinute, requests_per_minute=6)
    starts = []
    permit = one.acquire(REQUEST, stop)
    starts.append(clock())
    permit.settle(refused(retry_after=100), None)
    for _ in range(12):
        one.acquire(REQUEST, stop).settle(OK, None)
        starts.append(clock())
    assert starts[1] - starts[0] == 100
    assert all(sum(end - 60 <= s <= end for s in starts) <= 6 for end in starts)
