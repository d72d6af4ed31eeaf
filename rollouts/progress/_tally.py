"""What a reporter counts, and how it puts it in words. Shows nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollouts.events import SampleEvent


class Tally:
    """Samples of one run so far."""

    __slots__ = ("cached", "cost", "cost_known_for", "done", "failed", "tokens", "tokens_known_for")

    def __init__(self, cached: int) -> None:
        """Begin with what the cache had."""
        self.done = self.cached = cached
        self.failed = self.cost_known_for = self.tokens = self.tokens_known_for = 0
        self.cost: float | None = None
        """US dollars of the fresh answers whose cost is known; None where none is."""

    def count(self, event: SampleEvent) -> None:
        """Add one sample."""
        self.done += 1
        if event.failed:
            self.failed += 1
        elif event.cached:
            self.cached += 1
        else:
            usage = getattr(event.result, "usage", None)
            if usage is not None and usage.cost is not None:
                self.cost = (self.cost or 0.0) + usage.cost
                self.cost_known_for += 1
            if usage is not None and usage.total_tokens is not None:
                self.tokens += usage.total_tokens
                self.tokens_known_for += 1

    def words(self) -> str:
        """`cached=3, failed=1, cost=$0.0021`, without what is nought or unknown."""
        parts = []
        if self.cached:
            parts.append(f"cached={self.cached}")
        if self.failed:
            parts.append(f"failed={self.failed}")
        if self.cost is not None:
            parts.append(f"cost=${self.cost:.4f}" if self.cost < 1 else f"cost=${self.cost:,.2f}")
        return ", ".join(parts)

    def report(self, seconds: float) -> str:
        """A run in one line: samples, cached, failed, tokens and dollars, each with how many it is known for."""
        fresh = self.done - self.cached - self.failed
        cost = "unknown" if self.cost is None else f"${self.cost:,.4f} (known for {self.cost_known_for:,} of {fresh:,})"
        return (
            f"{self.done:,} samples in {seconds:,.0f} s: {self.cached:,} cached, {self.failed:,} failed; "
            f"{self.tokens:,} tokens (known for {self.tokens_known_for:,} of {fresh:,}); cost {cost}"
        )
