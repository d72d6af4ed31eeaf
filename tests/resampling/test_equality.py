"""Equal answers have one form, different ones stay different."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.exceptions import ConfigError
from rollouts.resampling import grade, normalize, normalize_latex

PARTS = [
    *"{}()[]$%.,+-−0127xA^_~° \n",
    *("\\", "\\frac", "\\dfrac", "\\sqrt", "\\text{a}", "\\text{", "\\mathrm{b}", "\\left", "\\right", "\\pi", "\\!"),
    *("\\,", "\\ ", "\\%", "\\$", "^{\\circ}", "^\\circ", "{,}", ",000", ", 234", "000"),
]
LATEX = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("\\dfrac{1}{2}", "\\frac12"),
        ("\\frac 12", "\\frac{1}{2}"),
        ("\\frac1{23}", "\\frac{1}{23}"),
        ("\\frac\\pi2", "\\frac{\\pi}{2}"),
        ("\\frac{{1}}{2}", "\\frac{1}{2}"),
        ("\\sqrt2", "\\sqrt{2}"),
        ("x^{2}", "x^2"),
        ("1,200.0", "1200"),
        ("1{,}200", "1200"),
        ("1,\\!200", "1200"),
        ("\\$1,200", "1200"),
        ("1 200 000", "1200000"),
        ("50\\%", "50"),
        ("\\text{Yes}", "yes"),
        ("\\text{\\text{a}}", "a"),
        ("{7}", "7"),
        ("{{7}}", "7"),
        ("$ 3 \\times x$", "3*x"),
        ("90^\\circ", "90"),
        ("90°", "90"),
        ("+5", "5"),
        (".5", "0.5"),
        ("-.50", "-0.5"),
        ("073", "73"),
        ("-0", "0"),
        ("−5", "-5"),
        ("\\left(1, 2\\right)", "(1,2)"),
        ("1 , 234", "1, 234"),
        ("5.", "5"),
    ],
)
def test_equal_answers_have_one_form(a, b):
    assert normalize(a) == normalize(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("12", "1.2"),
        ("(1,2)", "12"),
        ("x^{10}", "x^10y"),
        ("-5", "5"),
        ("0", ""),
        ("2, 500", "2500"),
        ("1, 234", "1234"),
        ("1,\\,234", "1234"),
        ("(1, 100)", "(1100)"),
        ("(1,100)", "(1100)"),
        ("1,2345", "12345"),
        ("1 1/2", "11/2"),
        ("1,234 567", "1234567"),
        ("\\leftarrow", "arrow"),
    ],
)
def test_different_answers_stay_different(a, b):
    assert normalize(a) != normalize(b)


@given(answer=LATEX | st.text(st.characters(), max_size=20))
def test_normalising_again_changes_nothing(answer):
    once = normalize(answer)
    assert normalize(once) == once


@pytest.mark.parametrize("answer", ["{" * 20_000 + "}" * 20_000, "\\frac{" * 10_000, "\\text{" * 10_000 + "}" * 10_000])
def test_a_degenerate_answer_is_normalised_in_one_reading(answer):
    # Read once for each brace this would take minutes.
    assert isinstance(normalize(answer), str)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (" \\dfrac{1}{2} ", "\\frac12"),
        ("1{,}000 \\text{Dollars}\\%", "1000dollars"),
        ("2 \\cdot 3 \\times 4", "2*3*4"),
        ("1,000", "1.000"),
        ("12\\pi", "12pi"),
        ("50%", "50%"),
        ("\\textbf{5}", "bf5"),
        ("\\mathrm{A}", "\\mathrma"),
        ("\\mathrm{x^{2}}", "x^2"),
        ("\\operatorname{x}", "\\operatornamex"),
        ("\\frac{\\sqrt{2}}{2}", "\\frac{\\sqrt2}2"),
        ("October\\ 30", "october30"),
        ("\\left(1,2\\right)", "\\left(1.2\\right)"),
        ("{}", "{}"),
    ],
)
def test_the_published_normalisation(answer, expected):
    assert normalize_latex(answer) == expected


def test_grading_compares_normalised_or_asks_the_function():
    assert grade("\\frac{1}{2}", "\\dfrac12")
    assert not grade(None, "1")
    assert grade("anything", lambda answer: answer.startswith("any"))


@pytest.mark.parametrize(("truth", "answer"), [(3, "3"), (3.0, "3"), (0.5, ".5"), (Fraction(1, 2), "1/2"), (-2, "−2")])
def test_a_number_as_truth_stands_for_its_digits(truth, answer):
    assert grade(answer, truth)
    assert not grade("7", truth)


@pytest.mark.parametrize("truth", [True, "", " ", ["3"], None])
def test_a_truth_that_says_nothing_is_refused(truth):
    with pytest.raises(ConfigError, match="give the true answer"):
        grade("3", truth)
