"""What a resampling would ask, before anything is sent: calls, prefixes, tokens, dollars. Estimates; asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollouts.resampling.asking import Want, frozen
from rollouts.resampling.trace import FORCED_LEAD, Positions, Prompt, Trace
from rollouts.resampling.wanted import wanted

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
    seed: int = 0,
    forced_samples: int | None = None,
    forced_lead: str = FORCED_LEAD,
    forced_settings: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
    prompt_price: float | None = None,
    completion_price: float | None = None,
    cached: Callable[[Sequence[Want]], Sequence[int]] | None = None,
) -> ResamplePlan:
    """What `resample` with the same arguments would ask.

    Args:
        trace: What to resample.
        n_samples: Samples of each position (with `until`: the most).
        positions: As for `resample`.
        forced: Whether answers are forced too.
        seed: The first sample's number.
        forced_samples: Forced answers of each position; `n_samples` when None.
        forced_lead: As for `resample`.
        forced_settings: As for `resample`.
        max_tokens: The limit of each continuation, where one is set.
        prompt_price: US dollars per prompt token.
        completion_price: US dollars per completion token.
        cached: Tells how many samples are stored of each want, of consecutive numbers.

    Raises:
        ConfigError: A position or number out of range.
    """
    todo = wanted(
        trace,
        n_samples,
        positions,
        seed=seed,
        forced=forced,
        forced_samples=forced_samples,
        forced_lead=forced_lead,
        forced_settings=forced_settings,
    )
    prefixes, arms = _distinct(trace, todo.positions, todo.arms)
    _, closed = _distinct(trace, todo.positions, todo.forced)
    stored = _stored([*arms, *closed], cached)
    left = [want.n_samples - k for want, k in zip([*arms, *closed], stored, strict=True)]
    per_token = _characters_per_token(trace)
    total = len(trace.thought) + len(trace.answer)
    written = [(total - prefix) / per_token for prefix in prefixes]
    if max_tokens is not None:
        written = [min(tokens, max_tokens) for tokens in written]
    written += [min(FORCED_TOKENS, want.settings.get("max_tokens") or FORCED_TOKENS) for want in closed]
    asked = sum(n * _length(want.prompt) for n, want in zip(left, [*arms, *closed], strict=True))
    prompt_tokens = round(asked / per_token)
    completion_tokens = round(sum(n * tokens for n, tokens in zip(left, written, strict=True)))
    known = prompt_price is not None and completion_price is not None
    return ResamplePlan(
        positions=todo.positions,
        prompts=tuple(want.prompt for want in arms),
        forced_prompts=tuple(want.prompt for want in closed),
        n_samples=todo.arms[0].n_samples,
        calls=sum(want.n_samples for want in arms),
        forced_calls=sum(want.n_samples for want in closed),
        cached=None if cached is None else sum(stored),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=prompt_tokens * (prompt_price or 0) + completion_tokens * (completion_price or 0) if known else None,
    )


def _distinct(trace: Trace, positions: Sequence[int], wants: Sequence[Want]) -> tuple[list[int], list[Want]]:
    """Wants of different prompts, in order of position, with the characters of each one's prefix."""
    first: dict[Any, tuple[int, Want]] = {}
    for i, want in zip(positions, wants, strict=False):
        first.setdefault(frozen(want.prompt), (len(trace.prefix(i)), want))
    return [prefix for prefix, _ in first.values()], [want for _, want in first.values()]


def _stored(wants: Sequence[Want], cached: Callable[[Sequence[Want]], Sequence[int]] | None) -> list[int]:
    """How many samples of each want a cache has."""
    if cached is None:
        return [0] * len(wants)
    runs = [want.runs for want in wants]
    counts = iter(cached([run for its in runs for run in its]))
    return [sum(next(counts) for _ in its) for its in runs]


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
