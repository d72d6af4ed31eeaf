"""Copies entries from one cache to another without loss: each is read back. Never changes what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from rollouts.exceptions import CacheError, ConfigError
from rollouts.identity import SampleKey
from rollouts.inventory.checking import MEANING
from rollouts.results import Response
from rollouts.results.codec import dump_json, raw_body, to_record
from rollouts.typing import CacheBackend, StoredEntry

_CHUNK = 200  # samples copied at once
_CHUNK_BYTES = 1 << 24


@dataclass(slots=True)
class Copied:
    """What became of the entries of a copy."""

    copied: int = 0
    """Stored in the target, and read back equal."""
    there: int = 0
    """In the target already, equal."""
    different: int = 0
    """In the target already with another answer, which stays."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Entries without an answer to copy, by problem."""

    @property
    def met(self) -> int:
        """Entries of the source."""
        return self.copied + self.there + self.different + self.skipped.total()

    @property
    def complete(self) -> bool:
        """True where the target now holds each entry of the source."""
        return not self.different and not self.skipped


Skipped: TypeAlias = Callable[[StoredEntry, str], None]


def copy(
    entries: Iterable[StoredEntry],
    target: CacheBackend,
    *,
    take: tuple[str, ...] = (),
    skipped: Skipped = lambda entry, why: None,
    tell: Callable[[], None] = lambda: None,
) -> Copied:
    """Store entries in `target`, and read each back. What the target holds is never changed.

    Args:
        entries: What to copy.
        target: Where to.
        take: Problems (`ambiguous`) that do not keep an entry with an answer from being copied.
        skipped: Told of each entry that was not copied, and why.
        tell: Called for each entry.

    Raises:
        CacheError: The target cannot be written, or gives back something else than it was given.
    """
    done = Copied()
    chunk: dict[SampleKey, StoredEntry] = {}
    size = 0
    for entry in entries:
        tell()
        key = None if entry.request is None or entry.number is None else SampleKey(entry.request, entry.number)
        usable = key is not None and entry.response is not None and (entry.problem is None or entry.problem in take)
        if key is None or not usable:
            kind = entry.problem or "damaged"
            done.skipped[kind] += 1
            skipped(entry, entry.detail or MEANING[kind])
            continue
        if key in chunk:  # a duplicate in the source: the first one is the sample
            _copy_chunk(chunk, target, done, skipped)
            chunk, size = {}, 0
        chunk[key] = entry
        size += entry.size
        if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
            _copy_chunk(chunk, target, done, skipped)
            chunk, size = {}, 0
    _copy_chunk(chunk, target, done, skipped)
    return done


def _copy_chunk(chunk: dict[SampleKey, StoredEntry], target: CacheBackend, done: Copied, skipped: Skipped) -> None:
    if not chunk:
        return
    there = dict(target.load_many(chunk))
    new: list[tuple[SampleKey, Response]] = []
    for key, entry in chunk.items():
        response = entry.response
        assert response is not None
        if key in there:
            if difference(response, there[key]) is None:
                done.there += 1
            else:
                done.different += 1
                skipped(entry, "the target has another answer to this sample, which stays")
            continue
        try:
            raw = response.raw_body
        except CacheError as error:
            done.skipped["damaged"] += 1
            skipped(entry, f"its raw answer is lost: {error}")
            continue
        new.append((key, replace(response, raw_source=raw)))
    store_many = getattr(target, "store_many", None)
    if store_many is not None:
        store_many(new)
    else:
        for key, response in new:
            target.store(key, response)
    back = dict(target.load_many(key for key, _ in new))
    for key, response in new:
        lost = "the sample" if key not in back else difference(response, back[key])
        if lost is not None:
            raise CacheError(
                f"Sample {key.number} of {key.request.model} ({key.request.fingerprint[:16]}) was copied, and {lost} "
                f"did not come back the same. Nothing was changed in the source; do not trust the target."
            )
        done.copied += 1


def difference(one: Response, other: Response) -> str | None:
    """The first field in which two stored answers to one request differ, raw bodies included; None where equal."""
    left, right = to_record(one), to_record(other)
    for name in {**left, **right}:
        if left.get(name) != right.get(name) and dump_json(left.get(name)) != dump_json(right.get(name)):  # NaN
            return name
    for name in ("seed", "prefill", "injected"):
        if getattr(one, name) != getattr(other, name):
            return name
    return None if raw_body(one) == raw_body(other) else "raw"


def check_apart(source: Any, target: Any) -> None:
    """Refuse a copy onto itself.

    Raises:
        ConfigError: Both caches are one storage.
    """
    location = getattr(source, "location", None)
    if location is not None and location == getattr(target, "location", None):
        raise ConfigError(f"Source and target are the same cache ({location}): give another directory or kind.")
