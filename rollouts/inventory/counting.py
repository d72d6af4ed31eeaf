"""What a cache holds, counted: samples, tokens, cost, bytes, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from rollouts.inventory.words import parameters_text, prompt_text
from rollouts.typing import StoredEntry

UNREADABLE = "(unreadable)"
"""Stands for the model of entries whose request cannot be read."""


@dataclass(slots=True)
class Tally:
    """What a group of entries comes to."""

    model: str
    parameters: str | None = None
    """On one line; None where groups are not so fine."""
    prompt: str | None = None
    """None where groups are not so fine."""
    samples: int = 0
    """Answers."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_known: int = 0
    """Answers whose tokens the service stated."""
    cost: float = 0.0
    """US dollars, of those answers whose cost is known."""
    cost_known: int = 0
    """Answers whose cost the service stated."""
    bytes: int = 0
    """Of all entries, those without an answer too."""
    errors: int = 0
    """Entries without an answer, stored errors among them."""
    problems: Counter[str] = field(default_factory=Counter)
    """The same by kind."""

    def add(self, entry: StoredEntry) -> None:
        """Count one entry."""
        self.bytes += entry.size
        response = entry.response
        if entry.problem is not None or response is None:
            self.errors += 1
            self.problems[entry.problem or "damaged"] += 1
            return
        self.samples += 1
        usage = response.usage
        if usage.prompt_tokens is not None or usage.completion_tokens is not None:
            self.tokens_known += 1
            self.prompt_tokens += usage.prompt_tokens or 0
            self.completion_tokens += usage.completion_tokens or 0
        if usage.cost is not None:
            self.cost_known += 1
            self.cost += usage.cost

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values; `cost` is None where none is known."""
        counts: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "problems"}
        counts["cost"] = self.cost if self.cost_known else None
        return {**counts, "problems": dict(self.problems)}


By = Literal["model", "parameters", "prompt"]
"""How fine the groups are; each holds those before it."""


def stats(entries: Iterable[StoredEntry], by: By = "parameters") -> tuple[list[Tally], Tally]:
    """Groups in the order of their names, and the total. Memory grows with the number of groups, not of samples."""
    groups: dict[tuple[str, ...], Tally] = {}
    total = Tally("total")
    for entry in entries:
        total.add(entry)
        request = entry.request
        model = UNREADABLE if request is None else request.model
        fine: list[str] = []
        if request is not None and by != "model":
            fine.append(f"{request.adapter} {request.service} {parameters_text(request)}")
        if request is not None and by == "prompt":
            fine.append(prompt_text(request))
        name = (model, *fine)
        if name not in groups:
            groups[name] = Tally(
                model,
                None if request is None or by == "model" else parameters_text(request),
                None if request is None or by != "prompt" else prompt_text(request),
            )
        groups[name].add(entry)
    return [groups[name] for name in sorted(groups)], total
