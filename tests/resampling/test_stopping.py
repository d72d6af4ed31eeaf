"""Rules that end a position early count what the resampling counts."""

from __future__ import annotations

import pytest

from rollouts.exceptions import ConfigError
from rollouts.resampling import Answer, Trace, converged, resample, width_below
from rollouts.results import Response, Rollouts

MOSTLY_CUT = [Answer("answered", "3")] * 20 + [Answer("truncated")] * 80
NOT_JUDGED = [None] * len(MOSTLY_CUT)


def test_a_few_answers_among_cut_samples_agree_only_where_those_are_dropped():
    assert converged()(MOSTLY_CUT, NOT_JUDGED)
    assert not converged(policy="own")(MOSTLY_CUT, NOT_JUDGED)
    assert not converged(policy={"truncated": "wrong"})(MOSTLY_CUT, NOT_JUDGED)


def test_the_width_of_the_majority_counts_by_the_policy():
    rule = {policy: width_below(0.17, of="majority", policy=policy) for policy in ("drop", "wrong")}
    assert rule["drop"](MOSTLY_CUT, NOT_JUDGED)  # 20 of 20
    assert rule["wrong"](MOSTLY_CUT, NOT_JUDGED)  # 80 of 100
    assert not rule["drop"](MOSTLY_CUT[18:], NOT_JUDGED[18:])  # 2 of 2
    assert rule["wrong"](MOSTLY_CUT[18:], NOT_JUDGED[18:])  # 80 of 82


def test_a_share_that_is_reached_exactly_is_reached():
    answers = [Answer("answered", "1")] * 14 + [Answer("answered", "2")] * 11
    assert converged(0.56)(answers, [None] * 25)  # 0.56 * 25 is a little more than 14


def test_a_width_without_a_truth_follows_the_policy_of_the_resampling():
    def ask(prompts, n_samples, *, seed, **settings):
        def slot(number):
            return Response("\\boxed{3}" if number % 2 else "no idea", seed=number, index=number)

        return [Rollouts(tuple(slot(seed + k) for k in range(n_samples))) for _ in prompts]

    trace = Trace.from_text("Q?", "A is one. B is two.")
    asked = {policy: len(resample(ask, trace, 60, 0, until=0.3, policy=policy).arms[0]) for policy in ("drop", "wrong")}
    assert asked == {"drop": 20, "wrong": 40}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: width_below(0.1, of="majorty"), "Did you mean 'majority'"),
        (lambda: width_below(0.1, policy="ignore"), "drop, wrong or own"),
        (lambda: converged(policy="ignore"), "drop, wrong or own"),
    ],
)
def test_a_rule_refuses_an_unknown_word(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
