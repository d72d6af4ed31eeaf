"""The counted answers of one arm of a resampling. Knows no measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollouts.resampling import Answer, Resampling, category
from rollouts.results import Rollouts


@dataclass(frozen=True, slots=True)
class Arm:
    """The answers of some samples of one position, by the policy of their resampling."""

    names: list[str | None]
    """Category of each sample asked for; None where it is not counted."""
    right: list[bool | None]
    """Whether each is right; None where it is not counted, or no truth is known."""

    def part(self, mask: NDArray[np.bool_]) -> Arm:
        """The samples where `mask` is true."""
        chosen = np.flatnonzero(mask)
        return Arm([self.names[k] for k in chosen], [self.right[k] for k in chosen])

    def plus(self, other: Arm) -> Arm:
        """Both arms' samples."""
        return Arm(self.names + other.names, self.right + other.right)

    @property
    def n(self) -> int:
        """Counted answers."""
        return sum(name is not None for name in self.names)

    @property
    def hits(self) -> int:
        """Right answers."""
        return sum(1 for right in self.right if right)

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None where nothing is counted."""
        return self.hits / self.n if self.n else None


def arm_of(resampling: Resampling, i: int, *, forced: bool = False) -> Arm:
    """The arm of position `i`: continuations, or forced answers."""
    return _arm(resampling, resampling.answers(i, forced=forced))


def counted(resampling: Resampling, rollouts: Rollouts) -> Arm:
    """An arm of any samples, judged as those of the resampling."""
    return _arm(resampling, resampling.judging.answers(rollouts))


def _arm(resampling: Resampling, answers: list[Answer]) -> Arm:
    names = [category(answer, resampling.judging.policy) for answer in answers]
    return Arm(names, resampling.judging.correct(answers))


def shared_counts(first: Arm, second: Arm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts of both arms over the categories that either has, in the same order."""
    numbers = {name: k for k, name in enumerate(sorted({n for n in (*first.names, *second.names) if n is not None}))}
    a, b = np.zeros(len(numbers)), np.zeros(len(numbers))
    for counts, arm in ((a, first), (b, second)):
        for name in arm.names:
            if name is not None:
                counts[numbers[name]] += 1
    return a, b
