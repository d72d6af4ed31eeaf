r"""Finds the answer in a text and judges it. Runs on stored samples as often as one likes; sends nothing.

A sample without an answer is never silently left out or counted wrong: `no_answer`, `truncated` and `error` are
classes of their own, and a policy says what becomes of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from rollouts.exceptions import ConfigError
from rollouts.results import Failure, Response

AnswerClass: TypeAlias = Literal["answered", "no_answer", "truncated", "error"]
Policy: TypeAlias = Literal["drop", "wrong", "own"]
"""What becomes of a sample without an answer.

`drop`: left out of every count. `wrong`: counted, not correct; all such samples are one category of the answers'
distribution. `own`: counted, not correct; a category for each class.
"""
Policies: TypeAlias = Policy | Mapping[str, Policy]
"""One policy for all classes, or one for each (`drop` where a class is not named)."""
Extract: TypeAlias = str | re.Pattern[str] | Callable[[str], str | None]
Grade: TypeAlias = str | Callable[[str], bool]
Where: TypeAlias = Literal["answer", "anywhere"]

_LETTER = re.compile(
    r"(?i:answer|option|choice)(?i:\s+is)?\W{0,6}([A-J])(?![A-Za-z])"
    r"|\(([A-J])\)"
    r"|^\W{0,4}([A-J])(?:[).:,*]|\s*$)"
    r"|\\boxed\{(?:\\text\{)?\(?([A-J])\)?\}",
    re.MULTILINE,
)
_NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in one sample."""

    kind: AnswerClass
    text: str | None = None
    """The normalised answer; None unless `kind` is `answered`."""


def boxed(text: str) -> list[str]:
    r"""What stands in each `\boxed{…}` (or `\fbox{…}`), braces matched; an unclosed one is left out."""
    found = []
    for match in re.finditer(r"\\f?boxed\s*\{|\\fbox\s*\{", text):
        end = _closing_brace(text, match.end())
        if end is not None:
            found.append(text[match.end() : end])
    return found


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    escaped = False
    for at in range(start, len(text)):
        character = text[at]
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return at
    return None


def forced_box(text: str) -> str | None:
    r"""The answer that goes on from an open `\boxed{`: up to its own closing brace, or all of a stopped line."""
    end = _closing_brace(text, 0)
    answer = (text if end is None else text[:end]).split("\n", 1)[0].strip().rstrip("$").strip()
    return answer or None


def extractor(extract: Extract) -> Callable[[str], str | None]:
    r"""A function that finds the answer in a text.

    Args:
        extract: `boxed` (the last one), `boxed-first`, `boxed-all` (all of them, joined by commas), `letter` (A–J,
            the last one stated), `number` (the last one), `last-line`, `text` (all of it), a compiled pattern (its
            first group that took part, else the whole match; the last match counts), or any function.

    Raises:
        ConfigError: No such name.
    """
    if isinstance(extract, re.Pattern):
        return lambda text: _last_match(extract, text)
    if callable(extract):
        return extract
    known: dict[str, Callable[[str], str | None]] = {
        "boxed": lambda text: next(reversed(boxed(text)), None),
        "boxed-last": lambda text: next(reversed(boxed(text)), None),
        "boxed-first": lambda text: next(iter(boxed(text)), None),
        "boxed-all": lambda text: ", ".join(boxed(text)) or None,
        "forced-box": forced_box,
        "letter": lambda text: _last_match(_LETTER, text),
        "number": _last_number,
        "last-line": lambda text: next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None),
        "text": lambda text: text.strip() or None,
    }
    if extract not in known:
        raise ConfigError(f"extract={extract!r} is not known: use one of {', '.join(known)}, a pattern or a function.")
    return known[extract]


def _last_match(pattern: re.Pattern[str], text: str) -> str | None:
    last = None
    for last in pattern.finditer(text):  # noqa: B007
        pass
    return None if last is None else next((group for group in last.groups() if group is not None), last[0])


def _last_number(text: str) -> str | None:
    found = _NUMBER.findall(text)
    return found[-1].replace(",", "").replace("−", "-").removeprefix("+") if found else None


def extract(text: str, how: Extract = "boxed") -> str | None:
    """The answer in `text`, as it stands there; None where there is none. `how`: as for `extractor`."""
    return extractor(how)(text)


# ── Equality ──


_SYNONYMS = (
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("\\times", "*"),
    ("\\cdot", "*"),
    ("\\left", ""),
    ("\\right", ""),
    ("\\%", ""),
    ("%", ""),
    ("\\$", ""),
    ("$", ""),
    ("\\!", ""),
    ("\\,", ""),
    ("\\;", ""),
    ("\\ ", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("{,}", ""),
)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname)\{([^{}]*)\}")
_SIMPLE_BRACES = re.compile(r"\{([^{}]*)\}")
_SHORT_FRACTION = re.compile(r"\\frac(\d)(\d)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")


def normalize(answer: str) -> str:
    r"""An answer in the form in which equal ones are equal strings.

    Case, spaces, `\dfrac`, `\text`, `%`, `$` and the sign of degrees make no difference.
    Numbers lose thousands separators and needless zeros (`1,200.0` is `1200`).
    """
    text = _TEXT.sub(r"\1", answer.strip())
    for old, new in _SYNONYMS:
        text = text.replace(old, new)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _THOUSANDS.sub("", re.sub(r"\s+", "", text)).rstrip(".").lower()
    if len(text) > 1 and text[0] == "{" and _closing_brace(text, 1) == len(text) - 1:
        text = text[1:-1]
    return _plain_number(text)


def _plain_number(text: str) -> str:
    if re.fullmatch(r"[+-]?\d+\.\d*", text):
        text = text.rstrip("0").rstrip(".")
    return re.sub(r"^\+(?=\d)", "", text)


def normalize_latex(answer: str) -> str:
    r"""The published rule of Thought Anchors for comparing answers (its `utils.py`), for compatible numbers.

    Lower case; `\dfrac` and `\tfrac` as `\frac`; white space, `%`, `{,}` removed; `\times` and `\cdot` as `*`;
    `\text{…}` opened; one level of braces off.
    """
    text = answer.strip().lower().replace("dfrac", "frac").replace("tfrac", "frac")
    text = re.sub(r"\s+", "", text).replace("\\%", "").replace("{,}", "")
    text = text.replace("\\times", "*").replace("\\cdot", "*")
    text = _SIMPLE_BRACES.sub(r"\1", _TEXT.sub(r"\1", text))
    return text.replace("%", "")


def grade(answer: str | None, truth: Grade, normalise: Callable[[str], str] = normalize) -> bool:
    """Whether `answer` is the true one: equal after `normalise`, or as the callable `truth` says. None is wrong."""
    if answer is None:
        return False
    return truth(answer) if callable(truth) else normalise(answer) == normalise(truth)


# ── Samples ──


def classify(
    slot: Response | Failure,
    find: Callable[[str], str | None],
    *,
    where: Where = "answer",
    normalise: Callable[[str], str] | None = normalize,
) -> Answer:
    """The answer of one sample, or why it has none.

    Args:
        slot: The sample; a `Failure` is an `error`.
        find: Finds the answer in a text.
        where: `answer`: after the thought (where the model stopped of itself and left the thought open, in all that
            it wrote); `anywhere`: in thought and answer.
        normalise: What makes equal answers equal strings; None leaves them as they stand.
    """
    if isinstance(slot, Failure) or slot.finish_reason == "error":
        return Answer("error")
    cut = slot.finish_reason == "length"
    open_thought = slot.completed_reasoning is False
    text = slot.full if where == "anywhere" or (open_thought and not cut) else "" if open_thought else slot.content
    found = find(text)
    if found is None:
        return Answer("truncated" if cut else "no_answer")
    name = normalise(found) if normalise is not None else found
    return Answer("answered", name) if name else Answer("no_answer")


def answers_of(
    samples: Iterable[Response | Failure],
    how: Extract = "boxed",
    *,
    where: Where = "answer",
    normalise: Callable[[str], str] | None = normalize,
) -> list[Answer]:
    """The answer of each sample; give `rollouts.slots` so that failed ones are counted too."""
    find = extractor(how)
    if normalise is not None:
        normalise = cache(normalise)
    return [classify(slot, find, where=where, normalise=normalise) for slot in samples]


def category(answer: Answer, policy: Policies = "drop") -> str | None:
    """The answer's name in a distribution; None where it is left out."""
    if answer.kind == "answered":
        return answer.text
    chosen = policy if isinstance(policy, str) else policy.get(answer.kind, "drop")
    if chosen not in ("drop", "wrong", "own"):
        raise ConfigError(f"policy={chosen!r}: give drop, wrong or own.")
    return {"drop": None, "wrong": "(no answer)", "own": f"({answer.kind})"}[chosen]


def is_missing(name: str) -> bool:
    """Whether a distribution's category stands for samples without an answer."""
    return name in ("(no answer)", "(no_answer)", "(truncated)", "(error)")


def correctness(
    answers: Sequence[Answer], truth: Grade, policy: Policies = "drop", normalise: Callable[[str], str] = normalize
) -> list[bool | None]:
    """Whether each answer is right; None where the policy leaves it out. Equal answers are judged once."""
    judged: dict[str, bool] = {}
    result: list[bool | None] = []
    for answer in answers:
        if answer.text is not None:
            if answer.text not in judged:
                judged[answer.text] = grade(answer.text, truth, normalise)
            result.append(judged[answer.text])
        else:
            result.append(None if category(answer, policy) is None else False)
    return result
