"""When the policy asks again: properties that hold for every outcome, try and draw."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.exceptions import ConfigError, DeadlineExceeded, RateLimitError, ServerError
from rollouts.retry import RetryPolicy
from rollouts.typing import Outcome

AGAIN = Outcome("retryable", ServerError)
EMPTY = Outcome("empty", ServerError)
LATE = Outcome("retryable", DeadlineExceeded, billed=True)
draws = st.floats(0, 1, exclude_max=True)


def limited(seconds):
    return Outcome("retryable", RateLimitError, retry_after=seconds, parks=True)


@given(st.sampled_from([AGAIN, EMPTY]), st.integers(1, 5000), draws)
def test_waits_lie_between_the_floor_and_the_doubling_ceiling(outcome, attempt, draw):
    policy = RetryPolicy(max_retries=10_000)
    wait = policy.decide(outcome, attempt, 0, lambda: draw)
    assert wait is not None
    assert policy.floor <= wait <= min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 60))


@given(st.integers(0, 20), st.integers(1, 40))
def test_exactly_max_retries_tries_follow_the_first(max_retries, attempt):
    wait = RetryPolicy(max_retries=max_retries).decide(AGAIN, attempt, 0, lambda: 0.5)
    assert (wait is None) == (attempt > max_retries)


@given(st.sampled_from(["ok", "truncated", "refused", "fatal"]), draws)
def test_answers_and_fatal_verdicts_are_never_asked_again(kind, draw):
    assert RetryPolicy().decide(Outcome(kind), 1, 0, lambda: draw) is None


def test_a_timed_out_call_is_asked_once_more_only_and_other_failures_go_on():
    policy = RetryPolicy()
    assert policy.decide(LATE, 1, 1, lambda: 0.5) is not None
    assert policy.decide(LATE, 2, 2, lambda: 0.5) is None
    assert policy.decide(LATE, 4, 1, lambda: 0.5) is not None
    assert policy.decide(AGAIN, 4, 2, lambda: 0.5) is not None


@given(st.floats(0, 600), st.integers(1, 10), draws)
def test_an_announced_wait_is_kept_up_to_its_cap_and_spread(seconds, attempt, draw):
    policy = RetryPolicy()
    wait = policy.decide(limited(seconds), attempt, 0, lambda: draw)
    assert wait is not None
    assert wait >= min(seconds, policy.retry_after_cap)
    assert wait <= max(policy.cap, policy.retry_after_cap * 1.1)


@given(st.floats(min_value=601, allow_infinity=False, allow_nan=False))
def test_a_wait_of_hours_is_not_waited_for(seconds):
    assert RetryPolicy().decide(limited(seconds), 1, 0, lambda: 0.5) is None


def test_jitter_spreads_a_crowd_over_the_whole_interval():
    generator = random.Random(0)
    waits = [RetryPolicy().decide(AGAIN, 5, 0, generator.random) for _ in range(1000)]
    assert min(waits) < 1
    assert max(waits) > 7
    assert 3.5 < sum(waits) / len(waits) < 4.5


@pytest.mark.parametrize(
    "wrong", [{"max_retries": -1}, {"max_deadline_retries": -1}, {"base": -1.0}, {"cap": 0.1}, {"retry_after_cap": -1}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError):
        RetryPolicy(**wrong)
