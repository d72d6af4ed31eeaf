"""Which entries of a cache are meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rollouts.inventory.words import moment, prompt_text
from rollouts.typing import StoredEntry


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are meant; what is None decides nothing."""

    model: str | None = None
    """A pattern as in `fnmatch` for the model asked for (`qwen/*`); compared by case."""
    prompt: str | None = None
    """A text that is in the prompt; letter case does not count."""
    before: float | None = None
    """Unix time in seconds: answers that came earlier. One whose time is unknown never matches."""
    provider: str | None = None
    """Who computed the answer; letter case does not count."""
    finish_reason: str | None = None
    """Why generation ended."""

    @property
    def is_empty(self) -> bool:
        """True where everything matches."""
        return self == Filter()

    def matches(self, entry: StoredEntry) -> bool:
        """Whether the entry is meant."""
        request, response = entry.request, entry.response
        if self.model is not None and (request is None or not fnmatchcase(request.model, self.model)):
            return False
        if self.prompt is not None and (request is None or self.prompt.lower() not in prompt_text(request).lower()):
            return False
        if self.provider is not None and (
            response is None or (response.provider or "").lower() != self.provider.lower()
        ):
            return False
        if self.finish_reason is not None and (response is None or response.finish_reason != self.finish_reason):
            return False
        if self.before is None:
            return True
        came = None if response is None else moment(response)
        return came is not None and came < self.before


def select(entries: Iterable[StoredEntry], wanted: Filter) -> Iterator[StoredEntry]:
    """The entries that `wanted` means."""
    return (entry for entry in entries if wanted.matches(entry))
