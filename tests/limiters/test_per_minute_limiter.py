"""`requests_per_minute` and `tokens_per_minute`: the promise of sixty seconds."""

import threading
from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollouts.limiters.per_minute import PerMinute
from rollouts.results import Usage
from rollouts.testing.clock import FakeClock, FakeStop
from rollouts.testing.contracts.limiter import LimiterContract, limiter_options, limiter_request
from rollouts.typing import Outcome

OK = Outcome("ok", status=200)
REQUEST = limiter_request()
_scopes = count()


class TestContractWithRequests(LimiterContract):
    requests_per_minute = 120

    def make(self, options):
        return PerMinute(options)


class TestContractWithTokens(LimiterContract):
    tokens_per_minute = 5000

    def make(self, options):
        return PerMinute(options)


class TestContractWithoutLimits(LimiterContract):
    def make(self, options):
        return PerMinute(options)


def most_in_a_window(starts):
    """The most starts in any closed window of sixty seconds."""
    return max(bisect_right(starts, end) - bisect_left(starts, end - 60) for end in starts)


def send(limiter, clock, stop, n=1, settle=True):
    """Start n requests one after the other; returns when."""
    starts = []
    for _ in range(n):
        permit = limiter.acquire(REQUEST, stop)
        starts.append(clock())
        if settle:
            permit.settle(OK, None)
    return starts


def one_limit(r, clock):
    return PerMinute(limiter_options(clock, requests_per_minute=r))


@pytest.mark.parametrize("r", [1, 1.5, 2, 3, 7, 9, 9.99, 10, 11, 20, 60, 61, 100, 120, 600, 1000])
def test_no_window_of_sixty_seconds_sees_more_than_r_starts(r):
    clock = FakeClock()
    starts = send(one_limit(r, clock), clock, FakeStop(clock), int(3 * r) + 5)
    assert most_in_a_window(starts) <= r


@pytest.mark.parametrize(("r", "apart"), [(1, 61), (0.5, 122), (0.1, 610)])
def test_one_request_a_minute_and_less(r, apart):
    clock = FakeClock()
    first, second, third = send(one_limit(r, clock), clock, FakeStop(clock), 3)
    assert (second - first, third - second) == pytest.approx((apart, apart))


def test_the_limit_is_used_and_not_only_kept():
    clock = FakeClock()
    starts = send(one_limit(120, clock), clock, FakeStop(clock), 1000)
    assert (len(starts) - 1) / (starts[-1] - starts[0]) > 0.88 * 120 / 60


@settings(max_examples=150, deadline=None)
@given(
    r=st.one_of(st.integers(1, 40), st.floats(0.2, 40)),
    pauses=st.lists(st.tuples(st.floats(0, 200), st.integers(1, 30)), min_size=1, max_size=12),
)
def test_the_promise_holds_for_any_pattern_of_arrivals_and_bursts_after_idling(r, pauses):
    clock = FakeClock()
    limiter, stop, starts = one_limit(r, clock), FakeStop(clock), []
    for pause, burst in pauses:
        clock.advance(pause)
        starts += send(limiter, clock, stop, burst)
    assert most_in_a_window(starts) <= max(r, 1)


@settings(max_examples=150, deadline=None)
@given(
    limits=st.lists(st.one_of(st.none(), st.integers(1, 60)), min_size=2, max_size=3),
    arrivals=st.lists(st.tuples(st.floats(0, 90), st.integers(0, 2), st.integers(1, 25)), min_size=1, max_size=14),
)
def test_every_start_under_r_keeps_r_whoever_else_sends(limits, arrivals):
    clock = FakeClock()
    scope, stop = f"promise-{next(_scopes)}", FakeStop(clock)
    limiters = [PerMinute(limiter_options(clock, scope=scope, requests_per_minute=r)) for r in limits]
    starts = []
    for pause, which, burst in arrivals:
        clock.advance(pause)
        r = limits[which % len(limits)]
        for _ in range(burst):
            starts += send(limiters[which % len(limits)], clock, stop)
            # A start under r is never one too many in the minute before it, whoever else sent in that minute.
            assert r is None or len(starts) - bisect_left(starts, starts[-1] - 60) <= r


@settings(max_examples=60, deadline=None)
@given(
    pair=st.tuples(st.integers(1, 40), st.one_of(st.none(), st.integers(1, 200))),
    order=st.lists(st.booleans(), min_size=5, max_size=150),
)
def test_while_a_limit_is_in_use_it_binds_every_client_of_the_key(pair, order):
    clock = FakeClock()
    scope, stop = f"in-use-{next(_scopes)}", FakeStop(clock)
    strict, other = (PerMinute(limiter_options(clock, scope=scope, requests_per_minute=r)) for r in pair)
    under_way = strict.acquire(REQUEST, stop)
    starts = [clock()]
    for which in order:
        starts += send(strict if which else other, clock, stop)
    assert most_in_a_window(starts) <= pair[0]
    under_way.settle(OK, None)


def test_a_higher_limit_for_one_call_takes_effect_once_the_lower_is_out_of_use():
    clock = FakeClock()
    stop = FakeStop(clock)
    send(PerMinute(limiter_options(clock, scope="override", requests_per_minute=6)), clock, stop, 2)
    raised = PerMinute(limiter_options(clock, scope="override", requests_per_minute=600))
    began = clock()
    send(raised, clock, stop, 50)
    assert clock() == began


def test_clients_one_after_the_other_share_the_history():
    clock = FakeClock()
    stop, starts = FakeStop(clock), []
    for _ in range(4):
        starts += send(PerMinute(limiter_options(clock, scope="history", requests_per_minute=10)), clock, stop, 8)
    assert most_in_a_window(starts) <= 10


def test_a_client_without_a_limit_counts_for_one_that_comes_later():
    clock = FakeClock()
    stop = FakeStop(clock)
    send(PerMinute(limiter_options(clock, scope="before")), clock, stop, 500)
    began = clock()
    first = send(PerMinute(limiter_options(clock, scope="before", requests_per_minute=30)), clock, stop)[0]
    assert 60 < first - began <= 63  # a window later, not the quarter of an hour that 500 requests would take


def test_other_keys_and_urls_are_not_held_up():
    clock = FakeClock()
    stop = FakeStop(clock)
    send(one_limit(1, clock), clock, stop)
    began = clock()
    send(one_limit(1, clock), clock, stop)
    assert clock() == began


def test_waiters_start_in_the_order_in_which_they_came_and_exactly_when_due():
    clock = FakeClock(moves_itself=False)
    limiter, stop = one_limit(1, clock), FakeStop(clock)
    began = clock()
    limiter.acquire(REQUEST, stop)
    order, threads = [], []

    def work(number):
        limiter.acquire(REQUEST, stop)
        order.append((number, clock() - began))

    for number in range(3):
        threads.append(threading.Thread(target=work, args=(number,), daemon=True))
        threads[-1].start()
        clock.until_waiting(number + 1)
    clock.advance(60.5)
    assert order == []
    for number in range(3):
        clock.move_to(began + 61 * (number + 1))
        threads[number].join(30)
    assert order == [(0, 61), (1, 122), (2, 183)]


def test_a_stopped_run_gives_its_places_back():
    clock = FakeClock(moves_itself=False)
    limiter, stop = one_limit(1, clock), FakeStop(clock)
    limiter.acquire(REQUEST, stop)
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(limiter.acquire(REQUEST, stop)), daemon=True) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    clock.until_waiting(5)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert got == [None] * 5
    clock.advance(61)
    assert limiter.acquire(REQUEST, FakeStop(clock)) is not None


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────


def token_limiter(t, clock, **more):
    return PerMinute(limiter_options(clock, tokens_per_minute=t, **more))


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(100, 5000),
    jobs=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 2000)), min_size=1, max_size=60),
)
def test_no_window_reserves_more_tokens_than_allowed(limit, jobs):
    clock = FakeClock()
    limiter, stop = token_limiter(limit, clock), FakeStop(clock)
    starts = []
    for pause, tokens in jobs:
        clock.advance(pause)
        request = limiter_request(max_tokens=tokens)
        limiter.acquire(request, stop)
        starts.append((clock(), len(request.canonical) / 4 + tokens))
    for end, _ in starts:
        window = [tokens for start, tokens in starts if end - 60 <= start <= end]
        assert sum(window) <= limit or len(window) == 1  # alone, what is too large for any minute


def test_what_an_answer_did_not_use_is_free_again():
    clock = FakeClock()
    limiter, stop = token_limiter(10_000, clock), FakeStop(clock)
    request = limiter_request(max_tokens=9_000)
    limiter.acquire(request, stop).settle(OK, Usage(total_tokens=500, completion_tokens=400))
    began = clock()
    limiter.acquire(request, stop)
    assert clock() == began


def test_what_an_answer_used_beyond_the_estimate_is_counted():
    clock = FakeClock()
    limiter, stop = token_limiter(10_000, clock), FakeStop(clock)
    request = limiter_request(max_tokens=1_000)
    limiter.acquire(request, stop).settle(OK, Usage(total_tokens=10_000, completion_tokens=1_000))
    began = clock()
    limiter.acquire(request, stop)
    assert clock() - began == 61


def test_a_refused_request_costs_no_tokens_and_a_billed_one_does():
    clock = FakeClock()
    limiter, stop = token_limiter(2_000, clock), FakeStop(clock)
    request = limiter_request(max_tokens=1_500)
    began = clock()
    limiter.acquire(request, stop).settle(Outcome("retryable", status=503), None)
    permit = limiter.acquire(request, stop)
    assert clock() == began
    permit.settle(replace(Outcome("retryable"), billed=True), None)
    limiter.acquire(request, stop)
    assert clock() - began == 61


def test_both_limits_must_agree():
    clock = FakeClock()
    limiter, stop = token_limiter(1_000_000, clock, requests_per_minute=1), FakeStop(clock)
    assert send(limiter, clock, stop, 3)[-1] - 1000 == 122


def test_a_wait_for_tokens_ends_when_an_answer_frees_them():
    clock = FakeClock(moves_itself=False)
    limiter, stop = token_limiter(10_000, clock), FakeStop(clock)
    request = limiter_request(max_tokens=9_000)
    first = limiter.acquire(request, stop)
    thread = threading.Thread(target=limiter.acquire, args=(request, stop), daemon=True)
    thread.start()
    clock.until_waiting(1)
    first.settle(OK, Usage(total_tokens=10, completion_tokens=5))
    thread.join(30)
    assert not thread.is_alive()
