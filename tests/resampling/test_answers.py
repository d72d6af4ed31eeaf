"""The answers of samples; samples without one are never lost."""

from __future__ import annotations

import pytest

from rollouts.exceptions import ConfigError
from rollouts.resampling import answers_of, majority_vote, normalize_latex, pass_at_k
from rollouts.resampling.answers import category, correctness
from rollouts.results import Failure, Response

SAMPLES = (
    Response("\\boxed{3}", "t", "stop", completed_reasoning=True),
    Response("no idea", "t", "stop", completed_reasoning=True),
    Response("", "cut \\boxed{3}", "length", completed_reasoning=False),
    Failure("failed"),
)


def test_samples_without_an_answer_are_classes_of_their_own():
    found = answers_of(SAMPLES)
    assert [a.kind for a in found] == ["answered", "no_answer", "truncated", "error"]
    assert [a.kind for a in answers_of(SAMPLES, where="anywhere")][2] == "answered"


@pytest.mark.parametrize(
    ("policy", "names", "right"),
    [
        ("drop", ["3", None, None, None], [True, None, None, None]),
        ("wrong", ["3", *["(no answer)"] * 3], [True, False, False, False]),
        ("own", ["3", "(no_answer)", "(truncated)", "(error)"], [True, False, False, False]),
        ({"truncated": "wrong"}, ["3", None, "(no answer)", None], [True, None, False, None]),
    ],
)
def test_the_policy_says_what_becomes_of_them(policy, names, right):
    found = answers_of(SAMPLES)
    assert [category(a, policy) for a in found] == names
    assert correctness(found, "3", policy) == right


def test_a_model_that_stops_inside_its_thought_is_read_there():
    assert answers_of([Response("", "so \\boxed{3}", "stop", completed_reasoning=False)])[0].text == "3"


@pytest.mark.parametrize("text", ["120 because the sum of the", "\\frac{123", "12"])
def test_a_forced_answer_that_a_limit_cut_is_truncated(text):
    assert answers_of([Response(text, finish_reason="length")], "forced-box")[0].kind == "truncated"
    assert answers_of([Response(text, finish_reason="stop")], "forced-box")[0].kind == "answered"


def test_a_forced_answer_that_ended_before_the_limit_counts():
    assert answers_of([Response("12} and so", finish_reason="length")], "forced-box")[0].text == "12"


@pytest.mark.parametrize(
    "answer", ["\\frac{\\sqrt{2}}{2}", "\\sqrt{\\frac{1}{2}}", "x^{2^{3}}", "2^{\\frac{1}{3}}", "{{7}}"]
)
@pytest.mark.parametrize("normalise", [normalize_latex, lambda text: text[1:]])
def test_an_answer_is_normalised_once_whatever_the_rule(answer, normalise):
    samples = [Response(f"\\boxed{{{answer}}}")]
    found = answers_of(samples, normalise=normalise)
    assert correctness(found, answer, normalise=normalise) == [True]
    assert pass_at_k(samples, answer, normalise=normalise) == 1


def test_a_truth_that_is_a_function_judges_each_answer_once():
    asked = []
    found = answers_of([Response(f"\\boxed{{{k}}}") for k in (1, 2, 1)])
    assert correctness(found, lambda answer: asked.append(answer) or answer == "1") == [True, False, True]
    assert asked == ["1", "2"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("ignore", "drop, wrong or own"),
        ("wronk", "Did you mean 'wrong'"),
        ({"truncated": "ignore"}, "the policy of truncated"),
        ({"truncatd": "drop"}, "Did you mean 'truncated'"),
    ],
)
def test_an_unknown_policy_is_refused_before_any_answer_is_judged(policy, message):
    with pytest.raises(ConfigError, match=message):
        correctness([], "3", policy)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match="drop, wrong or own"):
        category(answers_of(SAMPLES)[1], "ignore")


def test_an_unknown_place_is_refused():
    with pytest.raises(ConfigError, match="answer or anywhere"):
        majority_vote(SAMPLES, where="somewhere")
