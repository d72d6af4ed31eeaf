"""Finds where the sentences of a thought end, as a reader would. Loses no character; knows no other style.

Every text is read once, left to right: a degenerate sample (thousands of marks, of line feeds, of formulas
never closed) costs no more than another of its length.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from rollouts.typing import Span

_MARKER = r"(?:[-*+•][ \t]|\(?\d{1,3}[.)][ \t]|\#{1,6}[ \t])"
_BOUNDARY = re.compile(
    # Only at the first of several marks, and without going back: `!!!!` would be read once from each of its marks.
    r"(?P<stop>(?<![.?!…])[.?!…]++[\"'”’)\]*_]*+)(?=\s)"
    r"|(?P<wide>[。！？]+[”’」』）]*)"
    rf"|(?P<line>\n)(?=[ \t]*\r?\n|[ \t]*{_MARKER})"
)
_NOT_BLANK = re.compile(r"\S")
_BEFORE = 40
"""Characters before a mark that are looked at."""


def _words(listed: str) -> frozenset[str]:
    return frozenset(re.findall(r"\S+", listed))


_ABBREVIATIONS = _words(
    "al approx avg ca cf ch coef coeff col cor def deg dept dim dr e.g eg eq eqs eqn etc ex fig figs gen i.e ie inc jr "
    "lem ltd max min mr mrs ms no nos op p pp prof prop resp sec sect sr st thm viz vol vs w.l.o.g wlog w.r.t wrt"
)
_ENDS_SOMETIMES = _words("al avg ch coef coeff col def deg dim etc ex gen inc jr ltd max min no op p sr st")
"""Abbreviations after which a sentence may end: it goes on before a number or a lower-case word."""
_WORDS_TOO = _words("no p")
"""Abbreviations that are words or variables as often: only a number goes on."""
_OPENING_WORDS = _words(
    "a actually after all also although an and are as assume at because but by check compute consider done finally "
    "first for from given he hence her here his hmm how however i if in is it its let maybe my next no not now of ok "
    "okay on or our perhaps second she similarly since so suppose thanks that the their then there therefore these "
    "they this those thus to wait was we well what when where which while who why with yes you"
)
"""Words that rather begin a sentence after `U.S.` than go on with a name (`U.S. Army`)."""
_WORD = re.compile(r"([A-Za-z][A-Za-z.]*)$")
_DOTTED = re.compile(r"(?:[A-Za-z]{1,2}\.)+[A-Za-z]")
"""`U.S`, `Ph.D`, `p.m`: an abbreviation by its look."""
_LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*\(?(?:\d{1,3}|[A-Za-z])$")
_INITIAL = re.compile(r"(?:^|\s)[A-Z]$")
_INITIAL_NEXT = re.compile(r"[A-Z]\.")
_INITIALS = re.compile(r"(?:^|\s)[A-Z]\.\s+[A-Z]$")
_NEXT_WORD = re.compile(r"[A-Za-z]+")
_OPERATORS = tuple("/*+-=^<>×·,;)]")
"""What follows a factorial's mark (`4! / 2!`), never a sentence's."""


def sentences(text: str) -> Iterator[Span]:
    """The sentences of `text`, each with the white space after it; lazily."""
    start = 0
    begins = _begins(text, 0)
    regions = protected(text)
    region = next(regions, None)
    for match in _BOUNDARY.finditer(text):
        at = match.start()
        while region is not None and region[1] <= at:
            region = next(regions, None)
        if at < start or match.end() <= begins or (region is not None and region[0] <= at):
            continue
        if match.lastgroup == "stop" and _goes_on(text, start, match):
            continue
        end = _begins(text, match.end())
        if end >= len(text):
            break
        yield Span(start, end, text[start:end])
        start = begins = end
    if start < len(text):
        yield Span(start, len(text), text[start:])


def _begins(text: str, at: int) -> int:
    """Where the white space from `at` on ends."""
    match = _NOT_BLANK.search(text, at)
    return len(text) if match is None else match.start()


# ── What is never cut ──

_OPENER = re.compile(
    r"(?P<code>```)|(?P<pair>\$\$|\\\[|\\\()|\\begin\{(?P<env>[a-zA-Z*]+)\}|(?P<inline>(?<![\\$])\$(?![\s$]))"
)
_END = re.compile(r"\\end\{([a-zA-Z*]+)\}")
_INLINE = re.compile(r"\$(?:[^$\n\\]|\\.|\n(?!\s*\n))*\$", re.DOTALL)
_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}


def protected(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of code and formulas, which are never cut; lazily. What is never closed protects nothing."""
    missing: set[str] = set()
    ends: dict[str, list[int]] | None = None
    at = 0
    while (match := _OPENER.search(text, at)) is not None:
        start, end = match.start(), None
        if match["code"]:
            closed = text.find("```", match.end())
            end = len(text) if closed < 0 else closed + 3
        elif match["pair"]:
            closer = _CLOSERS[match["pair"]]
            # What is not found once is not found further on: it is never looked for again.
            closed = -1 if closer in missing else text.find(closer, match.end() + 1)
            if closed < 0:
                missing.add(closer)
            else:
                end = closed + 2
        elif match["env"]:
            ends = _ends(text, match.end()) if ends is None else ends
            closing = ends.get(match["env"], [])
            first = bisect_left(closing, match.end() + len(match["env"]) + 6)
            end = closing[first] if first < len(closing) else None
        else:
            end = _inline_end(text, start)
        if end is None:
            at = start + 1
        else:
            yield start, end
            at = end


def _ends(text: str, at: int) -> dict[str, list[int]]:
    r"""Where each `\end{…}` ends, by its environment."""
    found: dict[str, list[int]] = {}
    for match in _END.finditer(text, at):
        found.setdefault(match[1], []).append(match.end())
    return found


def _inline_end(text: str, start: int) -> int | None:
    """Where the formula between single dollars ends; None where the dollar is a price."""
    match = _INLINE.match(text, start)
    if match is None:
        return None
    last, after = text[match.end() - 2], text[match.end() : match.end() + 1]
    return None if last.isspace() or last == "\\" or after == "$" or after.isdecimal() else match.end()


# ── Marks that end no sentence ──


def _goes_on(text: str, start: int, match: re.Match[str]) -> bool:
    """True where the mark ends no sentence: an abbreviation, a list's number, initials, an operator after it."""
    mark = match["stop"]
    before = text[max(start, match.start() - _BEFORE) : match.start()]
    after = text[match.end() : match.end() + _BEFORE].lstrip(" \t")
    lower = after[:1].islower()
    if mark in ("...", "…"):
        return lower
    if mark[0] != ".":
        return after[:1] in _OPERATORS or (mark[-1] in "\"'”’)" and lower)
    if not before.strip():
        return False
    if _LIST_NUMBER.search(before) and (match.start() - start) < _BEFORE and _at_line_start(text, start, before):
        return True
    if lower and mark[-1] in "\"'”’)":
        return True
    if _INITIAL.search(before) and (lower or _INITIAL_NEXT.match(after) or _INITIALS.search(before)):
        return True
    word = _WORD.search(before)
    return word is not None and _abbreviates(word[1], after)


def _abbreviates(word: str, after: str) -> bool:
    """Whether the full stop belongs to `word`, by what follows it."""
    name = word.lower()
    lower, digit = after[:1].islower(), after[:1].isdigit()
    if name in _WORDS_TOO:
        return digit
    if name in _ABBREVIATIONS:
        return lower or digit or name not in _ENDS_SOMETIMES
    if _DOTTED.fullmatch(word) is None:
        return False
    following = _NEXT_WORD.match(after)
    named = following is not None and following[0].lower() not in _OPENING_WORDS
    return lower or (named and any(letter.isupper() for letter in word))


def _at_line_start(text: str, start: int, before: str) -> bool:
    line = before.rsplit("\n", 1)[-1]
    if "\n" in before:
        return True
    return start == 0 or text[start - 1].isspace() or not line.strip()
