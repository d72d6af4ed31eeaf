"""Makes answers durable before anybody sees them. Knows a cache only as a `CacheBackend`.

Where another process has stored the sample meanwhile, its answer stands and is the one that is shown: what a user works
with is what the cache gives later.

A backend that has `store_many` gets group commits: the first worker with an answer leads, commits what has gathered,
and goes on until nothing is left; the others hand theirs over and fetch the next sample at once. Their samples wait
for the commit, not they. Any other backend is called by each worker itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from rollouts.engine.guests import said
from rollouts.engine.jobs import Job
from rollouts.exceptions import CacheError, RolloutsError
from rollouts.identity import SampleKey
from rollouts.results import Response
from rollouts.results.codec import is_answer
from rollouts.typing import CacheBackend

logger = logging.getLogger("rollouts")

SLOW = 1.0
"""Seconds from which on a store that fails has waited for something."""

Kept = tuple[Job, Response]
StoreMany: TypeAlias = Callable[[Sequence[tuple[SampleKey, Response]]], Mapping[SampleKey, Response] | None]


class Store:
    """One cache in use by an engine."""

    def __init__(self, backend: CacheBackend, label: str, *, owned: bool = True, credit: str = "") -> None:
        """Keep answers in `backend`, called `label` in messages; one that is not `owned` is never closed.

        `credit` says whose it is, for messages of failure.
        """
        self._owned = owned
        self.backend = backend
        self.label = label
        self.credit = credit or f"the cache {label!r}"
        self.location: str = str(getattr(backend, "location", None) or f"{label}@{id(backend)}")
        self._store_many: StoreMany | None = getattr(backend, "store_many", None)
        self._lock = threading.Lock()
        self._gathered: list[tuple[Kept, Callable[[list[Kept]], None]]] = []
        self._led = False
        self._unusable = False
        """True while nothing can be stored at all."""
        self._problem: str | None = None
        self._reported = False

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """The hits among `keys`.

        Raises:
            CacheError: The storage cannot be read.
        """
        try:
            for key, response in self.backend.load_many(keys):
                if not isinstance(response, Response):
                    raise TypeError(f"load_many gave a {type(response).__name__} for a Response")
                if not is_answer(response):
                    continue
                # A cache that keeps objects gives one that was in a result already: it is not ours to place.
                fresh = response.cached and response.prompt is None
                yield key, response if fresh else replace(response, cached=True)
        except RolloutsError:
            raise
        except Exception as error:
            raise CacheError(
                f"{self.credit} failed while reading: {said(error)}. What is not read is not sent; choose another "
                "cache with use_cache=…, or use_cache=False."
            ) from error

    def keep(self, kept: Kept, then: Callable[[list[Kept]], None]) -> None:
        """Make one answer durable, then call `then` with it (perhaps with others, perhaps on another worker).

        `then` gets the answer that stands.
        """
        if self._store_many is None:
            then([self._store_one(kept) or kept])
            return
        with self._lock:
            self._gathered.append((kept, then))
            if self._led:
                return
            self._led = True
        while True:
            with self._lock:
                batch, self._gathered = self._gathered, []
                if not batch:
                    self._led = False
                    return
            stored = self._store_batch([item for item, _ in batch])
            # Runs differ in what they do next; most batches are of one run.
            groups: dict[Callable[[list[Kept]], None], list[Kept]] = {}
            for item, (_, done) in zip(stored, batch, strict=True):
                groups.setdefault(done, []).append(item)
            for done, items in groups.items():
                done(items)

    def _store_batch(self, batch: list[Kept]) -> list[Kept]:
        assert self._store_many is not None
        began = time.monotonic()
        try:
            there = self._store_many([(job.key, response) for job, response in batch])
        except BaseException as error:  # even `sys.exit()` in a plugin must not take the leader from those who wait
            slow = time.monotonic() - began >= SLOW
            if slow and (self._unusable or (len(batch) == 1 and isinstance(error, CacheError))):
                self._fail(batch[0][0], error)
                return batch
            return self._store_apart(batch, slow=slow)
        self._unusable = False
        if not there or not isinstance(there, Mapping):
            return batch
        return [_standing(kept, there.get(kept[0].key)) for kept in batch]

    def _store_apart(self, batch: list[Kept], *, slow: bool) -> list[Kept]:
        """Store what could not be stored together: one bad entry must not cost the others their place.

        Where that failed `slow`ly, and the first and the last fail too, it is the storage: each further try might wait
        a minute for a lock.
        """
        stored = {i: self._store_one(batch[i]) for i in {0, len(batch) - 1}}
        if slow and len(batch) > 1 and not any(stored.values()):
            self._unusable = True
            return batch
        for i in range(1, len(batch) - 1):
            stored[i] = self._store_one(batch[i])
        return [stored[i] or kept for i, kept in enumerate(batch)]

    def _store_one(self, kept: Kept) -> Kept | None:
        """The answer that stands; None where it cannot be stored."""
        job, response = kept
        try:
            return _standing(kept, self.backend.store(job.key, response))
        except BaseException as error:
            self._fail(job, error)
            return None

    def _fail(self, job: Job, error: BaseException) -> None:
        with self._lock:
            if self._problem is not None:
                return
            self._problem = (
                f"{self.credit} cannot keep answers ({type(error).__name__}: {error}); first noticed at "
                f"{job.describe()}. Answers are still returned, but will be asked and paid for again next time: free "
                "space or make it writable."
            )
        logger.error("%s", self._problem)

    def note(self, problem: str) -> None:
        """Take over what another process, which stores for us, has to warn of."""
        with self._lock:
            self._problem = self._problem or problem

    def unreported(self) -> str | None:
        """What to warn the user of, once."""
        if self._problem is None or self._reported:
            return None
        self._reported = True
        return self._problem

    def close(self) -> None:
        """Close the backend if it is ours."""
        if self._owned:
            self.backend.close()

    def __reduce__(self) -> Any:
        raise TypeError("a cache in use cannot be pickled; give the other process its name and directory")


def _standing(kept: Kept, there: object) -> Kept:
    """The answer that is stored: ours, or the one that was there before it. Ours is paid for all the same."""
    job, response = kept
    if not isinstance(there, Response):
        return kept
    if job.given is None:
        job.paid = response.usage
    return job, replace(there, cached=job.given is not None)
