r"""Finds the answer in a text: in a box, as a letter, as a number, by a pattern. Knows no samples and no truth.

Where a text has a box, a letter or number is looked for in it first: what follows a box explains it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rollouts.resampling.braces import closed, closing_braces, first_unopened
from rollouts.resampling.words import known_word

Extract: TypeAlias = str | re.Pattern[str] | Callable[[str], str | None]

_BOX = re.compile(r"\\f?boxed\s*\{|\\fbox\s*\{")


def boxed(text: str) -> list[str]:
    r"""What stands in each `\boxed{…}` (or `\fbox{…}`), braces matched; an unclosed one is left out."""
    opened = [match.end() for match in _BOX.finditer(text)]
    pairs = closing_braces(text) if opened else {}
    return [text[start : pairs[start - 1]] for start in opened if start - 1 in pairs]


def forced_box(text: str) -> str | None:
    r"""The answer that goes on from an open `\boxed{`: up to its own closing brace, or all of a stopped line.

    What a stop sequence took away is closed again: `\text{yes` is `\text{yes}`.
    """
    end = first_unopened(text)
    answer = (text if end is None else text[:end]).split("\n", 1)[0].strip().rstrip("$").strip()
    return closed(answer) or None


@dataclass(frozen=True, slots=True)
class InBox:
    r"""Finds the answer in a text that goes on from an open `\boxed{`, as `how` would find it in a whole answer."""

    how: Extract = "boxed"

    def __call__(self, text: str) -> str | None:
        """The answer; a box left open counts, since a stop sequence takes its brace away."""
        content = forced_box(text)
        if content is None:
            return None
        find = extractor(self.how)
        # A pattern may be written for what stands in a box, or for the box.
        inside = find(content)
        return find(f"\\boxed{{{content}}}") if inside is None else inside

    def in_cut(self, text: str) -> str | None:
        """The answer of a text that a limit cut; None where the box is still open: `12` may have become `120`."""
        return None if first_unopened(text) is None else self(text)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the answer in a text, by a named way or a pattern."""

    find: Callable[[str], str | None]

    def __call__(self, text: str) -> str | None:
        """The answer; None where there is none."""
        return self.find(text)

    def in_cut(self, text: str) -> str | None:
        """The answer of a text that a limit cut; None where its next character could have made it another."""
        found = self.find(text)
        return found if self.find(text + ("x" if text[-1:].isspace() else "0")) == found else None


def extractor(extract: Extract) -> Callable[[str], str | None]:
    r"""A function that finds the answer in a text.

    Args:
        extract: `boxed` (the last one), `boxed-first`, `boxed-all` (all of them, joined by commas), `letter` (A–J: in
            the last box that holds one, else the last one stated), `number` (in the last box that holds one, else the
            last one; a box with a fraction, root or power counts as it stands), `last-line`, `text` (all of it),
            `forced-box` (what goes on from an open `\boxed{`), a compiled
            pattern (its first group that took part, else the whole match; the last match counts), or any function.

    Raises:
        ConfigError: No such name.
    """
    if isinstance(extract, re.Pattern):
        return Finder(lambda text: _last_match(extract, text))
    if callable(extract):
        return extract
    known_word("extract", extract, _EXTRACTORS, also=", a compiled pattern or a function")
    return _EXTRACTORS[extract]


def extract(text: str, how: Extract = "boxed") -> str | None:
    """The answer in `text`, as it stands there; None where there is none. `how`: as for `extractor`."""
    return extractor(how)(text)


def _last_match(pattern: re.Pattern[str], text: str) -> str | None:
    last = None
    for last in pattern.finditer(text):  # noqa: B007
        pass
    return None if last is None else next((group for group in last.groups() if group is not None), last[0])


def _first_found(find: Callable[[str], str | None], texts: Iterable[str]) -> str | None:
    return next((found for text in texts if (found := find(text)) is not None), None)


def _last_line(text: str) -> str | None:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)


# ── Letters ──

_BETWEEN = (
    r"(?:[\W_]|\b(?i:answer|be|boxed|choice|choose|clearly|correct|definitely|i|indeed|is|it|letter|likely|math[a-z]{2}|"
    r"must|option|probably|s|say|should|so|text(?:[a-z]{2})?|that|the|then|therefore|think|thus|to|was|will|would)\b"
    r"|[是为選选项項应該该])"
    r"{0,24}?"
)
"""What may stand between `answer` and its letter."""
_GOES_ON = r"(?![-'’]?[A-Za-z0-9])(?!\s*[+=^/])"
"""Part of a word, or of a formula, is no letter of a choice."""
_LETTER = (
    r"(?:\(([A-Ja-j])\)"
    rf"|(?<![A-Za-z0-9])([B-HJ]){_GOES_ON}"
    # "A good idea" and "I think" begin with words.
    rf"|(?<![A-Za-z0-9])([AI]){_GOES_ON}(?!\s+[a-z])"
    rf"|(?<![A-Za-z0-9])(A){_GOES_ON}(?=\s+(?:and|as|because|but|by|for|if|not|or|since|so|which|with)\b))"
)
_STATED = (
    re.compile(rf"(?:\b(?i:answer)s?\b|答案){_BETWEEN}{_LETTER}"),
    re.compile(rf"\b(?i:option|choice|choose|chose|pick|select)s?\b{_BETWEEN}{_LETTER}"),
    re.compile(
        r"(?<![A-Za-z0-9])\(([A-J])\)"
        r"|(?<![A-Za-z0-9])\(([a-j])\)(?=[\s*_$]*(?:[.!]|$))"
        r"|^\W{0,4}([A-J])(?:[).:*]|\s*$)",
        re.MULTILINE,
    ),
)
"""Ways to state a letter, the clearest first: `Option A fails` after `the answer is C` changes nothing."""
_BOXED_LETTER = re.compile(
    r"(?:\\(?:text|math)[a-z]*|\\operatorname|[\s{$*(])*([A-Ja-j])(?=[\s})$*]*(?:[.:)]|$))",
)


def _letter(text: str) -> str | None:
    found = _first_found(_letter_of_a_box, reversed(boxed(text)))
    if found is None:
        found = next((letter for way in _STATED if (letter := _last_match(way, text)) is not None), None)
    return None if found is None else found.upper()


def _letter_of_a_box(content: str) -> str | None:
    match = _BOXED_LETTER.match(content)
    return None if match is None else match[1]


# ── Numbers ──

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.])(?<![A-Za-z0-9]_)[-−+]?(?:\d{1,3}(?:,\d{3})+(?!,?\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:[eE][-+]?\d+|/\d+(?![\d/])(?!\.\d))?"
)
"""A number, `1/2` too; none that belongs to a name (`x_1`, `v2`)."""
_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\\[,;: ]|[  \u2009\u202f])\d{3})+(?![\d])")
"""A number in groups of three, parted by spaces: `10 000`, `10\\,000`."""
_FORMULA = re.compile(r"\\[dtc]?frac|\\sqrt|\^(?!\{?\\circ)")
"""What makes another number of those that stand in it."""


def _number(text: str) -> str | None:
    found = _first_found(_number_of_a_box, reversed(boxed(text)))
    return _last_number(text) if found is None else found


def _number_of_a_box(content: str) -> str | None:
    return content.strip() if _FORMULA.search(content) else _last_number(content)


def _last_number(text: str) -> str | None:
    # LaTeX writes a thousands comma as `{,}` or `,\!`.
    text = _GROUPS.sub(lambda groups: re.sub(r"\D+", "", groups[0]), text)
    found = _NUMBER.findall(text.replace("{,}", ",").replace(",\\!", ","))
    return found[-1].replace(",", "").replace("−", "-").removeprefix("+") if found else None


_EXTRACTORS: dict[str, Callable[[str], str | None]] = {
    "boxed": Finder(lambda text: next(reversed(boxed(text)), None)),
    "boxed-last": Finder(lambda text: next(reversed(boxed(text)), None)),
    "boxed-first": Finder(lambda text: next(iter(boxed(text)), None)),
    "boxed-all": Finder(lambda text: ", ".join(boxed(text)) or None),
    "forced-box": InBox(),
    "letter": Finder(_letter),
    "number": Finder(_number),
    "last-line": Finder(_last_line),
    "text": Finder(lambda text: text.strip() or None),
}
