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


class Claims:
    """The claims of one process. One lock, held for dictionary work only."""

    def __init__(self) -> None:
        """Start with no claim."""
        self.forget()

    def forget(self) -> None:
        """Drop every claim."""
        self._lock = threading.Lock()
        # Each key's owner first, then the parked jobs.
        self._queues: dict[tuple[str, int], list[Job]] = {}

    def claim(self, jobs: Iterable[Job]) -> list[Job]:
        """Claim each job's key; those whose key is taken are parked. Returns the owners."""
        owned = []
        with self._lock:
            for job in jobs:
                queue = self._queues.get(job.claim_key)
                if queue is None:
                    self._queues[job.claim_key] = [job]
                    owned.append(job)
                else:
                    queue.append(job)
        return owned

    def settle(self, jobs: Iterable[Job]) -> list[tuple[Job, list[Job]]]:
        """Give claims up because the samples are there; returns each job that had parked ones, with those."""
        waiting = []
        with self._lock:
            for job in jobs:
                queue = self._queues.get(job.claim_key)
                if queue is not None and queue[0] is job:
                    del self._queues[job.claim_key]
                    if len(queue) > 1:
                        waiting.append((job, queue[1:]))
        return waiting

    def give_up(self, job: Job) -> Job | None:
        """Give a claim or a place in its queue up; returns the parked job that owns the claim now, if any."""
        with self._lock:
            queue = self._queues.get(job.claim_key)
            if queue is None or job not in queue:
                return None
            owned = queue[0] is job
            queue.remove(job)
            if not queue:
                del self._queues[job.claim_key]
                return None
            return queue[0] if owned else None

    def leave(self, run: object) -> list[Job]:
        """Take the parked jobs of `run` out; returns them. Its claims stay until they are given up one by one."""
        left: list[Job] = []
        with self._lock:
            for queue in self._queues.values():
                if len(queue) > 1:
                    gone = [job for job in queue[1:] if job.run is run]
                    if gone:
                        left += gone
                        queue[1:] = [job for job in queue[1:] if job.run is not run]
        return left

    def __len__(self) -> int:
        return len(self._queues)


CLAIMS = Claims()
"""The claims of this process."""

if hasattr(os, "register_at_fork"):
    # A child has none of the threads that would settle its parent's claims.
    os.register_at_fork(after_in_child=CLAIMS.forget)
