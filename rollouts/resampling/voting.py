"""pass@k, majority vote and self-consistency of any samples. Sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from rollouts.exceptions import ConfigError
from rollouts.resampling.answers import Answer, Policies, Where, answers_of, category, check_policy, correctness
from rollouts.resampling.equality import Grade, normalize
from rollouts.resampling.extracting import Extract
from rollouts.results import Failure, Response, Rollouts

Samples = Rollouts | Sequence[Response | Failure]


@dataclass(frozen=True, slots=True)
class Vote:
    """The answer that most samples gave."""

    answer: str | None
    """Normalised; None where no sample has an answer."""
    count: int
    """How many gave it."""
    answered: int
    """How many gave any answer."""
    total: int
    """Samples in all."""
    tied: tuple[str, ...] = ()
    """Other answers with as many votes; the one whose first vote has the lowest number wins."""

    @property
    def share(self) -> float | None:
        """Share of the winner among the answers; None without any."""
        return self.count / self.answered if self.answered else None


def _slots(samples: Samples) -> Sequence[Response | Failure]:
    return samples.slots if isinstance(samples, Rollouts) else samples


def estimate_pass_at_k(n: int, correct: int, k: int) -> float:
    """The unbiased estimator of pass@k: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374, equation 1).

    Raises:
        ConfigError: Not 1 <= k <= n, or not 0 <= correct <= n.
    """
    if not 1 <= k <= n:
        raise ConfigError(f"pass@{k} of {n} samples: k must be between 1 and the number of samples.")
    if not 0 <= correct <= n:
        raise ConfigError(f"{correct} correct of {n} samples cannot be.")
    if n - correct < k:
        return 1.0
    return 1.0 - prod(1.0 - k / i for i in range(n - correct + 1, n + 1))


def pass_at_k(
    samples: Samples,
    truth: Grade,
    k: int = 1,
    *,
    extract: Extract = "boxed",
    where: Where = "answer",
    policy: Policies = "wrong",
    normalise: Callable[[str], str] = normalize,
) -> float:
    """The chance that at least one of `k` samples is right, without bias.

    Args:
        samples: `Rollouts`, or any list of samples.
        truth: The true answer, or a function that judges a normalised one.
        k: How many tries.
        extract: How the answer is found.
        where: Where it is looked for.
        policy: What becomes of samples without an answer; they count as wrong unless dropped.
        normalise: What makes equal answers equal strings.

    Raises:
        ConfigError: Fewer than `k` samples remain; `extract`, `where`, `policy` or `truth` is not known.
    """
    answers = answers_of(_slots(samples), extract, where=where, normalise=normalise)
    judged = [c for c in correctness(answers, truth, policy, normalise) if c is not None]
    return estimate_pass_at_k(len(judged), sum(judged), k)


def majority_vote(
    samples: Samples,
    *,
    extract: Extract = "boxed",
    where: Where = "answer",
    normalise: Callable[[str], str] | None = normalize,
) -> Vote:
    """The answer that most samples gave; samples without one have no vote."""
    answers = answers_of(_slots(samples), extract, where=where, normalise=normalise)
    return count_votes(answers)


def count_votes(answers: Sequence[Answer]) -> Vote:
    """The vote among answers already extracted."""
    votes = Counter(a.text for a in answers if a.text is not None)
    if not votes:
        return Vote(None, 0, 0, len(answers))
    (winner, count), *others = votes.most_common()
    tied = tuple(text for text, votes_for in others if votes_for == count)
    return Vote(winner, count, votes.total(), len(answers), tied)


def self_consistency(
    samples: Samples,
    *,
    extract: Extract = "boxed",
    where: Where = "answer",
    policy: Policies = "drop",
    normalise: Callable[[str], str] | None = normalize,
) -> dict[str, float]:
    """The distribution of the answers, the most frequent first; empty where nothing is counted.

    The share of the first is the agreement of Wang et al. 2022 (arXiv 2203.11171).

    Raises:
        ConfigError: `extract`, `where` or `policy` is not known.
    """
    check_policy(policy)
    answers = answers_of(_slots(samples), extract, where=where, normalise=normalise)
    counts = Counter(name for a in answers if (name := category(a, policy)) is not None)
    return {name: count / counts.total() for name, count in counts.most_common()}
