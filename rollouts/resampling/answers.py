"""Finds and judges the answers of samples. Runs on stored ones as often as one likes; sends nothing.

A sample without an answer is never silently left out or counted wrong: `no_answer`, `truncated` and `error` are
classes of their own, and a policy says what becomes of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from rollouts.resampling.equality import Grade, as_truth, normalize
from rollouts.resampling.extracting import Extract, extractor
from rollouts.resampling.words import known_word
from rollouts.results import Failure, Response

AnswerClass: TypeAlias = Literal["answered", "no_answer", "truncated", "error"]
Policy: TypeAlias = Literal["drop", "wrong", "own"]
"""What becomes of a sample without an answer.

`drop`: left out of every count. `wrong`: counted, not correct; all such samples are one category of the answers'
distribution. `own`: counted, not correct; a category for each class.
"""
Policies: TypeAlias = Policy | Mapping[str, Policy]
"""One policy for all classes, or one for each (`drop` where a class is not named)."""
Where: TypeAlias = Literal["answer", "anywhere"]

_POLICIES = ("drop", "wrong", "own")
_MISSING = ("no_answer", "truncated", "error")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in one sample."""

    kind: AnswerClass
    text: str | None = None
    """The normalised answer; None unless `kind` is `answered`."""


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
        find: Finds the answer in a text. That of a text that a limit cut is found by its `in_cut`, where it has one:
            `12` may have become `120`.
        where: `answer`: after the thought (where the model stopped of itself and left the thought open, in all that
            it wrote); `anywhere`: in thought and answer.
        normalise: What makes equal answers equal strings; None leaves them as they stand.
    """
    if isinstance(slot, Failure) or slot.finish_reason == "error":
        return Answer("error")
    cut = slot.finish_reason == "length"
    open_thought = slot.completed_reasoning is False
    text = slot.full if where == "anywhere" or (open_thought and not cut) else "" if open_thought else slot.content
    in_cut = getattr(find, "in_cut", None) if cut else None
    found = find(text) if in_cut is None else in_cut(text)
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
    """The answer of each sample; give `rollouts.slots` so that failed ones are counted too.

    Raises:
        ConfigError: `how` or `where` is not known.
    """
    find = extractor(how)
    check_where(where)
    if normalise is not None:
        normalise = cache(normalise)
    return [classify(slot, find, where=where, normalise=normalise) for slot in samples]


def check_where(where: str) -> None:
    """Do nothing where `where` is known; else a `ConfigError`."""
    known_word("where", where, ("answer", "anywhere"))


def check_policy(policy: Policies) -> None:
    """Do nothing where `policy` is known, for each class that it names; else a `ConfigError`."""
    if not isinstance(policy, Mapping):
        known_word("policy", policy, _POLICIES)
        return
    for name, chosen in policy.items():
        known_word("the policy's class", name, _MISSING)
        known_word(f"the policy of {name}", chosen, _POLICIES)


def category(answer: Answer, policy: Policies = "drop") -> str | None:
    """The answer's name in a distribution; None where it is left out.

    Raises:
        ConfigError: The policy is not known.
    """
    if answer.kind == "answered":
        return answer.text
    chosen = policy if isinstance(policy, str) else policy.get(answer.kind, "drop")
    if chosen not in _POLICIES:
        check_policy(policy)
    return {"drop": None, "wrong": "(no answer)", "own": f"({answer.kind})"}[chosen]


def is_missing(name: str) -> bool:
    """Whether a distribution's category stands for samples without an answer."""
    return name in ("(no answer)", "(no_answer)", "(truncated)", "(error)")


def correctness(
    answers: Sequence[Answer], truth: Grade, policy: Policies = "drop", normalise: Callable[[str], str] = normalize
) -> list[bool | None]:
    """Whether each answer is right; None where the policy leaves it out. Equal answers are judged once.

    Args:
        answers: As `answers_of` found them, with the same `normalise`.
        truth: The true answer, which is normalised here, or a function that judges a normalised answer.
        policy: What becomes of samples without an answer.
        normalise: What made equal answers equal strings. Not applied to the answers again: to its own result a rule may
            do another thing (`normalize_latex` does).

    Raises:
        ConfigError: The truth or the policy is not known.
    """
    check_policy(policy)
    known = as_truth(truth)
    right = cache(known) if callable(known) else normalise(known).__eq__
    return [
        right(answer.text) if answer.text is not None else None if category(answer, policy) is None else False
        for answer in answers
    ]
