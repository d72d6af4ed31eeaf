"""Which of a run's samples are stored: one round trip to the cache for many. Knows nothing of what is sent."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from rollouts.engine.jobs import Job
from rollouts.engine.stores import Kept, Store
from rollouts.exceptions import RolloutsWarning
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Response

AT_ONCE = 256
"""Stored samples that are taken together."""


def look_up(store: Store, jobs: Sequence[Job], take: Callable[[list[Kept]], None]) -> list[Job]:
    """Give those that are stored to `take`, some at a time; returns the others.

    Raises:
        CacheError: The storage cannot be read; what was found before is taken.
    """
    wanted: dict[SampleRequest, dict[int, Job]] = {}
    for job in jobs:
        wanted.setdefault(job.ask.request, {})[job.number] = job
    hits: list[Kept] = []
    request: SampleRequest | None = None
    numbers: dict[int, Job] = {}
    try:
        for key, response in store.load_many([SampleKey(job.ask.request, job.number) for job in jobs]):
            if key.request is not request:
                request = key.request
                numbers = wanted.get(request, {})
            found = numbers.pop(key.number, None)
            if found is None:
                continue  # a cache that tells one sample twice, or tells of others, costs nobody an answer
            if response.pin is not None:
                _stay(found, response)
            hits.append((found, response))
            if len(hits) >= AT_ONCE:
                some, hits = hits, []
                take(some)
    finally:
        if hits:
            take(hits)
    return [job for missing in wanted.values() for job in missing.values()]


def _stay(job: Job, stored: Response) -> None:
    """Go on with the routing that a stored sample was got with."""
    if stored.pin is not None and job.ask.stay(stored.pin):
        warnings.warn(
            f"{job.describe()} was got with the routing {dict(stored.pin)}, which would be chosen otherwise "
            "today. What this set lacks is asked for with the same, so that it is not mixed.",
            RolloutsWarning,
            stacklevel=2,
        )
