"""Which braces of a text belong together. Knows nothing of answers.

Each text is read once, however many boxes it opens: a degenerate sample opens thousands and closes none.
"""

from __future__ import annotations

import re

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or an escaped character, which is none."""


def closing_braces(text: str) -> dict[int, int]:
    """Where each opened brace is closed; one that is never closed is left out."""
    opened: list[int] = []
    pairs = {}
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            pairs[opened.pop()] = match.start()
    return pairs


def first_unopened(text: str) -> int | None:
    """Where the brace is closed that was opened before the text; None where it stays open."""
    depth = 0
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            if depth == 0:
                return match.start()
            depth -= 1
    return None


def closed(text: str) -> str:
    """The text with a closing brace for each that is still open at its end."""
    depth = 0
    for match in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1 if depth else 0}.get(match[0], 0)
    return text + "}" * depth
