"""The limiter `adaptive`."""

import threading

import pytest

from rollouts.limiters.adaptive import Adaptive
from rollouts.testing.clock import FakeClock, FakeStop
from rollouts.testing.contracts.limiter import LimiterContract, limiter_options, limiter_request
from rollouts.typing import Outcome

OK = Outcome("ok", status=200)
REFUSED = Outcome("retryable", status=429, parks=True)
REQUEST = limiter_request()


class TestContract(LimiterContract):
    def make(self, options):
        return Adaptive(options)


@pytest.fixture
def clock():
    return FakeClock(moves_itself=False)


@pytest.fixture
def stop(clock):
    return FakeStop(clock)


def take(limiter, stop, n):
    return [limiter.acquire(REQUEST, stop) for _ in range(n)]


def settle(permits, outcome):
    for permit in permits:
        permit.settle(outcome, None)


def answered_round(limiter, stop):
    settle(take(limiter, stop, limiter.limit), OK)


def refused_round(limiter, stop):
    settle(take(limiter, stop, limiter.limit), REFUSED)


def test_a_burst_of_64_refusals_halves_once(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=64))
    refused_round(limiter, stop)
    assert limiter.limit == 32


@pytest.mark.parametrize("status", [429, 529])
def test_both_signs_of_overload_halve(clock, stop, status):
    limiter = Adaptive(limiter_options(clock, max_concurrency=8))
    settle(take(limiter, stop, 1), Outcome("retryable", status=status))
    assert limiter.limit == 4


def test_other_errors_leave_the_limit_alone(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=8))
    settle(take(limiter, stop, 8), Outcome("retryable", status=503))
    settle(take(limiter, stop, 8), Outcome("fatal", status=400))
    assert limiter.limit == 8


def test_sustained_refusals_go_on_halving_down_to_one_and_do_not_freeze_it_there(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=64))
    seen = []
    for _ in range(10):
        refused_round(limiter, stop)
        seen.append(limiter.limit)
    assert seen == [32, 16, 8, 4, 2, 1, 1, 1, 1, 1]
    answered_round(limiter, stop)
    assert limiter.limit == 2


def test_answers_among_refusals_do_not_keep_the_limit_up(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=64))
    for _ in range(6):
        permits = take(limiter, stop, limiter.limit)
        for i, permit in enumerate(permits):
            permit.settle(REFUSED if i == len(permits) - 1 else OK, None)
    assert limiter.limit <= 3


def test_grows_by_one_a_round_and_faster_later_but_never_above_max_concurrency(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=64))
    for _ in range(3):
        refused_round(limiter, stop)
    seen = [limiter.limit]
    while limiter.limit < 64:
        answered_round(limiter, stop)
        seen.append(limiter.limit)
    assert seen[:7] == [8, 9, 10, 11, 12, 14, 18]
    assert seen[-1] == 64
    answered_round(limiter, stop)
    assert limiter.limit == 64


def test_a_late_answer_from_before_the_halving_grows_nothing(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=4))
    old = take(limiter, stop, 4)
    settle(old[:1], REFUSED)
    settle(old[1:], OK)
    assert limiter.limit == 2


def test_all_clients_of_a_key_share_the_limit(clock, stop):
    one = Adaptive(limiter_options(clock, scope="shared-limit", max_concurrency=8))
    other = Adaptive(limiter_options(clock, scope="shared-limit", max_concurrency=8))
    settle(take(one, stop, 8), REFUSED)
    assert other.limit == 4


def test_clients_of_other_keys_are_not_touched(clock, stop):
    one = Adaptive(limiter_options(clock, max_concurrency=8))
    other = Adaptive(limiter_options(clock, max_concurrency=8))
    settle(take(one, stop, 8), REFUSED)
    assert other.limit == 8


def waiting_threads(clock, limiter, stop, n):
    """Start n threads that wait in `acquire`, one after the other; returns their order of success as it grows."""
    granted = []

    def work(number):
        permit = limiter.acquire(REQUEST, stop)
        granted.append((number, permit))

    threads = []
    for number in range(n):
        threads.append(threading.Thread(target=work, args=(number,), daemon=True))
        threads[-1].start()
        clock.until_waiting(number + 1)
    return granted, threads


def test_never_more_than_max_concurrency_are_in_flight_and_waiters_go_first_come_first_served(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=2))
    held = take(limiter, stop, 2)
    granted, threads = waiting_threads(clock, limiter, stop, 3)
    assert granted == []
    for number in range(3):
        held.pop(0).settle(OK, None)
        threads[number].join(30)
        assert [n for n, _ in granted] == list(range(number + 1))
        held.append(granted[-1][1])


def test_a_stopped_waiter_leaves_its_place_to_the_next(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=1))
    (held,) = take(limiter, stop, 1)
    other_run = FakeStop(clock)
    leaving, left = waiting_threads(clock, limiter, other_run, 2)
    other_run.set()
    for thread in left:
        thread.join(30)
    assert [permit for _, permit in leaving] == [None, None]
    held.settle(OK, None)
    (again,) = take(limiter, stop, 1)
    assert again is not None


def test_a_cancelled_permit_frees_its_place_and_teaches_nothing(clock, stop):
    limiter = Adaptive(limiter_options(clock, max_concurrency=1))
    for _ in range(3):
        (permit,) = take(limiter, stop, 1)
        permit.cancel()
    assert limiter.limit == 1
    assert take(limiter, stop, 1) != [None]


def test_waits_on_a_plain_event_too(clock):
    limiter = Adaptive(limiter_options(clock, max_concurrency=1))
    event = threading.Event()
    limiter.acquire(REQUEST, event)
    result = []
    thread = threading.Thread(target=lambda: result.append(limiter.acquire(REQUEST, event)), daemon=True)
    thread.start()
    event.set()
    thread.join(30)
    assert result == [None]
