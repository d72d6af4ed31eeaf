"""What a client has asked for so far, over all its runs. Knows no run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over runs. Tokens and dollars are those of fresh answers that state them."""

    answered: int = 0
    """Fresh answers."""
    cached: int = 0
    failed: int = 0
    """Samples without an answer, the unsent ones included."""
    requests: int = 0
    """Requests made, retries included."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_known_for: int = 0
    """Fresh answers that state their tokens."""
    cost: float = 0.0
    """US dollars."""
    cost_known_for: int = 0
    """Fresh answers that state their cost."""

    def __add__(self, other: Totals) -> Totals:
        return replace(self, **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Totals)})

    def __str__(self) -> str:
        cost = f"${self.cost:.6g}" if self.cost_known_for else "cost unknown"
        return (
            f"{self.answered:,} answered, {self.cached:,} cached, {self.failed:,} failed; {self.requests:,} requests; "
            f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens (known for {self.tokens_known_for:,} of "
            f"{self.answered:,}); {cost} (known for {self.cost_known_for:,} of {self.answered:,})"
        )


class Ledger:
    """Adds up totals from many threads."""

    __slots__ = ("_lock", "totals")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self.totals = Totals()

    def add(self, totals: Totals) -> None:
        """Add the totals of a run."""
        with self._lock:
            self.totals = self.totals + totals

    def __reduce__(self) -> Any:
        """Pickle as a fresh ledger: sums belong to the process that asked."""
        return (Ledger, ())
