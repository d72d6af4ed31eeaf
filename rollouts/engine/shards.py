"""The jobs of many runs over workers elsewhere: a `WorkerPool` whose loops are in other processes. Runs do not notice.

Each worker runs this engine on its shard and stores what it gets; here results are taken, lost workers replaced, and
what they had in hand looked up and handed out again. Knows workers by their channels only.
"""

from __future__ import annotations

import functools
import itertools
import logging
import pickle
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollouts.engine.grants import Admission, Grants
from rollouts.engine.recipes import KEY, ShardedCall, travelling_ask
from rollouts.engine.seats import Seat, share
from rollouts.exceptions import RolloutsError, RolloutsWarning
from rollouts.results import Failure, Response

if TYPE_CHECKING:
    from rollouts.engine.jobs import Ask, Job
    from rollouts.engine.run import Run
    from rollouts.engine.workers import Lane
    from rollouts.typing import ShardExecutor

logger = logging.getLogger("rollouts")

ENTRY = "rollouts.shard_worker:serve"
"""What a worker runs."""

ROUND_TRIP = 0.02
"""Seconds that a worker must be able to go on without hearing from here: as many samples wait with it."""

LOSSES = 3
"""Workers that a sample may be lost with, and that may be lost in a row without any result."""


class Batch:
    """One run, as workers elsewhere know it."""

    def __init__(self, number: int, run: Run, call: ShardedCall) -> None:
        """The run with its number."""
        self.number = number
        self.run = run
        self.call = call
        self.asks: dict[Ask, int] = {}
        self.wanted: dict[int, Ask] = {}
        self.prompts: dict[int, bytes] = {}
        self.latency: float | None = None
        self.admission: Admission | None = None
        self.losses: Counter[Job] = Counter()


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
        self._seats: dict[str | None, list[Seat]] = {}
        self._grants: dict[int, tuple[object, Grants]] = {}
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
                batch = self._new_batch(lane, jobs[0])
            for ask in {job.ask: None for job in jobs}:
                if ask not in batch.asks:
                    batch.asks[ask] = number = next(self._numbers)
                    batch.wanted[number] = ask
                    batch.prompts[number] = travelling_ask(ask)
            lane.jobs.extend(jobs)
            self._staff(batch.call.key)
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
            ended = self._idle.wait_for(lambda: not any(s.jobs for s in self._all_seats() if s.taken), timeout)
        self.dismiss()
        for _, grants in self._grants.values():
            grants.close()
        self._executor.shutdown(wait=ended)
        return ended

    def dismiss(self) -> None:
        """Send every worker away."""
        with self._lock:
            seats = self._all_seats()
            self._seats.clear()
            for seat in seats:
                seat.leaving = True
        for seat in seats:
            seat.hang_up()

    # ── Hiring ──

    def _all_seats(self) -> list[Seat]:
        return [seat for seats in self._seats.values() for seat in seats]

    def _staff(self, key: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._seats.get(key):
            count = max(1, min(self._executor.workers, self.size))
            self._seats[key] = [Seat(number, key) for number in range(count)]
            for seat in self._seats[key]:
                self._fill(seat)

    def _fill(self, seat: Seat) -> None:
        environment = {} if seat.key is None else {KEY: seat.key}
        seat.begin(
            lambda: self._executor.hire(ENTRY, environment),
            seated=self._seated,
            received=self._received,
            lost=self._lost,
        )

    def _seated(self, seat: Seat) -> None:
        with self._lock:
            crew = self._seats.get(seat.key, [])
            seat.leaving = self._closed or seat not in crew
            if not seat.leaving:
                seat.tell(("size", share(self.size, len(crew), seat.number)))
                self._feed()
        if seat.leaving:  # nobody wants it any more
            seat.hang_up()

    def _lost(self, seat: Seat, error: BaseException | None) -> None:
        """A worker is gone: look what it had in hand up, hand the rest out again, and hire another."""
        with self._lock:
            orphans = list(seat.jobs.values())
            seat.clear()
            for _, grants in self._grants.values():
                grants.lost(seat)
            wanted = not (seat.leaving or self._closed)
            if wanted:
                seat.failures += 1
                logger.warning(
                    "worker %d is lost%s; %d samples that it had in hand are asked for elsewhere",
                    seat.number, f" ({type(error).__name__}: {error})" if error else "", len(orphans),
                )  # fmt: skip
        for lane in {job.run.lane for job in orphans}:
            self._rescue([job for job in orphans if job.run.lane is lane])
        with self._lock:
            crew = self._seats.get(seat.key, [])
            if wanted and seat in crew:
                if seat.failures < LOSSES:
                    self._fill(seat)
                else:
                    self._strike(seat, crew, error)
            self._feed()
            for lane, batch in list(self._batches.items()):
                self._retire(lane, batch)
            self._rest()
            self._idle.notify_all()

    def _strike(self, seat: Seat, crew: list[Seat], error: BaseException | None) -> None:
        """Do without a seat whose workers are lost again and again."""
        crew.remove(seat)
        for number, other in enumerate(crew):  # its part goes to the others
            other.number = number
            other.tell(("size", share(self.size, len(crew), number)))
            for known in list(other.caps):
                batch = self._by_number.get(known)
                if batch is not None:
                    other.caps[known] = self._cap(other, batch)
                    other.tell(("cap", known, other.caps[known]))
        if crew:
            return
        why = f"{type(error).__name__}: {error}" if error else "each ended soon after it began"
        for batch in list(self._batches.values()):
            if batch.call.key == seat.key:
                batch.run.fail(
                    RolloutsError(
                        f"no worker of the executor can be had, {LOSSES} were lost in a row ({why}). What was answered "
                        "is stored: the same call asks for the rest only."
                    )
                )

    def _rescue(self, jobs: list[Job]) -> None:
        run, lane = jobs[0].run, jobs[0].run.lane
        store, batch = run.call.store, self._batches.get(lane)
        by_key = {job.key: job for job in jobs}
        found: list[tuple[Job, Response]] = []
        if store is not None:
            try:
                found = [(by_key.pop(key), response) for key, response in store.load_many(list(by_key))]
            except RolloutsError as error:
                run.fail(error)
        again: list[Job] = []
        failed: list[tuple[Job, Failure]] = []
        with self._lock:
            lane.in_flight -= len(jobs)
            for job in jobs:
                run.flying.pop(job, None)
                if batch is not None and batch.admission is not None:
                    batch.admission.settle(job, None, 1)
            for job in by_key.values():
                losses = 0 if batch is None else batch.losses[job] + 1
                if batch is None or self._closed or run.stop.is_set():
                    failed.append((job, job.failure("cancelled", run.stop_error, job.requests)))
                elif losses >= LOSSES:
                    text = f"{job.describe()}: {losses} worker processes were lost while they asked for it"
                    failed.append((job, job.failure("failed", RolloutsError(text), losses)))
                else:
                    batch.losses[job] = losses
                    again.append(job)
            lane.jobs.extendleft(reversed(again))
        if found:
            self._keep(found)
        for job, failure in failed:
            self._give_up(job, failure)

    # ── Handing out ──

    def _new_batch(self, lane: Lane[Job], job: Job) -> Batch:
        call = job.run.call
        assert isinstance(call, ShardedCall)
        batch = self._batches[lane] = Batch(next(self._numbers), job.run, call)
        self._by_number[batch.number] = batch
        if call.budget is not None:
            batch.admission = Admission(job)
        if call.store is not None and call.store.label == "sql" and getattr(self._executor, "spread", False):
            warnings.warn(
                "the workers are on several machines, and the cache 'sql' is one SQLite file, which network file "
                "systems damage: use use_cache='postgresql' (rollouts-shared), or 'json' in a folder that all reach.",
                RolloutsWarning,
                stacklevel=2,
            )
        return batch

    def _retire(self, lane: Lane[Job], batch: Batch) -> None:
        """Forget a run that has nothing left."""
        if not lane.jobs and not lane.in_flight and self._batches.get(lane) is batch:
            del self._batches[lane], self._by_number[batch.number]
            if batch.admission is not None:
                batch.admission.close()
            self._tell_all(batch, "forget")
            for seat in self._all_seats():
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
        for seat in self._all_seats():
            if batch.number in seat.caps:
                seat.tell((what, batch.number))

    def _cap(self, seat: Seat, batch: Batch) -> int:
        """Samples of a run that a worker may ask for at once; whose turn it is for the odd one differs by run."""
        seats = self._seats[seat.key]
        total = min(batch.run.lane.cap, self.size)
        return share(total, len(seats), (seat.number + batch.number) % len(seats))

    def _room(self, seat: Seat, batch: Batch) -> int:
        cap = seat.caps.get(batch.number)
        if cap is None:
            cap = self._cap(seat, batch)
        ahead = 0
        if batch.latency is not None and batch.admission is None and len(self._seats) == 1:
            ahead = min(cap // 2, round(cap * ROUND_TRIP / batch.latency))
        return cap + ahead - seat.held.get(batch.number, 0)

    def _feed(self) -> None:
        """Hand out what there is room for."""
        handed: dict[tuple[Seat, Batch, Ask], list[Job]] = {}
        turn = deque(batch for batch in self._batches.values() if batch.run.lane.jobs)
        full = {key: len(self._seats) > 1 and self._crowded() for key in self._seats}
        while turn:
            batch = turn.popleft()
            lane = batch.run.lane
            seats = [seat for seat in self._seats.get(batch.call.key, ()) if seat.taken]
            best = max(seats, key=lambda seat: self._room(seat, batch), default=None)
            if best is None or full[best.key] or self._room(best, batch) < 1:
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

    def _crowded(self) -> bool:
        return sum(len(seat.jobs) for seat in self._all_seats()) >= self.size

    def _admitted(self, seat: Seat, batch: Batch, job: Job, admitted: bool) -> None:
        with self._lock:
            if admitted and seat.taken:
                self._hand(seat, batch, job.ask, [job])
                return
            batch.run.lane.in_flight -= 1
            seat.give(batch.number)
            if admitted and batch.admission is not None:  # its worker was lost meanwhile
                batch.admission.settle(job, None, 0)
                batch.run.lane.jobs.appendleft(job)
                self._feed()
                return
            self._retire(batch.run.lane, batch)
        self._give_up(job, job.failure("not_sent", batch.run.stop_error))

    def _hand(self, seat: Seat, batch: Batch, ask: Ask, jobs: list[Job]) -> None:
        run, number = batch.run, batch.asks[ask]
        if batch.number not in seat.caps:
            seat.caps[batch.number] = cap = self._cap(seat, batch)
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
                self._permit(seat, batch, what, *rest)
        for batch, entries in results.items():
            self._take(seat, batch, entries)

    def _permit(self, seat: Seat, batch: Batch, what: str, number: int, *rest: Any) -> None:
        limiter = batch.call.limiter
        with self._lock:
            _, grants = self._grants.setdefault(id(limiter), (limiter, Grants(limiter)))
        if what == "want":
            request = batch.wanted[rest[0]].request
            grants.want(seat, batch.number, number, request, batch.run.stop, batch.run.fail)
            return
        try:
            if what == "settle":
                grants.settle(seat, batch.number, number, *rest)
            else:
                grants.cancel(seat, batch.number, number)
        except RolloutsError as error:  # as in the sender: without its limiter nothing may be sent
            batch.run.fail(error)

    def _park(self, seat: Seat, batch: Batch, seconds: float | None) -> None:
        """One worker was told of a limit: it holds for all."""
        with self._lock:
            for other in self._all_seats():
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
                usage = None
                if isinstance(result, Response):
                    usage = result.usage
                    kept.append((job, result))
                    if result.latency:
                        old = batch.latency
                        batch.latency = result.latency if old is None else old + (result.latency - old) / 32
                else:
                    kind, error, attempts = result
                    failed.append((job, job.failure(kind, error, attempts)))
                    if dead and job.ask.dead is None:
                        self._doom(batch, job.ask, error)
                if batch.admission is not None:
                    batch.admission.settle(job, usage, job.billed)
            self._feed()
        if kept:
            self._keep(kept)
            if kept[0][0].ask.request.wire.conversation.prefill is not None:
                batch.call.service.prefilled.add(kept[0][0].ask.request.model)
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
        for seat in self._all_seats():
            if known in seat.asks:
                seat.tell(("dead", *known, pickle.dumps(error)))


class ShardTransport:
    """What stands in place of a transport where requests are sent elsewhere: it can be cut."""

    def __init__(self, pool: ShardPool) -> None:
        """Cut the workers of `pool`."""
        self.cut = pool.cut

    def close(self) -> None:
        """The pool is closed by its engine."""
