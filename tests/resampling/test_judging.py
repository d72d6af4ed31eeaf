"""How answers are judged is checked before anything is asked, and is one for continuations and forced answers."""

from __future__ import annotations

import re

import pytest

from rollouts.exceptions import ConfigError
from rollouts.resampling import Judging, Resampling, Trace, resample
from rollouts.results import Response, Rollouts

TRACE = Trace.from_text("Q?", "A is one. Wait, no. B is two.")


def never(prompts, n_samples, *, seed, **settings):
    raise AssertionError("asked")


@pytest.mark.parametrize(
    ("judging", "message"),
    [
        ({"extract": "boxd"}, "Did you mean 'boxed'"),
        ({"policy": "ignore"}, "drop, wrong or own"),
        ({"policy": {"eror": "own"}}, "Did you mean 'error'"),
        ({"where": "anywere"}, "Did you mean 'anywhere'"),
        ({"truth": ["3"]}, "give the true answer"),
        ({"truth": ""}, "give the true answer"),
        ({"normalise": None}, "normalise=None"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_asked(judging, message):
    with pytest.raises(ConfigError, match=message):
        resample(never, TRACE, 3, **judging)


def test_a_number_is_taken_as_the_true_answer():
    assert Judging(3).truth == "3"
    samples = Resampling.from_texts(TRACE, {0: ["\\boxed{3}", "\\boxed{4}"]}, truth=3)
    assert samples.accuracy(0) == 0.5


@pytest.mark.parametrize(
    ("extract", "truth", "continuation", "forced"),
    [
        ("boxed", "7", "So \\boxed{7}", "7}."),
        ("letter", "C", "The answer is (C).", "(C)}."),
        ("number", "50", "It is 50 dollars.", "50 \\text{ dollars}}."),
        ("number", "50", "x = 50", "x = 50}"),
        (re.compile(r"(\d+) apples"), "7", "7 apples", "7 apples}."),
    ],
)
def test_a_forced_answer_is_found_as_that_of_a_continuation_is(extract, truth, continuation, forced):
    data = Resampling.from_texts(TRACE, {0: [continuation]}, forced={0: [forced]}, truth=truth, extract=extract)
    assert data.accuracy(0) == 1
    assert data.accuracy(0, forced=True) == 1


def test_a_forced_answer_that_a_limit_cut_is_left_out():
    slots = (Response("120 because the sum of the", finish_reason="length"), Response("120}", finish_reason="length"))
    data = Resampling(TRACE, {}, {0: Rollouts(slots)}, Judging("120"))
    assert [answer.kind for answer in data.answers(0, forced=True)] == ["truncated", "answered"]
    assert data.accuracy(0, forced=True) == 1
    assert data.judged(policy="wrong").accuracy(0, forced=True) == 0.5
