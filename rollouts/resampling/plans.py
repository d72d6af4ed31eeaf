"""What a resampling would ask, before anything is sent: calls, prefixes, tokens, dollars. Estimates; asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.resampling.asking import frozen
from rollouts.resampling.resampling import FORCED_SETTINGS
from rollouts.resampling.trace import Positions, Prompt, Trace

CHARACTERS_PER_TOKEN = 3.6
"""Used where the trace's own response does not tell: English with some LaTeX."""

FORCED_TOKENS = 8
"""Of a forced answer: a number and its brace."""


@dataclass(frozen=True, slots=True)
class ResamplePlan:
    """The size of a resampling."""

    positions: tuple[int, ...]
    prompts: tuple[Prompt, ...] = field(repr=False)
    """The distinct prompts of the continuations, in order of position."""
    forced_prompts: tuple[Prompt, ...] = field(repr=False)
    """The distinct prompts of the forced answers."""
    n_samples: int
    calls: int
    """Continuations to sample: distinct prefixes times samples."""
    forced_calls: int
    """Forced answers to sample."""
    cached: int | None
    """How many of both a cache already holds; None where none was looked into."""
    prompt_tokens: int
    """Estimate of what is not cached."""
    completion_tokens: int
    """Estimate of what is not cached: each continuation as long as what the trace itself wrote from there on."""
    cost: float | None
    """Estimate of what is not cached, in US dollars; None without prices."""

    @property
    def distinct_prefixes(self) -> int:
        """Prefixes that differ."""
        return len(self.prompts)

    @property
    def missing(self) -> int:
        """Calls that would be sent."""
        return self.calls + self.forced_calls - (self.cached or 0)

    def __str__(self) -> str:
        dollars = "cost unknown (no prices given)" if self.cost is None else f"about ${self.cost:,.2f}"
        forced = f" and {self.forced_calls:,} forced answers" if self.forced_calls else ""
        cached = f", {self.cached:,} of them cached" if self.cached else ""
        return (
            f"{self.calls:,} continuations of {self.distinct_prefixes:,} prefixes{forced}{cached}: "
            f"about {self.prompt_tokens:,} prompt and {self.completion_tokens:,} completion tokens, {dollars}"
        )


def plan_resample(
    trace: Trace,
    n_samples: int = 100,
    positions: Positions = "all",
    *,
    forced: bool = False,
    forced_samples: int | None = None,
    max_tokens: int | None = None,
    prompt_price: float | None = None,
    completion_price: float | None = None,
    cached: Callable[[Sequence[Prompt], int, bool], Sequence[int]] | None = None,
) -> ResamplePlan:
    """What `resample` with the same arguments would ask.

    Args:
        trace: What to resample.
        n_samples: Samples of each position (with `until`: the most).
        positions: As for `resample`.
        forced: Whether answers are forced too.
        forced_samples: Forced answers of each position; `n_samples` when None.
        max_tokens: The limit of each continuation, where one is set.
        prompt_price: US dollars per prompt token.
        completion_price: US dollars per completion token.
        cached: Tells how many samples of each prompt are stored, of so many; true for forced answers.

    Raises:
        ConfigError: A position or number out of range.
    """
    if n_samples < 1:
        raise ConfigError(f"n_samples={n_samples}: ask for at least one sample.")
    numbers = trace.positions(positions)
    distinct = {frozen(prompt): (i, prompt) for i in reversed(numbers) for prompt in [trace.prompt(i)]}
    forced_distinct: dict[Any, Prompt] = {}
    if forced:
        forced_distinct = {frozen(prompt): prompt for i in numbers for prompt in [trace.forced_prompt(i)]}
    ordered = sorted(distinct.values(), key=lambda pair: pair[0])
    per_token = _characters_per_token(trace)
    n_forced = n_samples if forced_samples is None else forced_samples
    prompts, forced_prompts = [prompt for _, prompt in ordered], list(forced_distinct.values())
    stored = cached(prompts, n_samples, False) if cached is not None else [0] * len(prompts)
    stored_forced = (
        cached(forced_prompts, n_forced, True) if cached is not None and forced else [0] * len(forced_prompts)
    )
    left = [n_samples - k for k in stored]
    left_forced = [n_forced - k for k in stored_forced]
    total = len(trace.thought) + len(trace.answer)
    written = [(total - len(trace.prefix(i))) / per_token for i, _ in ordered]
    if max_tokens is not None:
        written = [min(tokens, max_tokens) for tokens in written]
    asked = sum(n * _length(prompt) for n, prompt in zip(left, prompts, strict=True))
    asked += sum(n * _length(prompt) for n, prompt in zip(left_forced, forced_prompts, strict=True))
    completed = sum(n * tokens for n, tokens in zip(left, written, strict=True))
    completed += sum(left_forced) * min(FORCED_TOKENS, int(FORCED_SETTINGS["max_tokens"]))
    prompt_tokens, completion_tokens = round(asked / per_token), round(completed)
    known = prompt_price is not None and completion_price is not None
    return ResamplePlan(
        positions=numbers,
        prompts=tuple(prompts),
        forced_prompts=tuple(forced_prompts),
        n_samples=n_samples,
        calls=n_samples * len(ordered),
        forced_calls=n_forced * len(forced_distinct),
        cached=None if cached is None else sum(stored) + sum(stored_forced),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=prompt_tokens * (prompt_price or 0) + completion_tokens * (completion_price or 0) if known else None,
    )


def _characters_per_token(trace: Trace) -> float:
    """From the trace's own usage where the provider stated it."""
    response = trace.response
    if response is None or not response.usage.completion_tokens:
        return CHARACTERS_PER_TOKEN
    written = len(response.full)
    return max(1.0, written / response.usage.completion_tokens) if written else CHARACTERS_PER_TOKEN


def _length(prompt: Prompt) -> int:
    if isinstance(prompt, str):
        return len(prompt)
    messages: Sequence[Any] = prompt
    return sum(len(str(message.get("content", ""))) for message in messages)
