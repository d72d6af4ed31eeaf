"""Sends the first sample with a prefill ahead of the others, so that a refusal costs one request and not 64.

Knows nothing of workers: it says which samples may go now.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollouts.engine.jobs import Job

HEAD_START = 5.0
"""Seconds that the first one goes ahead at most. A refusal comes at once; an answer may take minutes, for which
nobody should wait."""


class Scouting:
    """The samples of one run that wait for what becomes of its first one with a prefill."""

    __slots__ = ("_held", "_until")

    def __init__(self) -> None:
        """Hold nothing back."""
        self._held: list[Job] = []
        self._until = 0.0

    def __bool__(self) -> bool:
        """True while samples are held back."""
        return bool(self._held)

    @property
    def over(self) -> bool:
        """True when those held back have waited long enough."""
        return bool(self._held) and time.monotonic() >= self._until

    def admit(self, jobs: list[Job]) -> list[Job]:
        """Those of `jobs` that may be sent now; the others are held back until `release`."""
        if self._held:
            self._held += jobs
            return []
        scout = next((job for job in jobs if _is_first(job)), None) if len(jobs) > 1 else None
        if scout is None:
            return jobs
        self._held = [job for job in jobs if job is not scout]
        self._until = time.monotonic() + HEAD_START
        return [scout]

    def release(self) -> list[Job]:
        """Those that were held back."""
        held, self._held = self._held, []
        return held


def _is_first(job: Job) -> bool:
    """True where this client has not seen yet whether the model takes a prefill at all."""
    request = job.ask.request
    return request.wire.conversation.prefill is not None and request.model not in job.ask.call.service.prefilled
