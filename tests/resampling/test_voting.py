"""pass@k, votes and self-consistency."""

from __future__ import annotations

from itertools import combinations

import pytest

from rollouts.exceptions import ConfigError
from rollouts.resampling import estimate_pass_at_k, majority_vote, pass_at_k, self_consistency
from rollouts.results import Failure, Response, Rollouts


def rollouts(*answers: str | None) -> Rollouts:
    slots = [
        Failure("failed", seed=k, index=k) if a is None else Response(f"\\boxed{{{a}}}", seed=k, index=k)
        for k, a in enumerate(answers)
    ]
    return Rollouts(tuple(slots))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("correct", [0, 1, 3, 5])
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_one(correct, k):
    draws = list(combinations([True] * correct + [False] * (5 - correct), k))
    assert estimate_pass_at_k(5, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_pass_at_k_counts_failures_as_wrong_unless_dropped():
    samples = rollouts("1", "2", None, None)
    assert pass_at_k(samples, "1") == 0.25
    assert pass_at_k(samples, "1", policy="drop") == 0.5
    with pytest.raises(ConfigError, match="pass@3 of 2"):
        pass_at_k(samples, "1", 3, policy="drop")


def test_the_majority_wins_and_a_tie_is_told():
    vote = majority_vote(rollouts("2", "1", "1.0", "2", None))
    assert (vote.answer, vote.count, vote.answered, vote.total, vote.tied) == ("2", 2, 4, 5, ("1",))
    assert vote.share == 0.5


def test_no_answer_at_all_has_no_winner():
    vote = majority_vote(rollouts(None))
    assert (vote.answer, vote.share) == (None, None)
    assert self_consistency(rollouts(None)) == {}


def test_self_consistency_is_the_distribution_of_answers():
    assert self_consistency(rollouts("1", "1", "2", None)) == {"1": 2 / 3, "2": 1 / 3}
    assert self_consistency(rollouts("1", None), policy="own") == {"1": 0.5, "(error)": 0.5}
