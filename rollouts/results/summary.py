"""A set of samples in a few lines: how they ended, what they took, who computed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts.results.response import Response
    from rollouts.results.rollouts import Rollouts


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of one set of samples. Sums are over the answers that state them; `known_for` says how many do."""

    requested: int
    answered: int
    cached: int
    failed: int
    finish_reasons: dict[str | None, int]
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    """US dollars."""
    known_for: dict[str, int]
    """How many answers state each of the sums above."""
    latency: tuple[float, float, float] | None
    """Least, median and largest seconds of an answer; None where no answer has it."""
    providers: dict[str | None, int]
    models: dict[str | None, int]
    continued: dict[str, int]
    """Verdicts on the continuation of the prefill; empty without one."""
    duplicates: int
    """Answers that repeat another one byte for byte."""

    def __str__(self) -> str:
        lines = [f"{self.answered:,} of {self.requested:,} samples ({self.cached:,} cached, {self.failed:,} failed)"]
        lines.append(f"finish:    {_counts(self.finish_reasons)}")
        tokens = (
            f"{_sum(self.prompt_tokens)} prompt, {_sum(self.completion_tokens)} completion, "
            f"{_sum(self.reasoning_tokens)} of them reasoning"
        )
        lines.append(f"tokens:    {tokens}")
        cost = "unknown" if self.cost is None else f"${self.cost:.6g} known for {self.known_for['cost']:,}"
        lines.append(f"cost:      {cost} of {self.answered:,}")
        if self.latency is not None:
            low, mid, high = self.latency
            lines.append(f"latency:   {low:.2f} s to {high:.2f} s, median {mid:.2f} s")
        lines.append(f"providers: {_counts(self.providers)}")
        lines.append(f"models:    {_counts(self.models)}")
        if self.continued:
            lines.append(f"continued: {_counts(self.continued)}")
        if self.duplicates:
            lines.append(f"repeated:  {self.duplicates:,}")
        return "\n".join(lines)


def summarise(rollouts: Rollouts) -> Summary:
    """Count a set of samples."""
    answers = rollouts.responses
    sums = {name: _total(answers, name) for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cost")}
    latencies = [r.latency for r in answers if r.latency is not None]
    return Summary(
        requested=rollouts.n_requested,
        answered=len(answers),
        cached=rollouts.n_cached,
        failed=len(rollouts.failures),
        finish_reasons=dict(Counter(r.finish_reason for r in answers)),
        prompt_tokens=sums["prompt_tokens"][0],
        completion_tokens=sums["completion_tokens"][0],
        reasoning_tokens=sums["reasoning_tokens"][0],
        cost=sums["cost"][0],
        known_for={name: known for name, (_, known) in sums.items()},
        latency=(min(latencies), median(latencies), max(latencies)) if latencies else None,
        providers=rollouts.providers,
        models=dict(Counter(r.model for r in answers)),
        continued=dict(Counter(r.continued for r in answers if r.continued is not None)),
        duplicates=sum(len(group) - 1 for group in rollouts.duplicates),
    )


def _total(answers: Sequence[Response], name: str) -> tuple[Any, int]:
    known = [value for r in answers if (value := getattr(r.usage, name)) is not None]
    return (sum(known) if known else None), len(known)


def _sum(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _counts(counts: dict[Any, int]) -> str:
    return ", ".join(f"{'not said' if name is None else name} {n:,}" for name, n in counts.items()) or "none"
