"""Reads a cache through and tells what is not in order. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rollouts.exceptions import CacheError
from rollouts.identity import SampleRequest
from rollouts.typing import StoredEntry


class _Numbers:
    """The numbers of one request that were seen, as bits: a million of them in a megabyte."""

    def __init__(self) -> None:
        self.request: SampleRequest | None = None
        self._pages: dict[int, int] = {}

    def add(self, request: SampleRequest, number: int) -> bool:
        """Note a sample; False where it was noted before. All of one request come together."""
        if request is not self.request and request != self.request:
            self.request = request
            self._pages.clear()
        page, bit = number >> 10, 1 << (number & 1023)
        seen = self._pages.get(page, 0)
        self._pages[page] = seen | bit
        return not seen & bit


@dataclass(frozen=True, slots=True)
class Finding:
    """An entry that is no sound sample."""

    entry: StoredEntry
    kind: str
    """The entry's `problem`, or `duplicate`."""
    detail: str
    """What it is, in words."""


MEANING = {
    "damaged": "it cannot be read: the sample is asked again",
    "foreign": "it is no sample",
    "newer": "a later version of rollouts wrote it: upgrade to use it",
    "other": "it holds another sample than its place says",
    "0.1.x": "rollouts 0.1.x wrote it: `rollouts cache import` takes it in for good",
    "ambiguous": "it may be the answer to another request",
    "error": "an error was stored as an answer: the sample is asked again",
    "unreadable": "it cannot be read here: see to the rights",
    "unreached": "it is a sound sample, but a name before its own is free, and readers stop there",
}
"""Each problem of an entry in words."""

REPAIRED = ("damaged", "foreign", "other", "duplicate", "error", "unreached")
"""Kinds that a repair moves. What may be sound stays, as does what a later or an earlier version wrote."""


def verify(entries: Iterable[StoredEntry], tell: Callable[[], None] = lambda: None) -> Iterator[Finding]:
    """Read everything, raw bodies too, and yield what is not in order.

    Args:
        entries: All of one cache, in its order: only so are duplicates found.
        tell: Called for each entry, before it is judged.
    """
    seen = _Numbers()
    for entry in entries:
        tell()
        if entry.problem is not None or entry.response is None or entry.request is None or entry.number is None:
            kind = entry.problem or "damaged"
            yield Finding(entry, kind, entry.detail or MEANING[kind])
            continue
        try:
            entry.response.raw_body  # noqa: B018  (read for its errors)
        except CacheError as error:
            yield Finding(entry, "damaged", f"the service's raw answer is lost: {error}")
            continue
        if not seen.add(entry.request, entry.number):
            yield Finding(entry, "duplicate", f"sample {entry.number} of this request is stored before, and is used")
