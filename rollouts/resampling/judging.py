"""How the answers of a resampling are found and judged. Sends nothing; knows no trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollouts.exceptions import ConfigError
from rollouts.resampling.answers import Answer, Policies, Where, answers_of, check_policy, check_where, correctness
from rollouts.resampling.equality import Grade, as_truth, normalize
from rollouts.resampling.extracting import Extract, extractor
from rollouts.results import Rollouts


@dataclass(frozen=True, slots=True)
class Judging:
    """How answers are found and judged; may be changed on stored samples without asking again.

    Checked at once, before anything is asked.

    Raises:
        ConfigError: A word that is not known, a truth that is neither text, number nor function, or no function to
            normalise with.
    """

    truth: Grade | None = None
    """The true answer, or a function that judges a normalised one; None where right and wrong are not asked."""
    extract: Extract = "boxed"
    r"""How the answer is found. In a forced answer a name or pattern is looked for in the box that the prompt opened; a
    function gets all that the model wrote there, which begins inside the box."""
    where: Where = "answer"
    """Where it is looked for; a forced answer is looked for in all that the model wrote."""
    policy: Policies = "drop"
    """What becomes of samples without an answer."""
    normalise: Callable[[str], str] = normalize
    """What makes equal answers equal strings; applied once to each answer, and to the truth."""

    def __post_init__(self) -> None:
        if self.truth is not None:
            object.__setattr__(self, "truth", as_truth(self.truth))
        extractor(self.extract)
        check_where(self.where)
        check_policy(self.policy)
        if not callable(self.normalise):
            raise ConfigError(f"normalise={self.normalise!r}: give a function from text to text, as `normalize` is.")

    def answers(self, rollouts: Rollouts) -> list[Answer]:
        """The answer of each sample asked for, failed ones included."""
        return answers_of(rollouts.slots, self.extract, where=self.where, normalise=self.normalise)

    def correct(self, answers: Sequence[Answer]) -> list[bool | None]:
        """Whether each answer is right; None where it is left out, or where no truth is known."""
        if self.truth is None:
            return [None] * len(answers)
        return correctness(answers, self.truth, self.policy, self.normalise)
