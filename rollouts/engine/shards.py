"""The jobs of many runs over workers elsewhere: a `WorkerPool` whose loops are in other processes. Runs do not notice.

Each worker runs this engine on its shard and stores what it gets; here results are taken, lost workers replaced, and
what they had in hand looked up and handed out again. Knows workers by their channels only.
"""

from __future__ import annotations

import functools
import itertools
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollouts.engine.batches import ROUND_TRIP, Batch, Orphans, in_runs
from rollouts.engine.crews import LOSSES, Crews
from rollouts.engine.grants import Leave
from rollouts.engine.seats import Seat
from rollouts.exceptions import RolloutsError
from rollouts.results import Failure, Response

if TYPE_CHECKING:
    from rollouts.engine.jobs import Ask, Job
    from rollouts.engine.workers import Lane
    from rollouts.typing import ShardExecutor


class ShardPool:
    """Hands jobs to workers of an executor elsewhere, `size` at once in all; lanes take turns, one job each."""

    pin: int | None = None

    def __init__(
        self,
        executor: ShardExecutor,
        size: int,
        *,
        work: Callable[[Job], None],
        keep: Callable[[list[tuple[Job, Response]]], None],
        give_up: Callable[[Job, Failure], None],
    ) -> None:
        """Hire nobody yet.

        Args:
            executor: Where workers come from.
            size: Samples that may be asked for at once.
            work: Does a job that needs no worker.
            keep: Takes samples that a worker has made durable.
            give_up: Takes a sample that has no answer.
        """
        self.size = size
        self._executor = executor
        self._work = work
        self._keep = keep
        self._give_up = give_up
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._numbers = itertools.count(1)
        self._batches: dict[Lane[Job], Batch] = {}
        self._by_number: dict[int, Batch] = {}
        self._crews = Crews(
            executor,
            size,
            self._lock,
            received=self._received,
            orphaned=self._orphaned,
            struck=self._struck,
            changed=self._changed,
        )
        self._leave = Leave()
        self._timer: threading.Timer | None = None
        self._closed = False
        self.transport = ShardTransport(self)

    @property
    def carries_key(self) -> bool:
        """True where workers are given the key; else they have their own."""
        return self._executor.carries_key

    # ── What a run uses ──

    def submit(self, lane: Lane[Job], jobs: Iterable[Job]) -> None:
        """Add jobs to a lane.

        Raises:
            RolloutsError: The pool is closed.
            ConfigError: A prompt that cannot travel.
        """
        jobs = list(jobs)
        for job in jobs:
            if job.given is not None:  # only to be stored, which needs nobody
                self._work(job)
        jobs = [job for job in jobs if job.given is None]
        if not jobs:
            return
        with self._lock:
            if self._closed:
                raise RolloutsError("the client was closed while this run was under way")
            batch = self._batches.get(lane)
            if batch is None:
                batch = self._batches[lane] = Batch(
                    next(self._numbers), jobs[0].run, self.size, getattr(self._executor, "round_trip", ROUND_TRIP)
                )
                self._by_number[batch.number] = batch
                batch.warn_of_sql(spread=getattr(self._executor, "spread", False))
            for job in jobs:
                batch.know(job.ask, self._numbers)
            lane.jobs.extend(jobs)
            lane.submits += 1
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._crews.staff(batch.call.key)
            self._feed()

    def withdraw(self, lane: Lane[Job]) -> list[Job]:
        """Take back the jobs of a lane that no worker has; of a run that stops, workers give theirs back too."""
        with self._lock:
            jobs = list(lane.jobs)
            lane.jobs.clear()
            batch = self._batches.get(lane)
            if batch is not None:
                if batch.run.stop.is_set():
                    self._tell_all(batch, "stop")
                self._retire(lane, batch)
        return jobs

    def cut(self, stop: object = None) -> None:
        """Shut the sockets down that work for the run with this stop; None: for all runs."""
        with self._lock:
            for batch in self._batches.values():
                if stop is None or batch.run.stop is stop:
                    self._tell_all(batch, "cut")

    def close(self, timeout: float | None = None) -> bool:
        """Take no more jobs, wait up to `timeout` seconds for what workers have, dismiss them."""
        with self._lock:
            self._closed = True
            ended = self._idle.wait_for(lambda: not any(s.jobs for s in self._crews.all() if s.taken), timeout)
        self.dismiss()
        self._leave.close()
        self._executor.shutdown(wait=ended)
        return ended

    def dismiss(self) -> None:
        """Send every worker away."""
        self._crews.dismiss()

    # ── Losing workers ──

    def _orphaned(self, seat: Seat, jobs: list[Job]) -> None:
        self._leave.lost(seat)
        for mine in in_runs(jobs):
            run, lane = mine[0].run, mine[0].run.lane
            batch = self._batches.get(lane)
            orphans = Orphans(mine, batch)
            with self._lock:
                lane.in_flight -= len(mine)
                for job in mine:
                    run.flying.pop(job, None)
                    if batch is not None:
                        batch.settle(job, None, 1)
                orphans.sort()
                lane.jobs.extendleft(reversed(orphans.again))
            if orphans.stored:
                self._keep(orphans.stored)
            for job, failure in orphans.failed:
                self._give_up(job, failure)

    def _struck(self, key: str | None, why: str) -> None:
        """A crew has a seat less: its parts are larger; or it has none left."""
        crew = self._crews.of(key)
        for seat in crew:
            for known in list(seat.caps):
                if known in self._by_number:
                    seat.caps[known] = self._by_number[known].cap(seat, crew)
                    seat.tell(("cap", known, seat.caps[known]))
        for batch in [] if crew else list(self._batches.values()):
            if batch.call.key == key:
                batch.run.fail(
                    RolloutsError(
                        f"no worker of the executor can be had, {LOSSES} were lost in a row ({why}). What was answered "
                        "is stored: the same call asks for the rest only."
                    )
                )

    def _changed(self) -> None:
        self._feed()
        for lane, batch in list(self._batches.items()):
            self._retire(lane, batch)
        self._rest()
        self._idle.notify_all()

    # ── Handing out ──

    def _retire(self, lane: Lane[Job], batch: Batch) -> None:
        """Forget a run that has nothing left."""
        if not lane.jobs and not lane.in_flight and self._batches.get(lane) is batch:
            del self._batches[lane], self._by_number[batch.number]
            if batch.admission is not None:
                batch.admission.close()
            self._tell_all(batch, "forget")
            for seat in self._crews.all():
                seat.caps.pop(batch.number, None)
                seat.held.pop(batch.number, None)
                seat.asks = {known for known in seat.asks if known[0] != batch.number}

    def _rest(self) -> None:
        if self._executor.patience is None or self._batches or self._closed or self._timer is not None:
            return
        self._timer = threading.Timer(self._executor.patience, self._end_idle)
        self._timer.daemon = True
        self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            if self._batches or self._timer is None:
                return
            self._timer = None
        self.dismiss()

    def _tell_all(self, batch: Batch, what: str) -> None:
        for seat in self._crews.all():
            if batch.number in seat.caps:
                seat.tell((what, batch.number))

    def _feed(self) -> None:
        """Hand out what there is room for."""
        handed: dict[tuple[Seat, Batch, Ask], list[Job]] = {}
        turn = deque(batch for batch in self._batches.values() if batch.run.lane.jobs)
        alone = len(self._crews) == 1
        if not alone and sum(len(seat.jobs) for seat in self._crews.all()) >= self.size:
            return
        while turn:
            batch = turn.popleft()
            lane = batch.run.lane
            crew = self._crews.of(batch.call.key)
            room, best = max(
                ((batch.room(seat, crew, ahead=alone), seat) for seat in crew if seat.taken),
                key=lambda found: found[0],
                default=(0, None),
            )
            if best is None or room < 1:
                continue
            job = lane.jobs.popleft()
            lane.in_flight += 1
            best.take(batch.number)
            handed.setdefault((best, batch, job.ask), []).append(job)
            if lane.jobs:
                turn.append(batch)
        for (seat, batch, ask), jobs in handed.items():
            if batch.admission is None:
                self._hand(seat, batch, ask, jobs)
                continue
            for job in jobs:
                batch.admission.admit(job, functools.partial(self._admitted, seat, batch, job))

    def _admitted(self, seat: Seat, batch: Batch, job: Job, admitted: bool) -> None:
        with self._lock:
            if admitted and seat.taken:
                self._hand(seat, batch, job.ask, [job])
                return
            batch.run.lane.in_flight -= 1
            seat.give(batch.number)
            if admitted:  # its worker was lost meanwhile
                batch.settle(job, None, 0)
                batch.run.lane.jobs.appendleft(job)
                self._feed()
                return
            self._retire(batch.run.lane, batch)
        self._give_up(job, job.failure("not_sent", batch.run.stop_error))

    def _hand(self, seat: Seat, batch: Batch, ask: Ask, jobs: list[Job]) -> None:
        run, number = batch.run, batch.asks[ask]
        if batch.number not in seat.caps:
            seat.caps[batch.number] = cap = batch.cap(seat, self._crews.of(seat.key))
            seat.tell(("call", batch.number, batch.call.recipe, cap, batch.call.granted))
        if (batch.number, number) not in seat.asks:
            seat.asks.add((batch.number, number))
            seat.tell(("ask", batch.number, number, batch.prompts[number]))
            if ask.dead is not None:
                seat.tell(("dead", batch.number, number, pickle.dumps(ask.dead)))
        numbers = [(next(self._numbers), job) for job in jobs]
        seat.jobs.update(numbers)
        now = time.monotonic()
        for job in jobs:
            run.flying[job] = now
        seat.tell(("jobs", batch.number, number, [(known, job.number) for known, job in numbers]))

    # ── What workers say ──

    def _received(self, seat: Seat, messages: list[Any]) -> None:
        results: dict[Batch, list[tuple[int, Any]]] = {}
        for what, number, *rest in messages:
            batch = self._by_number.get(number)
            if batch is None:
                continue  # of a run that is over
            if what == "result":
                results.setdefault(batch, []).append(pickle.loads(rest[0]))
            elif what == "fail":
                batch.run.fail(pickle.loads(rest[0]))
            elif what == "retry":
                batch.run.tell_retry(replace(rest[0], run_id=batch.run.run_id))
            elif what == "problem":
                if batch.call.store is not None:
                    batch.call.store.note(rest[0])
            elif what == "park":
                self._park(seat, batch, *rest)
            else:
                self._leave.hear(seat, batch, what, *rest)
        for batch, entries in results.items():
            self._take(seat, batch, entries)

    def _park(self, seat: Seat, batch: Batch, seconds: float | None) -> None:
        """One worker was told of a limit: it holds for all."""
        with self._lock:
            for other in self._crews.all():
                if other is not seat and batch.number in other.caps:
                    other.tell(("park", batch.number, seconds))

    def _take(self, seat: Seat, batch: Batch, entries: list[tuple[int, Any]]) -> None:
        kept: list[tuple[Job, Response]] = []
        failed: list[tuple[Job, Failure]] = []
        run = batch.run
        with self._lock:
            for number, (result, counts, dead) in entries:
                job = seat.jobs.pop(number, None)
                if job is None:
                    continue
                seat.failures = 0
                run.flying.pop(job, None)
                run.lane.in_flight -= 1
                seat.give(batch.number)
                job.requests, job.retries, job.billed, job.waited_for_limit, job.waited_for_retry = counts
                batch.settle(job, result if isinstance(result, Response) else None, job.billed)
                if isinstance(result, Response):
                    kept.append((job, result))
                    batch.answered(job, result)
                else:
                    kind, error, attempts = result
                    failed.append((job, job.failure(kind, error, attempts)))
                    if dead and job.ask.dead is None:
                        self._doom(batch, job.ask, error)
            self._feed()
        if kept:
            self._keep(kept)
        for job, failure in failed:
            self._give_up(job, failure)
        with self._lock:
            self._retire(run.lane, batch)
            self._rest()
            self._idle.notify_all()

    def _doom(self, batch: Batch, ask: Ask, error: RolloutsError) -> None:
        """The service said what no sample of a prompt can get over: spare it the others."""
        ask.dead = error
        known = (batch.number, batch.asks[ask])
        for seat in self._crews.all():
            if known in seat.asks:
                seat.tell(("dead", *known, pickle.dumps(error)))


class ShardTransport:
    """What stands in place of a transport where requests are sent elsewhere: it can be cut."""

    def __init__(self, pool: ShardPool) -> None:
        """Cut the workers of `pool`."""
        self.cut = pool.cut

    def close(self) -> None:
        """The pool is closed by its engine."""
