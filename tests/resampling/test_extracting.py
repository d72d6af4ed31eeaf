"""Answers are found where they stand: in boxes, as letters, as numbers, by patterns."""

from __future__ import annotations

import re

import pytest

from rollouts.exceptions import ConfigError
from rollouts.resampling import boxed, extract
from rollouts.resampling.answers import answers_of
from rollouts.resampling.extracting import InBox, forced_box
from rollouts.results import Response


@pytest.mark.parametrize(
    ("how", "text", "expected"),
    [
        ("boxed", "\\boxed{1} then \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("boxed-first", "\\boxed{1} then \\boxed{2}", "1"),
        ("boxed-all", "\\boxed{1} then \\boxed {2}", "1, 2"),
        ("boxed", "\\boxed{\\{1\\}}", "\\{1\\}"),
        ("boxed", "\\boxed{never closed", None),
        ("last-line", "a\n b \n\n", "b"),
        (re.compile(r"x=(\d)|y=(\d)"), "x=1 y=2", "2"),
        (re.compile(r"\d"), "1 2", "2"),
        (lambda text: text[:1] or None, "abc", "a"),
    ],
)
def test_answers_are_found_where_they_stand(how, text, expected):
    assert extract(text, how) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I think (A). The answer is **C**.", "C"),
        ("Answer: B", "B"),
        ("Answer\n\nB", "B"),
        ("**Answer:** _B_", "B"),
        ("The answer is 'B'.", "B"),
        ("The correct answer is D", "D"),
        ("The best choice is clearly C", "C"),
        ("I'd choose B", "B"),
        ("D) because", "D"),
        ("The answer is C because it fits.", "C"),
        ("The answer is A because it fits.", "A"),
        ("The answer is (b).", "B"),
        ("So it must be (b).", "B"),
        ("\\boxed{C}", "C"),
        ("\\boxed{b}", "B"),
        ("\\boxed{C. 5}", "C"),
        ("\\boxed{\\mathrm{B}}", "B"),
        ("\\boxed{\\textbf{(C)}}", "C"),
        ("\\boxed{\\text{B) four}}", "B"),
    ],
)
def test_a_letter_is_found_however_it_is_stated(text, expected):
    assert extract(text, "letter") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer: I think it's B.", "B"),
        ("Option B is right.\nI, for one, like it.", "B"),
        ("The answer is C. Option A fails because of this.", "C"),
        ("\\boxed{B}. Option A fails.", "B"),
        ("The answer is C. (a) By symmetry we have more.", "C"),
    ],
)
def test_a_word_or_a_weaker_statement_does_not_stand_for_the_letter(text, expected):
    assert extract(text, "letter") == expected


@pytest.mark.parametrize(
    "text",
    ["A long way to go", "The answer is A good idea", "answer is a number", "A, B and C fail", "\\boxed{a+b}"],
)
def test_a_text_without_a_stated_letter_has_none(text):
    assert extract(text, "letter") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 1,234.50, not 3", "3"),
        ("so −1,234.5 it is.", "-1234.5"),
        ("none", None),
        ("about .5", ".5"),
        ("it is -.5.", "-.5"),
        ("the pair 1,2345", "2345"),
        ("\\boxed{1{,}200} after 3 steps", "1200"),
        ("\\boxed{1,\\!200}", "1200"),
        ("\\boxed{x} after 3 steps", "3"),
    ],
)
def test_a_number_is_found_in_the_box_first(text, expected):
    assert extract(text, "number") == expected


def test_an_unknown_extractor_names_the_known_ones_and_the_nearest():
    with pytest.raises(ConfigError, match=r"boxed-first.*Did you mean 'boxed'"):
        extract("a", "boxd")


def test_braces_inside_a_box_are_matched():
    assert boxed("a \\boxed{\\frac{a}{b}} c \\fbox{d}") == ["\\frac{a}{b}", "d"]


def test_thousands_of_open_boxes_are_read_once():
    # Each box reading on to the end would take minutes.
    assert boxed("\\boxed{ x " * 30_000) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\frac{1}{2}}. So", "\\frac{1}{2}"),
        ("120", "120"),
        ("7}", "7"),
        ("20}. However, \\boxed{19}", "20"),
        ("\\text{yes", "\\text{yes}"),
        ("}", None),
    ],
)
def test_a_forced_answer_ends_at_its_own_brace(text, expected):
    assert forced_box(text) == expected
    assert extract(text, "forced-box") == expected


@pytest.mark.parametrize(
    ("how", "text", "expected"),
    [
        ("boxed", "\\frac{1}{2}}. So", "\\frac{1}{2}"),
        ("boxed-first", "20}. However, \\boxed{19}", "20"),
        ("letter", "(C)}.", "C"),
        ("letter", "\\text{C}", "C"),
        ("letter", "12}", None),
        ("number", "50 \\text{ dollars}}.", "50"),
        ("number", "x = 50}", "50"),
        ("number", "50} and 7 more", "50"),
        (re.compile(r"\\boxed\{(\d+)\}"), "50}.", "50"),
        (re.compile(r"^\d+$"), "50}.", "50"),
        ("boxed", "}", None),
    ],
)
def test_a_forced_box_is_read_as_a_whole_answer_would_be(how, text, expected):
    assert InBox(how)(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{10\,000}", "10000"),
        ("about 10 000 people", "10000"),
        ("1 234 567.5 m", "1234567.5"),
        ("in 2024 300 people", "300"),
        ("1 2 3", "3"),
        ("答案是50。", "50"),
        ("共50个", "50"),
        ("It is _50_", "50"),
        ("x_1 and v2 only", None),
        ("It is 1/2.", "1/2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{2\sqrt{3}}", r"2\sqrt{3}"),
        (r"\boxed{90^\circ}", "90"),
        (r"\boxed{50 \text{ dollars}}", "50"),
    ],
)
def test_a_number_is_read_as_it_is_written(text, expected):
    assert extract(text, "number") == expected


@pytest.mark.parametrize(("text", "letter"), [("答案是B。", "B"), ("答案选 C", "C")])
def test_a_letter_is_found_in_chinese(text, letter):
    assert extract(text, "letter") == letter


@pytest.mark.parametrize(
    ("text", "how", "kind"),
    [
        ("The answer is 1", "number", "truncated"),  # it may have become 120
        ("The answer is 1 and", "number", "answered"),
        ("The answer is 1 ", "number", "answered"),
        ("The answer is B", "letter", "truncated"),  # or Because
        (r"So \boxed{5}", "boxed", "answered"),
        ("So it is", "text", "truncated"),
        ("So it is ", "last-line", "truncated"),
    ],
)
def test_what_a_limit_could_have_cut_is_no_answer(text, how, kind):
    [cut] = answers_of([Response(text, finish_reason="length")], how)
    [whole] = answers_of([Response(text, finish_reason="stop")], how)
    assert (cut.kind, whole.kind) == (kind, "answered")
