"""Sends the first sample with a prefill ahead of the others, so that a refusal costs one request and not 64.

Those held back are claimed, and others may wait for them: so the worker that is done with the first one sends them on,
and nobody waits for a caller who looks at an answer and comes back for the next one later, or not at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollouts.engine.jobs import Job

HEAD_START = 5.0
"""Seconds that the first one goes ahead at most. A refusal comes at once; an answer may take minutes, for which
nobody should wait."""


class Scouting:
    """The samples of one run that wait for what becomes of its first one with a prefill."""

    __slots__ = ("_held", "_lock", "_scout", "_send", "_until")

    def __init__(self, send: Callable[[list[Job]], None]) -> None:
        """Hold nothing back; `send` gets what was, on the thread that releases it."""
        self._send = send
        self._lock = threading.Lock()
        self._held: list[Job] = []
        self._scout: Job | None = None
        self._until = 0.0

    @property
    def due(self) -> bool:
        """True when those held back have waited long enough."""
        return bool(self._held) and time.monotonic() >= self._until

    def admit(self, jobs: list[Job]) -> list[Job]:
        """Those of `jobs` that may be sent now; the others are held back until the first one is done."""
        with self._lock:
            if self._held:
                self._held += jobs
                return []
            scout = next((job for job in jobs if _is_first(job)), None) if len(jobs) > 1 else None
            if scout is None:
                return jobs
            self._scout = scout
            self._held = [job for job in jobs if job is not scout]
            self._until = time.monotonic() + HEAD_START
            return [scout]

    def over(self, job: Job) -> None:
        """A sample is done, whatever became of it: if it went ahead, the others follow."""
        if job is self._scout:
            self.release()

    def release(self) -> None:
        """Send those that were held back."""
        held = self.withdraw()
        if held:
            self._send(held)

    def withdraw(self) -> list[Job]:
        """Take those that were held back, to be sent no more."""
        with self._lock:
            held, self._held, self._scout = self._held, [], None
            return held


def _is_first(job: Job) -> bool:
    """True where this client has not seen yet whether the model takes a prefill at all."""
    request = job.ask.request
    return request.wire.conversation.prefill is not None and request.model not in job.ask.call.service.prefilled
