"""The rules that every splitter keeps.

class TestMine(SplitterContract):
    def make(self):
        return split_mine
"""

from __future__ import annotations

from rollouts.typing import Span, Splitter

__all__ = ["SplitterContract"]

TEXTS = (
    "One. Two! Three?",
    " One.  Two.\n\n\nThree \n",
    "No end",
    "...",
    "\n",
    " ",
    "Dr. No paid $3.50, i.e. 3.5. So $x = 1.5$. \\[ a. b \\]",
    "```\ncode. more.\n```\n1. First.\n2. Second.",
    "四。五！🙂 \ud83d nul \x00 \r\n tab\t\u2028 end",
    "a. " * 2000,
)


class SplitterContract:
    """Subclass with `make`."""

    def make(self) -> Splitter:
        """The splitter under test."""
        raise NotImplementedError

    def test_is_lossless(self) -> None:
        """The spans' texts joined are the text, and each begins where the one before it ends."""
        split = self.make()
        for text in TEXTS:
            at = 0
            for span in split(text):
                assert isinstance(span, Span)
                assert (span.start, span.text) == (at, text[span.start : span.end])
                at = span.end
            assert at == len(text)

    def test_no_span_is_empty(self) -> None:
        """A prefix would be asked twice."""
        split = self.make()
        for text in TEXTS:
            assert all(span.end > span.start for span in split(text))

    def test_nothing_has_no_spans(self) -> None:
        """An empty thought has no sentence."""
        assert list(self.make()("")) == []

    def test_the_same_text_is_cut_the_same_way(self) -> None:
        """Prefix `i` names the same text for ever."""
        split = self.make()
        for text in TEXTS:
            assert list(split(text)) == list(split(text)) == list(self.make()(text))
