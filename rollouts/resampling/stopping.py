"""When enough samples of a position are there: rules for `until=`. Pure arithmetic.

A rule sees the samples in the order of their numbers, only after all of a round are there: quick answers are often
of another kind than slow ones, and judging them first would bias what is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist
from typing import TypeAlias

from rollouts.exceptions import ConfigError
from rollouts.resampling.answers import Answer, Policies, category, check_policy
from rollouts.resampling.words import known_word

Rule: TypeAlias = Callable[[Sequence[Answer], Sequence[bool | None]], bool]
"""True once the samples so far are enough. Gets the answers and whether each is right (None: left out, or no truth)."""


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if correct == 0 else max(0.0, middle - half)), (1.0 if correct == n else min(1.0, middle + half))


def width_below(width: float, *, confidence: float = 0.95, of: str = "accuracy", policy: Policies = "drop") -> Rule:
    """Enough when Wilson's interval is narrower than `width`.

    Args:
        width: Full width of the interval, between 0 and 1.
        confidence: Its level.
        of: `accuracy`, or `majority`: the share of the most frequent answer, for which no truth is needed.
        policy: What becomes of samples without an answer in the share of the majority; give it the policy of the
            resampling. The accuracy follows that of the resampling by itself.

    Raises:
        ConfigError: A width or level out of range; `of` or `policy` is not known.
    """
    if not 0 < width < 1 or not 0 < confidence < 1:
        raise ConfigError(f"width={width}, confidence={confidence}: both must lie between 0 and 1.")
    known_word("of", of, ("accuracy", "majority"))
    check_policy(policy)

    def enough(answers: Sequence[Answer], correct: Sequence[bool | None]) -> bool:
        if of == "accuracy":
            judged = [c for c in correct if c is not None]
            hits, n = sum(judged), len(judged)
        else:
            votes = _votes(answers, policy)
            hits, n = max(votes.values(), default=0), votes.total()
        low, high = wilson(hits, n, confidence)
        return high - low < width

    return enough


def converged(share: float = 0.99, *, at_least: int = 20, policy: Policies = "drop") -> Rule:
    """Enough when `share` of at least `at_least` counted samples agree (the early stop of Thought Branches).

    Args:
        share: Share of the counted samples that must agree.
        at_least: Counted samples below which the rule is never content.
        policy: What becomes of samples without an answer. With `drop` they are not counted: a position that is mostly
            cut may converge on a few answers. Give it the policy of the resampling.

    Raises:
        ConfigError: A share outside (0, 1], or no sample; `policy` is not known.
    """
    if not 0 < share <= 1 or at_least < 1:
        raise ConfigError(f"share={share}, at_least={at_least}: a share lies in (0, 1], at least one sample is needed.")

    check_policy(policy)

    def enough(answers: Sequence[Answer], correct: Sequence[bool | None]) -> bool:
        votes = _votes(answers, policy)
        return votes.total() >= at_least and max(votes.values()) / votes.total() >= share

    return enough


def _votes(answers: Sequence[Answer], policy: Policies) -> Counter[str]:
    return Counter(name for answer in answers if (name := category(answer, policy)) is not None)


def any_of(*rules: Rule) -> Rule:
    """Enough when any of the rules says so."""
    return lambda answers, correct: any(rule(answers, correct) for rule in rules)
