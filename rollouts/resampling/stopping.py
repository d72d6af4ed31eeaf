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
from rollouts.resampling.answers import Answer, category

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


def width_below(width: float, *, confidence: float = 0.95, of: str = "accuracy") -> Rule:
    """Enough when Wilson's interval is narrower than `width`.

    Args:
        width: Full width of the interval, between 0 and 1.
        confidence: Its level.
        of: `accuracy`, or `majority`: the share of the most frequent answer, for which no truth is needed.

    Raises:
        ConfigError: A width or level out of range.
    """
    if not 0 < width < 1 or not 0 < confidence < 1:
        raise ConfigError(f"width={width}, confidence={confidence}: both must lie between 0 and 1.")
    if of not in ("accuracy", "majority"):
        raise ConfigError(f"of={of!r}: give accuracy or majority.")

    def enough(answers: Sequence[Answer], correct: Sequence[bool | None]) -> bool:
        if of == "accuracy":
            judged = [c for c in correct if c is not None]
            hits, n = sum(judged), len(judged)
        else:
            votes = Counter(name for a in answers if (name := category(a)) is not None)
            hits, n = (max(votes.values(), default=0), votes.total())
        low, high = wilson(hits, n, confidence)
        return high - low < width

    return enough


def converged(share: float = 0.99, *, at_least: int = 20) -> Rule:
    """Enough when `share` of at least `at_least` answers agree (the early stop of Thought Branches).

    Raises:
        ConfigError: A share outside (0, 1], or no sample.
    """
    if not 0 < share <= 1 or at_least < 1:
        raise ConfigError(f"share={share}, at_least={at_least}: a share lies in (0, 1], at least one sample is needed.")

    def enough(answers: Sequence[Answer], correct: Sequence[bool | None]) -> bool:
        votes = Counter(name for a in answers if (name := category(a)) is not None)
        return votes.total() >= at_least and max(votes.values()) >= share * votes.total()

    return enough


def any_of(*rules: Rule) -> Rule:
    """Enough when any of the rules says so."""
    return lambda answers, correct: any(rule(answers, correct) for rule in rules)
