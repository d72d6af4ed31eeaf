"""Answers are found and compared; samples without one are never lost."""

from __future__ import annotations

import re

import pytest

from rollouts.exceptions import ConfigError
from rollouts.resampling import answers_of, extract, grade, normalize, normalize_latex
from rollouts.resampling.answers import boxed, category, correctness, forced_box
from rollouts.results import Failure, Response


@pytest.mark.parametrize(
    ("how", "text", "expected"),
    [
        ("boxed", "\\boxed{1} then \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("boxed-first", "\\boxed{1} then \\boxed{2}", "1"),
        ("boxed-all", "\\boxed{1} then \\boxed {2}", "1, 2"),
        ("boxed", "\\boxed{\\{1\\}}", "\\{1\\}"),
        ("boxed", "\\boxed{never closed", None),
        ("letter", "I think (A). The answer is **C**.", "C"),
        ("letter", "Answer: B", "B"),
        ("letter", "D) because", "D"),
        ("letter", "A long way to go", None),
        ("number", "It is 1,234.50, not 3", "3"),
        ("number", "so −1,234.5 it is.", "-1234.5"),
        ("number", "none", None),
        ("last-line", "a\n b \n\n", "b"),
        (re.compile(r"x=(\d)|y=(\d)"), "x=1 y=2", "2"),
        (re.compile(r"\d"), "1 2", "2"),
        (lambda text: text[:1] or None, "abc", "a"),
    ],
)
def test_answers_are_found_where_they_stand(how, text, expected):
    assert extract(text, how) == expected


def test_an_unknown_extractor_names_the_known_ones():
    with pytest.raises(ConfigError, match="boxed"):
        extract("a", "boxes")


def test_braces_inside_a_box_are_matched():
    assert boxed("a \\boxed{\\frac{a}{b}} c \\fbox{d}") == ["\\frac{a}{b}", "d"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\frac{1}{2}}. So", "\\frac{1}{2}"),
        ("120", "120"),
        ("7}", "7"),
        ("20}. However, \\boxed{19}", "20"),
        ("}", None),
    ],
)
def test_a_forced_answer_ends_at_its_own_brace(text, expected):
    assert forced_box(text) == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("\\dfrac{1}{2}", "\\frac12"),
        ("1,200.0", "1200"),
        ("50\\%", "50"),
        ("\\text{Yes}", "yes"),
        ("{7}", "7"),
        ("$ 3 \\times x$", "3*x"),
        ("90^\\circ", "90"),
        ("+5", "5"),
        ("\\left(1, 2\\right)", "(1,2)"),
    ],
)
def test_equal_answers_have_one_form(a, b):
    assert normalize(a) == normalize(b)


@pytest.mark.parametrize(("a", "b"), [("12", "1.2"), ("(1,2)", "12"), ("x^{10}", "x^10y"), ("-5", "5"), ("0", "")])
def test_different_answers_stay_different(a, b):
    assert normalize(a) != normalize(b)


def test_the_published_normalisation():
    assert normalize_latex(" \\dfrac{1}{2} ") == "\\frac12"
    assert normalize_latex("1{,}000 \\text{Dollars}\\%") == "1000dollars"
    assert normalize_latex("2 \\cdot 3 \\times 4") == "2*3*4"


def test_grading_compares_normalised_or_asks_the_function():
    assert grade("\\frac{1}{2}", "\\dfrac12")
    assert not grade(None, "1")
    assert grade("anything", lambda answer: answer.startswith("any"))


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


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match="drop, wrong or own"):
        category(answers_of(SAMPLES)[1], "ignore")
