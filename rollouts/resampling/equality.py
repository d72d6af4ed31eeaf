r"""Says which answers are equal: by the form they are written in, not by algebra (`1/2` and `0.5` are two answers).

Knows no samples. An answer is normalised once; the truth is normalised likewise, and the two are compared as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from numbers import Real
from typing import TypeAlias

from rollouts.exceptions import ConfigError
from rollouts.resampling.braces import closing_braces

Grade: TypeAlias = str | float | Callable[[str], bool]
"""The true answer (a number stands for its digits), or a function that says whether an answer is right."""

_SPACE = " "
_COMMANDS = {
    **dict.fromkeys(("\\dfrac", "\\tfrac", "\\cfrac"), "\\frac"),
    **dict.fromkeys(("\\times", "\\cdot"), "*"),
    **dict.fromkeys(("\\left", "\\right", "\\%", "%", "\\$", "$", "\\!", "^{\\circ}", "^\\circ", "°", "{,}"), ""),
    **dict.fromkeys(("\\,", "\\;", "\\:", "\\ ", "~"), _SPACE),
    "−": "-",
}
"""Ways of writing that make no difference, and what stands for them."""
_TOKEN = re.compile(r"\^\{\\circ\}|\^\\circ(?![a-z])|\{,\}|\\[a-z]+|\\.|[%$°~−]", re.DOTALL)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|mbox|operatorname)\s*\{")
_TAKES_BRACES = re.compile(r"\\(frac|sqrt)(?![a-z])")
_ARGUMENT = re.compile(r"\s*(?:(?P<brace>\{)|(?P<bare>[a-z0-9]|\\(?!frac|sqrt)[a-z]+))")
_SCRIPT = re.compile(r"([\^_])\{([a-z0-9])\}")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d*)?")
_NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<part>\d*))?")


def normalize(answer: str) -> str:
    r"""An answer in the form in which equal ones are equal strings; normalising it again changes nothing.

    Case, spaces, `\dfrac`, `\text`, `%`, `$`, the sign of degrees and needless braces make no difference.
    An answer that is one number loses thousands separators and needless zeros and signs (`+1,200.0` is `1200`, `.5` is
    `0.5`, `-0` is `0`). A comma with white space, or one within a larger answer, separates: `1, 234` and `(1,234)` are
    two numbers each. So does white space between digits, except in one number's groups of three.
    """
    text = answer.lower()
    while (shorter := _normalized_once(text)) != text:
        text = shorter
    return text


def _normalized_once(text: str) -> str:
    text = _TOKEN.sub(lambda match: _COMMANDS.get(match[0], match[0]), text)
    text = _with_braces(_opened(text))
    text = _SCRIPT.sub(r"\1\2", re.sub(r"\s+", " ", text))
    return _plain_number(_without_spaces(_peeled(text.strip())).rstrip("."))


def _opened(text: str) -> str:
    r"""Without `\text{…}` and its like around what they hold."""
    marks = list(_TEXT.finditer(text))
    pairs = closing_braces(text) if marks else {}
    dropped = [(mark.start(), mark.end()) for mark in marks if mark.end() - 1 in pairs]
    dropped += [(pairs[end - 1], pairs[end - 1] + 1) for _, end in dropped]
    return _edited(text, [(start, end, "") for start, end in dropped])


def _with_braces(text: str) -> str:
    r"""With braces around every argument of `\frac` and `\sqrt` (`\frac12`, `\frac 12`, `\sqrt2`)."""
    marks = list(_TAKES_BRACES.finditer(text))
    pairs = closing_braces(text) if marks else {}
    edits = []
    for mark in marks:
        at = mark.end()
        for _ in range(2 if mark[1] == "frac" else 1):
            argument = _ARGUMENT.match(text, at)
            if argument is None or (argument["brace"] and argument.end() - 1 not in pairs):
                break
            if argument["bare"]:
                edits.append((at, argument.end(), f"{{{argument['bare']}}}"))
                at = argument.end()
            else:
                edits.append((at, argument.end() - 1, ""))
                at = pairs[argument.end() - 1] + 1
    return _edited(text, edits)


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    parts, done = [], 0
    for start, end, new in sorted(edits):
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


def _peeled(text: str) -> str:
    """Without braces around the whole, or around nothing but braces."""
    pairs = closing_braces(text) if "{" in text else {}
    needless = [(a, b) for a, b in pairs.items() if pairs.get(a - 1) == b + 1 or (a == 0 and b == len(text) - 1)]
    return _edited(text, [(at, at + 1, "") for pair in needless for at in pair]).strip()


def _without_spaces(text: str) -> str:
    """Without white space, except where it tells two numbers from one."""
    if _GROUPED.fullmatch(text):
        return re.sub("[, ]", "", text)
    dense = re.sub(r"(?<!\d) | (?!\d)", "", text)
    if not _GROUPED.fullmatch(dense):
        return dense
    # `1, 234` would read as one number without its space.
    return re.sub(r" , ?|, ", ", ", re.sub(r"(?<![\d,]) | (?![\d,])", "", text))


def _plain_number(text: str) -> str:
    number = _NUMBER.fullmatch(text)
    if number is None or not (number["whole"] or number["part"]):
        return text
    whole, part = number["whole"].lstrip("0") or "0", (number["part"] or "").rstrip("0")
    value = f"{whole}.{part}" if part else whole
    return f"-{value}" if number["sign"] == "-" and value != "0" else value


# ── The published rule ──

_PUBLISHED_SIGNS = (("\\%", ""), ("{,}", ""), ("\\times", "*"), ("\\cdot", "*"))
_EITHER_POINT = re.compile(r"(\d+)[.,](\d+)")
_INNERMOST = re.compile(r"\{([^{}]+)\}")
_NAMED = (re.compile(r"\\text\{([^{}]+)\}"), re.compile(r"\\mathrm\{([^{}]+)\}"))
_DATE = re.compile(r"([a-z]+)\\+(\d+)")


def normalize_latex(answer: str) -> str:
    r"""The published rule of Thought Anchors for comparing answers (its `utils.py`), step by step, oddities included.

    Lower case; `\dfrac` and `\tfrac` as `\frac`; white space, `\%` and `{,}` removed; `\times` and `\cdot` as `*`; a
    comma between digits is a decimal point (`1,000` is `1.000`); innermost braces off, one level, those of `\text{…}`
    and `\mathrm{…}` too; `\pi` as `pi`; `\text` removed. So `\mathrm{A}` becomes `\mathrma`. It is meant to be applied
    once: applied to its own result it may take off another level.

    The published code then calls different strings equal where sympy parses both and finds them equal (`0.5` and
    `\frac{1}{2}`). That step is not here: such answers are two answers and at most one of them is right, so an accuracy
    can be lower than a published one. How many published judgements it decided cannot be known: the published data
    holds no answers of single rollouts.
    """
    text = re.sub(r"\s+", "", answer.lower().replace("dfrac", "frac").replace("tfrac", "frac"))
    for old, new in _PUBLISHED_SIGNS:
        text = text.replace(old, new)
    text = _INNERMOST.sub(r"\1", _EITHER_POINT.sub(r"\1.\2", text)).replace("\\pi", "pi")
    for named in _NAMED:
        text = named.sub(r"\1", text)
    return _DATE.sub(r"\1\2", text).replace("\\text", "")


# ── Truth ──


def as_truth(truth: Grade) -> str | Callable[[str], bool]:
    """The truth as text or function; a number as its digits.

    Raises:
        ConfigError: It is neither, or empty.
    """
    if isinstance(truth, Real) and not isinstance(truth, bool):
        return str(int(truth)) if truth == truth // 1 else str(truth)
    if callable(truth) or (isinstance(truth, str) and truth.strip()):
        return truth
    raise ConfigError(f"truth={truth!r}: give the true answer as text or a number, or a function that judges one.")


def grade(answer: str | None, truth: Grade, normalise: Callable[[str], str] = normalize) -> bool:
    """Whether `answer` is the true one: equal after `normalise`, or as the callable `truth` says. None is wrong.

    Raises:
        ConfigError: A truth that is neither text, number nor function.
    """
    known = as_truth(truth)
    if answer is None:
        return False
    return known(answer) if callable(known) else normalise(answer) == normalise(known)
