"""Counts the verdicts of one call, and says once what the user should know of them."""

from __future__ import annotations

from collections import Counter

from rollouts.results import Response


class Tally:
    """The verdicts on the answers of one call. Not thread-safe."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._verdicts: Counter[str] = Counter()
        self._providers: Counter[str] = Counter()
        self._first: Response | None = None

    def add(self, response: Response) -> None:
        """Count one answer; one without a prefill counts for nothing."""
        if response.continued is None:
            return
        self._verdicts[response.continued] += 1
        if response.continued == "no":
            self._first = self._first or response
            self._providers[response.provider or "the service"] += 1

    def warning(self) -> str | None:
        """One sentence or two where answers did not go on from the prefill.

        Only a `no` is told: after a finished sentence most answers of most services are `unknown`, because nothing in
        the text could show more.
        """
        if self._first is None:
            return None
        total, no, unknown = self._verdicts.total(), self._verdicts["no"], self._verdicts["unknown"]
        doubtful = f", and of {unknown:,} it cannot be told" if unknown else ""
        by = ", ".join(f"{name}: {count:,}" for name, count in self._providers.most_common(5))
        return (
            f"{no:,} of {total:,} answers did not go on from the prefill{doubtful} ({by}). First: sample "
            f"{self._first.seed}: {self._first.continued_reason}. They are kept: leave them out by "
            "`response.continued`, find a provider or way that continues with `rollouts probe`, or make them an error "
            "with require_prefill=True."
        )
