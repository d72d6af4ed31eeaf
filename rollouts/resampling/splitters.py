"""Cuts a thought into pieces without loss, in any style. Knows nothing of models, prompts or answers.

White space after a sentence belongs to it, so that every span begins with what a reader would call the sentence,
and the texts of all spans joined are the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from rollouts.exceptions import ConfigError
from rollouts.hookspecs import hookimpl
from rollouts.resampling.sentences import sentences
from rollouts.resampling.words import known_word
from rollouts.typing import Span, Spec, Splitter

Style: TypeAlias = str | Splitter
"""A splitter's name, or the splitter itself."""

SHORTEST_PIECE = 10
"""Characters below which the published code joins a piece to the next one."""

_CUT = re.compile(r"[.?!](?=[ \n])|\n(?=\n)|\r(?=\n\r\n)")
_NOT_BLANK = re.compile(r"\S")
_WINDOW = 1000
_OPENERS = ("$", "\\", "`")
"""What a region that is never cut begins with."""


def split_sentences(text: str, style: Style = "sentences") -> list[Span]:
    """Cut `text` into sentences; the spans' texts joined are `text`.

    Args:
        text: What to cut; may be empty.
        style: `sentences` (decimals, lists, LaTeX, code and abbreviations stay whole), `thought-anchors` (the rule of
            Bogdan et al. 2025; `piece` gives the text as published), `paragraphs`, `lines`, or any splitter.

    Raises:
        ConfigError: No such style, or a splitter that loses text.
    """
    splitter = find_splitter(style)
    spans = list(splitter(text))
    if callable(style):
        _check_lossless(text, spans)
    return spans


def first_sentence(text: str, style: Style = "sentences") -> str:
    """The first sentence of `text` without the white space around it; empty where there is none.

    Reads no further than it must, for the named styles.
    """
    if style == "sentences":
        # Looking for the next formula would read all of a long text that has none.
        head = next((span.text for span in sentences(text[:_WINDOW]) if span.text.strip()), "")
        if 0 < len(head) < _WINDOW // 2 and not any(mark in head for mark in _OPENERS):
            return head.strip()
    spans = _LAZY[style](text) if isinstance(style, str) and style in _LAZY else find_splitter(style)(text)
    for span in spans:
        if span.text.strip():
            return piece(span.text, style)
    return ""


def piece(text: str, style: Style = "sentences") -> str:
    """A span's text as shown and compared: stripped; in the style `thought-anchors` joined as published."""
    if style != "thought-anchors":
        return text.strip()
    return " ".join(part for start, end in _raw_pieces(text) if (part := text[start:end].strip()))


def find_splitter(style: Style) -> Splitter:
    """The splitter called `style`, or `style` itself.

    Raises:
        ConfigError: No such style.
    """
    if callable(style):
        return style
    known_word("style", style, STYLES, also=", or a function that cuts")
    return STYLES[style]


def _check_lossless(text: str, spans: Sequence[Span]) -> None:
    at = 0
    for number, span in enumerate(spans):
        if span.start != at or span.text != text[span.start : span.end]:
            raise ConfigError(
                f"the splitter's span {number} is {span.start}–{span.end} where {at} was next: a splitter must return "
                "every character of the text once, in order."
            )
        at = span.end
    if at != len(text):
        raise ConfigError(f"the splitter lost the last {len(text) - at} characters: its spans joined must be the text.")


# ── The published rule ──


def _raw_pieces(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of the pieces before short ones are joined; the blank rest belongs to the last."""
    start, begins = 0, -1  # `begins`: where the piece's first visible character is
    for match in _CUT.finditer(text):
        if begins < start:
            # Looked for once: looking from each of thousands of line feeds would take minutes.
            visible = _NOT_BLANK.search(text, start)
            begins = len(text) if visible is None else visible.start()
        if begins < match.end():
            yield start, match.end()
            start = match.end()
    if start < len(text):
        yield start, len(text)


def _thought_anchors(text: str) -> Iterator[Span]:
    held: tuple[int, int] | None = None  # whole, but a short last piece may still join it
    start, length = -1, 0  # the piece that short ones are joined to
    for begin, end in _raw_pieces(text):
        stripped = len(text[begin:end].strip())
        if not stripped:
            continue
        length = stripped if start < 0 else length + 1 + stripped
        start = begin if start < 0 else start
        if length >= SHORTEST_PIECE:
            if held is not None:
                yield _with_space(text, *held)
            held, start = (start, end), -1
    if start >= 0:
        held = (start if held is None else held[0], len(text))
    if held is not None:
        yield _with_space(text, held[0], len(text))
    elif text:
        yield Span(0, len(text), text)


def _with_space(text: str, start: int, end: int) -> Span:
    """The span without the white space of its predecessor, with its own; leading space of the text is kept."""
    first = start
    while first and first < end and text[first].isspace():
        first += 1
    while end < len(text) and text[end].isspace():
        end += 1
    return Span(first, end, text[first:end])


# ── Empty lines and line ends ──


def _cut_after(pattern: re.Pattern[str]) -> Callable[[str], Iterator[Span]]:
    def cut(text: str) -> Iterator[Span]:
        start = 0
        for match in pattern.finditer(text):
            if match.end() < len(text) and not text[start : match.end()].isspace():
                yield Span(start, match.end(), text[start : match.end()])
                start = match.end()
        if start < len(text):
            yield Span(start, len(text), text[start:])

    return cut


_LAZY: dict[str, Callable[[str], Iterator[Span]]] = {
    "sentences": sentences,
    "thought-anchors": _thought_anchors,
    "paragraphs": _cut_after(re.compile(r"\n[ \t]*\r?\n\s*")),
    "lines": _cut_after(re.compile(r"\n\s*")),
}


def _eager(lazy: Callable[[str], Iterator[Span]]) -> Splitter:
    return lambda text: list(lazy(text))


STYLES: dict[str, Splitter] = {name: _eager(lazy) for name, lazy in _LAZY.items()}
"""The splitters that come with the package."""

_DESCRIPTIONS = {
    "sentences": "sentences; decimals, lists, LaTeX, code and abbreviations stay whole",
    "thought-anchors": "the rule of Thought Anchors (Bogdan et al. 2025), last piece kept",
    "paragraphs": "at empty lines",
    "lines": "at line ends",
}


@hookimpl
def rollouts_register_splitters() -> Sequence[Spec]:
    """The four splitters of the package."""
    return [Spec(name=name, factory=lambda s=s: s, description=_DESCRIPTIONS[name]) for name, s in STYLES.items()]
