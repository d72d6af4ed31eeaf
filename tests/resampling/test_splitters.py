"""Sentences are cut without loss, and where a reader would cut them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.exceptions import ConfigError
from rollouts.resampling import first_sentence, piece, split_sentences
from rollouts.resampling.splitters import STYLES, rollouts_register_splitters
from rollouts.typing import Span

PARTS = [
    *"aB3 .?!\n\r$\\[]()-*`{}e:…'\"。\ud83d\udc00",
    *("e.g. ", "U.S. ", "\n\n", "\r\n", "\r\n\r\n", "1. ", "\\[", "\\]", "```", "\\begin{a}", "\\end{a}", "A word. "),
]
ALPHABET = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)
ANYTHING = ALPHABET | st.text(st.characters())


@pytest.fixture
def published() -> Path:
    root = os.environ.get("ROLLOUTS_TEST_DATA")
    if not root:
        pytest.skip("ROLLOUTS_TEST_DATA is not set: the published trace is needed")
    return Path(root) / "thought-anchors"


def texts(text: str, style="sentences") -> list[str]:
    return [span.text.strip() for span in split_sentences(text, style)]


@pytest.mark.parametrize("style", sorted(STYLES))
@given(text=ANYTHING)
def test_the_pieces_joined_are_the_text(style, text):
    spans = split_sentences(text, style)
    assert "".join(span.text for span in spans) == text
    assert all(span.text == text[span.start : span.end] and span.text for span in spans)


@pytest.mark.parametrize("style", sorted(STYLES))
@given(text=ALPHABET)
def test_only_a_blank_text_has_a_blank_piece(style, text):
    if text.strip():
        assert all(span.text.strip() for span in split_sentences(text, style))


@pytest.mark.parametrize("style", sorted(STYLES))
@given(text=ALPHABET)
def test_the_first_sentence_is_that_of_the_whole_cut(style, text):
    whole = [piece(span.text, style) for span in split_sentences(text, style) if span.text.strip()]
    assert first_sentence(text, style) == (whole[0] if whole else "")


@given(text=ALPHABET, more=st.sampled_from(["x y. " * 300, "x $a. " * 300, "\n- b\n" * 300]))
def test_the_first_sentence_of_a_long_text_is_that_of_the_whole_cut(text, more):
    whole = next(span.text.strip() for span in split_sentences(text + more) if span.text.strip())
    assert first_sentence(text + more) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pi is 3.14. It goes on.", ["Pi is 3.14.", "It goes on."]),
        ("See e.g. Euler, i.e. him. Good.", ["See e.g. Euler, i.e. him.", "Good."]),
        ("By Thm. 3 and Fig. 2 it holds. Done.", ["By Thm. 3 and Fig. 2 it holds.", "Done."]),
        ("Is it no. 3 or no? No. It is 4.", ["Is it no. 3 or no?", "No.", "It is 4."]),
        ("So the answer is B. Now check.", ["So the answer is B.", "Now check."]),
        ("J. R. Smith came. Then?", ["J. R. Smith came.", "Then?"]),
        ("Two things:\n1. One.\n2. Two. Three.", ["Two things:", "1. One.", "2. Two.", "Three."]),
        ("- a\n- b", ["- a", "- b"]),
        ("Let $x = 1. Y$ hold. Next.", ["Let $x = 1. Y$ hold.", "Next."]),
        ("It is $5. Then $10 more.", ["It is $5.", "Then $10 more."]),
        ("So \\[ a. \n\n B. \\] holds. End.", ["So \\[ a. \n\n B. \\] holds.", "End."]),
        ("Take \\(f. G\\) here. End.", ["Take \\(f. G\\) here.", "End."]),
        ("Use \\begin{align} a. B \\end{align} now. End.", ["Use \\begin{align} a. B \\end{align} now.", "End."]),
        ("That's 4! / (2! * 2!) = 6. Yes! Good.", ["That's 4! / (2! * 2!) = 6.", "Yes!", "Good."]),
        ("Hmm... wait. Wait... No.", ["Hmm... wait.", "Wait...", "No."]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("One\n\nTwo", ["One", "Two"]),
        ("```\na. B\n```\nThen. End.", ["```\na. B\n```\nThen.", "End."]),
        ("是的。好。", ["是的。", "好。"]),
        ("One\r\n\r\nTwo", ["One", "Two"]),
        ("A ends.\r\nB starts.", ["A ends.", "B starts."]),
        ("The U.S. Army came. Good.", ["The U.S. Army came.", "Good."]),
        ("He left the U.S. Then she did.", ["He left the U.S.", "Then she did."]),
        ("He has a Ph.D. He left at 5 p.m. We did too.", ["He has a Ph.D.", "He left at 5 p.m.", "We did too."]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text, expected):
    assert texts(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so we add them. x is even, so n is odd. ok.", ["so we add them.", "x is even, so n is odd.", "ok."]),
        ("take f(x). then 2x = 4. therefore x = 2.", ["take f(x).", "then 2x = 4.", "therefore x = 2."]),
        ("see e.g. this, i.e. so, vs. that. ok.", ["see e.g. this, i.e. so, vs. that.", "ok."]),
        ("by euler et al. this holds. approx. three.", ["by euler et al. this holds.", "approx. three."]),
        ("at 5 p.m. we go. in E. coli too. end.", ["at 5 p.m. we go.", "in E. coli too.", "end."]),
        ("is it no. so p. then q.", ["is it no.", "so p.", "then q."]),
        ("1. add them.\n2. check. done.", ["1. add them.", "2. check.", "done."]),
        ("hmm... wait. ok", ["hmm... wait.", "ok"]),
    ],
)
def test_a_thought_in_lower_case_has_sentences_too(text, expected):
    assert texts(text) == expected


@pytest.mark.parametrize("style", ["sentences", "paragraphs", "thought-anchors"])
def test_an_empty_line_ends_a_piece_whatever_ends_the_lines(style):
    windows = "The first paragraph\r\n\r\nThe second one\r\n\r\nThe third one"
    assert len(split_sentences(windows, style)) == 3
    assert texts(windows, style) == texts(windows.replace("\r\n", "\n"), style)


DEGENERATE = {
    "marks": "!" * 200_000,
    "dots": "." * 200_000 + "x",
    "quoted dots": '."' * 100_000,
    "closing marks": "." + '"' * 200_000,
    "leading line feeds": "\n" * 200_000 + "x",
    "leading spaced line feeds": "\n " * 100_000 + "x",
    "leading windows lines": "\r\n" * 100_000 + "x",
    "marks in leading line feeds": ".\n" * 100_000,
    "spaces": " " * 200_000 + "x",
    "open displays": "so \\[ x " * 25_000,
    "open parentheses": "so \\( x " * 25_000,
    "open environments": "\\begin{align} x " * 12_000,
    "open environments of many names": "".join(f"\\begin{{{'a' * (k % 300)}b}} x " for k in range(2_000)),
    "dollars": "$a " * 66_000,
    "escaped dollars": "$\\a" * 60_000,
    "double dollars": "$$" * 100_000,
    "code marks": "` " * 100_000,
    "headings": "\n#" * 100_000,
}


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize("text", DEGENERATE.values(), ids=DEGENERATE)
def test_a_degenerate_sample_is_read_once(style, text):
    # Each of these takes minutes where the text is read again from each of its marks.
    assert "".join(span.text for span in split_sentences(text, style)) == text
    assert len(first_sentence(text, style)) <= len(text)


def test_the_published_pieces_come_out_exactly(published):
    solution = json.loads((published / "base_solution.json").read_text())["solution"]
    chunks = [chunk["chunk"] for chunk in json.loads((published / "chunks_labeled.json").read_text())]
    thought = solution.split("</think>")[0]
    spans = split_sentences(thought, "thought-anchors")
    assert [piece(span.text, "thought-anchors") for span in spans] == chunks
    assert "".join(span.text for span in spans) == thought


def test_the_published_rule_joins_short_pieces_and_keeps_the_last():
    cut = split_sentences("Ok.\n\nThis is a sentence. No end here", "thought-anchors")
    assert [piece(span.text, "thought-anchors") for span in cut] == ["Ok. This is a sentence.", "No end here"]
    assert [span.text for span in split_sentences("A long sentence. Ok.", "thought-anchors")] == [
        "A long sentence. Ok."
    ]


def test_a_function_may_cut_and_must_lose_nothing():
    def halves(text):
        middle = len(text) // 2
        return [Span(0, middle, text[:middle]), Span(middle, len(text), text[middle:])]

    assert [span.text for span in split_sentences("abcd", halves)] == ["ab", "cd"]
    with pytest.raises(ConfigError, match="lost the last 2 characters"):
        split_sentences("abcd", lambda text: halves(text)[:1])
    with pytest.raises(ConfigError, match="span 0"):
        split_sentences("abcd", lambda text: halves(text)[1:])


def test_an_unknown_style_names_the_known_ones():
    with pytest.raises(ConfigError, match="thought-anchors"):
        split_sentences("a", "sentence")


def test_the_plugin_offers_every_style():
    specs = {spec.name: spec.factory() for spec in rollouts_register_splitters()}
    assert sorted(specs) == sorted(STYLES)
    assert [span.text for span in specs["lines"]("a\nb")] == ["a\n", "b"]
