"""`max_cost` and `max_total_tokens`: reserve, send, settle."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollouts.engine.budget import Budget, Price, check_priceable
from rollouts.exceptions import ConfigError
from rollouts.results import Usage
from rollouts.testing.clock import FakeClock, FakeStop
from rollouts.testing.contracts.limiter import limiter_request

PRICE = Price(prompt=1e-6, completion=1e-5)
REQUEST = limiter_request(max_tokens=1000)
PROMPT = len(REQUEST.canonical) / 4


@pytest.fixture
def clock():
    return FakeClock(moves_itself=False)


@pytest.fixture
def stop(clock):
    return FakeStop(clock)


def usage(completion, cost=None, prompt=10):
    return Usage(prompt, completion, prompt + completion, cost=cost)


def test_a_sample_larger_than_the_whole_budget_is_never_sent():
    budget = Budget(max_cost=0.001, price=PRICE)
    assert budget.reserve(REQUEST) is None
    assert budget.exhausted
    assert "max_cost=$0.001" in budget.describe()


def test_what_an_answer_did_not_cost_is_free_again():
    budget = Budget(max_total_tokens=2000)
    budget.reserve(REQUEST).settle(usage(40))
    assert budget.spent_tokens == 50
    assert budget.reserve(REQUEST) is not None


def test_a_cancelled_sample_costs_nothing():
    budget = Budget(max_total_tokens=1500)
    for _ in range(5):
        budget.reserve(REQUEST).cancel()
    assert budget.spent_tokens == 0


def test_lost_attempts_count_as_estimated():
    budget = Budget(max_total_tokens=10_000)
    budget.reserve(REQUEST).settle(None, lost=2)
    assert budget.spent_tokens == 2 * (PROMPT + 1000)
    budget.reserve(REQUEST).settle(None)
    assert budget.spent_tokens == 2 * (PROMPT + 1000)


def test_settling_twice_counts_once():
    budget = Budget(max_total_tokens=10_000)
    reservation = budget.reserve(REQUEST)
    for _ in range(2):
        reservation.settle(usage(40))
    reservation.cancel()
    assert budget.spent_tokens == 50


def test_after_a_refusal_nothing_more_is_admitted():
    budget = Budget(max_total_tokens=1500)
    budget.reserve(REQUEST).settle(usage(1000))
    assert budget.reserve(REQUEST) is None
    assert budget.reserve(limiter_request(max_tokens=1)) is None


def test_the_mean_seen_replaces_max_tokens():
    budget = Budget(max_total_tokens=10_000)
    budget.reserve(REQUEST).settle(usage(100))
    assert budget.reserve(REQUEST).estimate.tokens == PROMPT + 100


def test_the_stated_cost_counts_and_not_the_price():
    budget = Budget(max_cost=1, price=PRICE)
    budget.reserve(REQUEST).settle(usage(100, cost=0.25))
    assert budget.spent_cost == 0.25


def test_without_a_stated_cost_the_price_counts():
    budget = Budget(max_cost=1, price=PRICE)
    budget.reserve(REQUEST).settle(usage(100))
    assert budget.spent_cost == pytest.approx(10 * 1e-6 + 100 * 1e-5)


def test_until_a_cost_is_stated_samples_go_one_at_a_time(clock, stop):
    budget = Budget(max_cost=0.1)
    first = budget.reserve(REQUEST, stop)
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(budget.reserve(REQUEST, stop)), daemon=True) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    clock.until_waiting(3)
    assert got == []
    first.settle(usage(100, cost=0.01))
    for thread in threads:
        thread.join(30)
    assert [r.estimate.cost for r in got] == [0.01] * 3


def test_a_service_that_turns_out_to_state_no_cost_ends_the_run():
    budget = Budget(max_cost=0.1)
    budget.reserve(REQUEST).settle(usage(100))
    assert budget.reserve(REQUEST) is None
    assert "states no cost" in budget.describe()


def test_a_free_model_is_never_refused():
    budget = Budget(max_cost=0.1)
    for _ in range(50):
        budget.reserve(REQUEST).settle(usage(100, cost=0.0))
    assert not budget.exhausted


def test_a_full_budget_waits_for_what_is_in_flight_before_it_gives_up(clock, stop):
    budget = Budget(max_total_tokens=2000)
    held = budget.reserve(REQUEST, stop)
    got = []
    thread = threading.Thread(target=lambda: got.append(budget.reserve(REQUEST, stop)), daemon=True)
    thread.start()
    clock.until_waiting(1)
    held.settle(usage(20))
    thread.join(30)
    assert got != [None]


def test_a_stop_ends_the_wait_and_does_not_exhaust(clock, stop):
    budget = Budget(max_total_tokens=1500)
    budget.reserve(REQUEST, stop)
    got = []
    thread = threading.Thread(target=lambda: got.append(budget.reserve(REQUEST, stop)), daemon=True)
    thread.start()
    clock.until_waiting(1)
    stop.set()
    thread.join(30)
    assert got == [None]
    assert not budget.exhausted


def test_many_samples_fill_a_budget_to_the_last_cent():
    budget = Budget(max_cost=100 * 0.000126)
    sent = 0
    while (reservation := budget.reserve(REQUEST)) is not None:
        reservation.settle(usage(100, cost=0.000126))
        sent += 1
    assert sent == 100


@settings(max_examples=200, deadline=None)
@given(
    limit=st.integers(1500, 50_000),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 3000)), max_size=120),
)
def test_nothing_is_admitted_beyond_and_the_overshoot_is_what_was_in_flight(limit, steps):
    budget, flying, at_last_admission, took = Budget(max_total_tokens=limit), [], [], {}
    for admit, actual in steps:
        if flying and not admit:
            reservation = flying.pop(0)
            took[reservation] = actual + 10
            reservation.settle(usage(actual))
            continue
        taken = budget.spent_tokens + sum(r.estimate.tokens for r in flying)
        if flying and taken + PROMPT + 1000 > limit:
            continue  # it might wait for what is in flight, and nobody else settles here
        reservation = budget.reserve(REQUEST)
        if reservation is None:
            break
        assert taken + reservation.estimate.tokens <= limit
        flying.append(reservation)
        at_last_admission = list(flying)
    for reservation in flying:
        took[reservation] = 3010
        reservation.settle(usage(3000))
    too_low = sum(max(0, took[r] - r.estimate.tokens) for r in at_last_admission)
    assert budget.spent_tokens <= limit + too_low


def test_many_threads_never_admit_beyond():
    budget = Budget(max_total_tokens=20_000)
    admitted = []

    def work():
        while (reservation := budget.reserve(REQUEST)) is not None:
            admitted.append(reservation)
            reservation.settle(usage(round(reservation.estimate.tokens) - 10))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert budget.exhausted
    assert budget.spent_tokens <= 20_000
    assert len(admitted) > 10


def test_dollars_are_refused_where_nobody_knows_a_price():
    with pytest.raises(ConfigError, match="max_total_tokens"):
        check_priceable(1.0, price=None, states_cost=False, service="vllm")
    check_priceable(1.0, price=PRICE, states_cost=False, service="vllm")
    check_priceable(1.0, price=None, states_cost=True, service="openrouter")
    check_priceable(None, price=None, states_cost=False, service="vllm")
