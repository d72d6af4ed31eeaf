"""What answers took and what more of them may take. Pure arithmetic: what is not known stays None and is never 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollouts.results import Usage

CHARACTERS_PER_TOKEN = 4
"""Where no answer tells how long a prompt is: the usual rule of thumb for English."""

PriceOf = Callable[[float, float], float]
"""US dollars of one request, from its prompt tokens and generated tokens."""


class Seen:
    """Sums over answers that the cache has."""

    __slots__ = ("_completion", "_cost", "_prompt", "answers")

    def __init__(self) -> None:
        self.answers = 0
        self._prompt = _Mean()
        self._completion = _Mean()
        self._cost = _Mean()

    def add(self, usage: Usage) -> None:
        """Count one answer."""
        self.answers += 1
        self._prompt.add(usage.prompt_tokens)
        self._completion.add(usage.completion_tokens)
        self._cost.add(usage.cost)

    def include(self, other: Seen) -> None:
        """Count another's answers."""
        self.answers += other.answers
        self._prompt.include(other._prompt)
        self._completion.include(other._completion)
        self._cost.include(other._cost)

    @property
    def prompt_tokens(self) -> float | None:
        """Their mean; None where none is known."""
        return self._prompt.value

    @property
    def completion_tokens(self) -> float | None:
        """Their mean; None where none is known."""
        return self._completion.value

    @property
    def cost(self) -> float | None:
        """Mean US dollars; None where none is known."""
        return self._cost.value


class _Mean:
    __slots__ = ("_n", "_sum")

    def __init__(self) -> None:
        self._n = 0
        self._sum = 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self._n += 1
            self._sum += value

    def include(self, other: _Mean) -> None:
        self._n += other._n
        self._sum += other._sum

    @property
    def value(self) -> float | None:
        return self._sum / self._n if self._n else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some samples may take together. None: not known."""

    prompt_tokens: float = 0.0
    completion_tokens: float | None = 0.0
    most_completion_tokens: float | None = 0.0
    """What `max_tokens` allows."""
    cost: float | None = 0.0
    """US dollars."""
    most_cost: float | None = 0.0
    """US dollars, at the most generated tokens."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.prompt_tokens + other.prompt_tokens,
            _sum(self.completion_tokens, other.completion_tokens),
            _sum(self.most_completion_tokens, other.most_completion_tokens),
            _sum(self.cost, other.cost),
            _sum(self.most_cost, other.most_cost),
        )


def estimate(
    n: int, characters: int, most: float | None, *, of_prompt: Seen, of_model: Seen, price: PriceOf | None
) -> Estimate:
    """What `n` samples of one prompt may take.

    Args:
        n: Samples.
        characters: Of the prompt.
        most: Generated tokens that the request allows; None where it sets no limit.
        of_prompt: What the cache has of this prompt.
        of_model: What it has of the model.
        price: The model's price, where known.
    """
    if n == 0:
        return Estimate()
    prompt = of_prompt.prompt_tokens
    if prompt is None:
        prompt = characters / CHARACTERS_PER_TOKEN
    completion = _first(of_prompt.completion_tokens, of_model.completion_tokens)
    if completion is not None and most is not None:
        completion = min(completion, most)
    if price is not None:
        cost = None if completion is None else price(prompt, completion)
        most_cost = None if most is None else price(prompt, most)
    else:
        cost, most_cost = _first(of_prompt.cost, of_model.cost), None
    return Estimate(n * prompt, _times(n, completion), _times(n, most), _times(n, cost), _times(n, most_cost))


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _times(n: int, value: float | None) -> float | None:
    return None if value is None else n * value


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b
