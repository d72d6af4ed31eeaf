"""Who is asking for which sample in this process: two calls that want the same one send it once.

Knows nothing of how samples are got. A claim is taken before the cache is looked up (afterwards, two calls could both
have missed). The second wanter's job is parked here, not a worker; it gets the answer, or the claim when the first
one fails.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from rollouts.engine.jobs import Job
from rollouts.identity import SampleRequest


class Claims:
    """The claims of one process. One lock, held for dictionary work only."""

    def __init__(self) -> None:
        """Start with no claim."""
        self.forget()

    def forget(self) -> None:
        """Drop every claim."""
        self._lock = threading.Lock()
        # By request and number. A sample has an owner; only few have anybody who waits for it.
        self._owners: dict[str, dict[int, Job]] = {}
        self._parked: dict[tuple[str, int], list[Job]] = {}

    def claim(self, jobs: Iterable[Job]) -> list[Job]:
        """Claim each job's sample; those whose sample is claimed are parked. Returns the owners."""
        owned = []
        request: SampleRequest | None = None
        owners: dict[int, Job] = {}
        with self._lock:
            for job in jobs:
                if job.ask.request is not request:
                    request = job.ask.request
                    owners = self._owners.setdefault(request.fingerprint, {})
                if job.number in owners:
                    self._parked.setdefault((request.fingerprint, job.number), []).append(job)
                else:
                    owners[job.number] = job
                    owned.append(job)
        return owned

    def settle(self, jobs: Iterable[Job], waiting: list[tuple[Job, list[Job]]]) -> None:
        """Give claims up because the samples are there; each job that had parked ones goes to `waiting`, with those."""
        request: SampleRequest | None = None
        owners: dict[int, Job] = {}
        with self._lock:
            for job in jobs:
                if job.ask.request is not request:
                    self._tidy(request, owners)
                    request = job.ask.request
                    owners = self._owners.get(request.fingerprint, {})
                if owners.get(job.number) is job:
                    del owners[job.number]
                    if self._parked and (parked := self._parked.pop((request.fingerprint, job.number), None)):
                        waiting.append((job, parked))
            self._tidy(request, owners)

    def give_up(self, job: Job) -> Job | None:
        """Give a claim or a place in its queue up; returns the parked job that owns the claim now, if any."""
        request = job.ask.request
        place = (request.fingerprint, job.number)
        with self._lock:
            owners, parked = self._owners.get(request.fingerprint, {}), self._parked.get(place, [])
            heir = None
            if owners.get(job.number) is job:
                del owners[job.number]
                if parked:
                    heir = owners[job.number] = parked.pop(0)
                self._tidy(request, owners)
            elif job in parked:
                parked.remove(job)
            if not parked:
                self._parked.pop(place, None)
            return heir

    def leave(self, run: object) -> list[Job]:
        """Take the parked jobs of `run` out; returns them. Its claims stay until they are given up one by one."""
        left: list[Job] = []
        with self._lock:
            for place, parked in list(self._parked.items()):
                left += [job for job in parked if job.run is run]
                parked[:] = [job for job in parked if job.run is not run]
                if not parked:
                    del self._parked[place]
        return left

    @property
    def parked(self) -> int:
        """How many samples somebody waits for."""
        return len(self._parked)

    def _tidy(self, request: SampleRequest | None, owners: dict[int, Job]) -> None:
        if request is not None and not owners:
            self._owners.pop(request.fingerprint, None)

    def __len__(self) -> int:
        return sum(map(len, list(self._owners.values())))


CLAIMS = Claims()
"""The claims of this process."""

if hasattr(os, "register_at_fork"):
    # A child has none of the threads that would settle its parent's claims.
    os.register_at_fork(after_in_child=CLAIMS.forget)
