"""One run, as the pool of workers elsewhere knows it; what to do with its samples that a lost worker had in hand."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from typing import TYPE_CHECKING

from rollouts.engine.crews import LOSSES
from rollouts.engine.grants import Admission
from rollouts.engine.recipes import ShardedCall, travelling_ask
from rollouts.engine.seats import Seat, share
from rollouts.exceptions import RolloutsError, RolloutsWarning
from rollouts.results import Failure, Response

if TYPE_CHECKING:
    from rollouts.engine.jobs import Ask, Job
    from rollouts.engine.run import Run

ROUND_TRIP = 0.02
"""Seconds that a worker must be able to go on without hearing from here (as many samples wait with it), by default."""


class Batch:
    """One run. Guarded by the pool's lock."""

    def __init__(self, number: int, run: Run, size: int, round_trip: float = ROUND_TRIP) -> None:
        """The run with its number, in a pool of `size` whose workers answer within `round_trip` seconds."""
        call = run.call
        assert isinstance(call, ShardedCall)
        self.number = number
        self.run = run
        self.call: ShardedCall = call
        self.size = size
        self.round_trip = round_trip
        self.asks: dict[Ask, int] = {}
        self.wanted: dict[int, Ask] = {}
        self.prompts: dict[int, bytes] = {}
        self.latency: float | None = None
        """Seconds that an answer takes, about."""
        self.admission = Admission(run) if call.budget is not None else None
        self._losses: Counter[Job] = Counter()

    def know(self, ask: Ask, numbers: itertools.count[int]) -> None:
        """Give a prompt a number, once.

        Raises:
            ConfigError: It cannot travel.
        """
        if ask not in self.asks:
            prompt = travelling_ask(ask)
            self.asks[ask] = number = next(numbers)
            self.wanted[number] = ask
            self.prompts[number] = prompt

    def warn_of_sql(self, *, spread: bool) -> None:
        """Warn of a cache that workers on several machines (`spread`) cannot share."""
        if spread and self.call.store is not None and self.call.store.label == "sql":
            warnings.warn(
                "the workers are on several machines, and the cache 'sql' is one SQLite file, which network file "
                "systems damage: use use_cache='postgresql' (rollouts-shared), or 'json' in a folder that all reach.",
                RolloutsWarning,
                stacklevel=2,
            )

    def answered(self, job: Job, response: Response) -> None:
        """Learn from an answer."""
        request = job.ask.request
        if request.wire.conversation.prefill is not None:
            self.call.service.prefilled.add(request.model)
        if response.latency:
            old = self.latency
            self.latency = response.latency if old is None else old + (response.latency - old) / 32

    def cap(self, seat: Seat, crew: list[Seat]) -> int:
        """Samples that a worker may ask for at once; whose turn it is for the odd one differs by run."""
        total = min(self.run.lane.cap, self.size)
        return share(total, len(crew), (seat.number + self.number) % len(crew))

    def room(self, seat: Seat, crew: list[Seat], *, ahead: bool) -> int:
        """How many more samples a worker may be handed; with `ahead` a few that will wait with it."""
        cap = seat.caps.get(self.number)
        if cap is None:
            cap = self.cap(seat, crew)
        more = 0
        if ahead and self.latency is not None and self.admission is None:
            more = min(cap, round(cap * self.round_trip / self.latency))
        return cap + more - seat.held.get(self.number, 0)

    def settle(self, job: Job, response: Response | None, lost: int) -> None:
        """Put what a sample took in place of what its budget reserved."""
        if self.admission is not None:
            self.admission.settle(job, None if response is None else response.usage, lost)

    def lose(self, job: Job) -> Failure | None:
        """A worker was lost with this sample: the failure when that was once too often, None to ask again."""
        run = self.run
        if run.stop.is_set():
            return job.failure("cancelled", run.stop_error, job.requests)
        self._losses[job] += 1
        losses = self._losses[job]
        if losses < LOSSES:
            return None
        text = f"{job.describe()}: {losses} worker processes were lost while they asked for it"
        return job.failure("failed", RolloutsError(text), losses)


class Orphans:
    """What a lost worker had in hand of one run, sorted into stored, to be asked again, and failed."""

    def __init__(self, jobs: list[Job], batch: Batch | None) -> None:
        """Look the samples up: what a worker has stored must not be asked again."""
        self.stored: list[tuple[Job, Response]] = []
        self.again: list[Job] = []
        self.failed: list[tuple[Job, Failure]] = []
        self._batch = batch
        self._left = {job.key: job for job in jobs}
        run = jobs[0].run
        if run.call.store is not None:
            try:
                for key, response in run.call.store.load_many(list(self._left)):
                    job = self._left.pop(key, None)
                    if job is not None:
                        self.stored.append((job, response))
            except RolloutsError as error:
                run.fail(error)

    def sort(self) -> None:
        """Decide about those that are not stored; with the pool's lock."""
        for job in self._left.values():
            failure = job.failure("cancelled", job.run.stop_error) if self._batch is None else self._batch.lose(job)
            if failure is None:
                self.again.append(job)
            else:
                self.failed.append((job, failure))


def in_runs(jobs: list[Job]) -> list[list[Job]]:
    """Jobs sorted by their run."""
    runs: dict[Run, list[Job]] = {}
    for job in jobs:
        runs.setdefault(job.run, []).append(job)
    return list(runs.values())
