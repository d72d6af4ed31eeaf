"""What answers took and what more of them may take. Pure arithmetic: what is not known stays None and is never 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollouts.results import Usage

CHARACTERS_PER_TOKEN = 4
"""Where no answer tells how long a prompt is: the usual rule of thumb for English."""

GENERATED = 4
"""Prompt tokens that one generated token costs like, where no price list says it: services charge 2 to 5 times more."""

PriceOf = Callable[[float, float], float]
"""US dollars of one request, from its prompt tokens and generated tokens."""


class Seen:
    """Sums over answers that the cache has."""

    __slots__ = ("_completion", "_cost", "_prompt", "_weighed_cost", "_weight", "answers")

    def __init__(self) -> None:
        self.answers = 0
        self._weight = _Mean()
        self._weighed_cost = _Mean()
        self._prompt = _Mean()
        self._completion = _Mean()
        self._cost = _Mean()

    def add(self, usage: Usage) -> None:
        """Count one answer."""
        self.answers += 1
        self._prompt.add(usage.prompt_tokens)
        self._completion.add(usage.completion_tokens)
        self._cost.add(usage.cost)
        if usage.cost is not None and usage.prompt_tokens is not None and usage.completion_tokens is not None:
            self._weight.add(_weight(usage.prompt_tokens, usage.completion_tokens))
            self._weighed_cost.add(usage.cost)

    def include(self, other: Seen) -> None:
        """Count another's answers."""
        self.answers += other.answers
        self._prompt.include(other._prompt)
        self._completion.include(other._completion)
        self._cost.include(other._cost)
        self._weight.include(other._weight)
        self._weighed_cost.include(other._weighed_cost)

    @property
    def prompt_tokens(self) -> float | None:
        """Their mean; None where none is known."""
        return self._prompt.value

    @property
    def completion_tokens(self) -> float | None:
        """Their mean; None where none is known."""
        return self._completion.value

    @property
    def cost_known_for(self) -> int:
        """How many state their cost."""
        return self._cost.n

    def cost_of(self, prompt: float, completion: float | None) -> float | None:
        """US dollars of an answer with so many tokens, by what the answers cost; None where none states its cost.

        Where they do not state their tokens too, or `completion` is not known, it is their mean.
        """
        weight, cost = self._weight.value, self._weighed_cost.value
        if completion is None or not weight or cost is None:
            return self._cost.value
        return cost * _weight(prompt, completion) / weight


class _Mean:
    __slots__ = ("_sum", "n")

    def __init__(self) -> None:
        self.n = 0
        self._sum = 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.n += 1
            self._sum += value

    def include(self, other: _Mean) -> None:
        self.n += other.n
        self._sum += other._sum

    @property
    def value(self) -> float | None:
        return self._sum / self.n if self.n else None


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
        of_model: What it has of the model at this service.
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
        cost = _first(of_prompt.cost_of(prompt, completion), of_model.cost_of(prompt, completion))
        most_cost = None
    return Estimate(n * prompt, _times(n, completion), _times(n, most), _times(n, cost), _times(n, most_cost))


def _weight(prompt: float, completion: float) -> float:
    """Tokens by what they cost, in tokens of a prompt."""
    return prompt + GENERATED * completion


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _times(n: int, value: float | None) -> float | None:
    return None if value is None else n * value


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b
