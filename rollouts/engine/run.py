"""One run: a lazy stream of samples, looked up, sent where missing, and delivered as they are done.

All of this module but `post` runs on the coordinating thread: the caller's, or the dispatcher's for async calls. It
claims, looks up, hands missing samples to the workers, and takes what they have made durable.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from rollouts.engine.claims import CLAIMS
from rollouts.engine.handover import hand_on, settle
from rollouts.engine.jobs import Ask, Call, Job
from rollouts.engine.lookup import look_up
from rollouts.engine.reporting import Reporter
from rollouts.engine.scouting import Scouting
from rollouts.engine.source import Source
from rollouts.engine.stopping import StopSignal
from rollouts.engine.workers import Lane
from rollouts.events import RetryEvent
from rollouts.exceptions import BudgetExceeded, ConfigError, OfflineMiss, RolloutsError, RolloutsWarning
from rollouts.results import Failure, Response, place

if TYPE_CHECKING:
    from rollouts.engine.shards import ShardPool
    from rollouts.engine.workers import WorkerPool

logger = logging.getLogger("rollouts")

GRACE = 5.0
"""Seconds that answers in flight get after a stop."""

Result: TypeAlias = Response | Failure

Deliver: TypeAlias = Callable[[Sequence[tuple[Job, Result]]], None]
"""Gets results, one or several at a time, on the coordinating thread."""


class Run:
    """A stream of asks on its way through look-up, workers and delivery."""

    def __init__(
        self,
        call: Call,
        asks: Iterable[Ask | None],
        *,
        pool: WorkerPool[Job] | ShardPool,
        reporter: Reporter,
        deliver: Deliver,
        window: int,
        eager: bool = False,
    ) -> None:
        """Make ready to run; nothing is read or sent yet.

        Args:
            call: The settings of all asks.
            asks: The prompts, read only as far as `window` allows; None where there are none for now, so that they
                are read again once something is done.
            pool: The workers.
            reporter: Progress and events.
            deliver: Gets the results.
            window: Samples that may be under way at once, waiting ones included.
            eager: Wake the coordinating thread for each result and not for batches.
        """
        self.call = call
        self.pool = pool
        self.run_id = reporter.run_id
        self.stop = StopSignal()
        self.stop_error: RolloutsError | None = None
        self.lane: Lane[Job] = Lane(call.max_concurrency)
        self.done: deque[tuple[Job, Result]] = deque()
        self.flying: dict[Job, float] = {}
        """Samples being asked now, with the time (monotonic, seconds) at which they began."""
        self._reporter = reporter
        self._deliver = deliver
        self._window = window
        self._eager = eager
        self._source = Source(asks, self)
        self._withdrawn = False
        self._leaving: list[Job] = []
        self._handing: list[Job] = []
        self._submits = 0
        self._scouting = Scouting(self._submit)
        self._outstanding = 0
        self._wake_at = 1
        self._event = threading.Event()
        self.on_end: Callable[[Run], None] = lambda run: None
        self.wake: Callable[[], None] = self._event.set
        """How workers call the coordinating thread."""

    # ── Called by workers ──

    def post(self, results: Sequence[tuple[Job, Result]]) -> None:
        """Hand over results that are durable."""
        self.done.extend(results)
        for job, _ in results:
            self._scouting.over(job)
        if len(self.done) >= self._wake_at:
            self.wake()

    def fail(self, error: RolloutsError) -> None:
        """Stop everything because no request can succeed; the first error is the one that is raised."""
        if self.stop_error is None:
            self.stop_error = error
        self.stop.set()
        self.wake()

    def exhaust_budget(self) -> None:
        """Stop because the budget admits nothing more; what is in flight finishes."""
        budget = self.call.budget
        self.fail(BudgetExceeded(budget.describe() if budget is not None else "the budget is spent"))

    def tell_retry(self, event: RetryEvent) -> None:
        """Tell observers of a failed attempt that has a successor."""
        self._reporter.retry(event)

    # ── The coordinating thread ──

    @property
    def finished(self) -> bool:
        """True when nothing is left to take and nothing under way."""
        return (self._source.exhausted or self.stop.is_set()) and self._outstanding == 0 and not self.done

    def begin(self) -> None:
        """Announce the run."""
        self._reporter.begin(self)

    def step(self) -> bool:
        """Take what is done and hand out what is next; True while there is more to come."""
        self._event.clear()
        self._drain()
        if self.stop.is_set():
            self._withdraw()
        else:
            if self._scouting.due:
                self._scouting.release()
            self._refill()
        self._drain()
        if self.stop.is_set():
            self._withdraw()
            self._drain()
        low = self._outstanding - self._window // 2 if not self._source.exhausted else self._outstanding
        self._wake_at = 1 if self._eager else max(1, min(low, 256))
        if len(self.done) >= self._wake_at:
            self.wake()
        return not self.finished

    def wait(self, timeout: float = 0.1) -> None:
        """Wait until workers call, at most `timeout` seconds (progress is shown between)."""
        self._event.wait(timeout)
        self.tick()

    def tick(self) -> None:
        """Say now and then how it goes."""
        self._reporter.tick(self)
        if self._scouting.due:
            self.wake()

    def end(self, error: BaseException | None = None) -> None:
        """Announce the end."""
        self.on_end(self)
        self._reporter.end(self, error)

    def complete(self) -> None:
        """Run to the end on this thread."""
        try:
            self.begin()
            while self.step():
                self.wait()
            self.tell_stream_error()
        except KeyboardInterrupt as error:
            try:
                self.interrupt()
            finally:
                self.end(error)
            raise
        except BaseException as error:
            self.abandon()
            self.end(error)
            raise
        else:
            self.end()

    def iterate(self, ready: deque[Result]) -> Iterator[Result]:
        """Yield results as they are done; `deliver` puts them into `ready`. Leaving early withdraws the rest."""
        try:
            self.begin()
            more = True
            while more or ready:
                more = self.step()
                while ready:
                    yield ready.popleft()
                    # While the caller works the workers go on: keep them fed.
                    if not self._source.exhausted and self._outstanding - len(self.done) <= self._window // 2:
                        self.step()
                if more:
                    self.wait()
            self.tell_stream_error()
        except KeyboardInterrupt as error:
            try:
                self.interrupt()
            finally:
                self.end(error)
            raise
        except BaseException as error:
            self.abandon()
            self.end(error)
            raise
        else:
            self.end()

    def tell_stream_error(self) -> None:
        """Raise what the prompts' own iterator raised, after everything that it gave is delivered."""
        if self._source.error is not None:
            raise self._source.error

    def interrupt(self) -> None:
        """After the first Ctrl-C: nothing new starts, answers in flight get the grace. A second one cuts at once."""
        self.stop.set()
        try:
            until = time.monotonic() + GRACE
            self._wake_at = 1
            self._give_back()
            while self.lane.in_flight and time.monotonic() < until:
                self._event.wait(0.05)
                self._event.clear()
                self._drain()
            self._drain()
        finally:
            try:
                self._give_back()  # a second Ctrl-C may have come in the middle of it
            finally:
                self.cut()

    def abandon(self) -> None:
        """Nobody wants the rest: withdraw what is unsent, give what is in flight the grace in the background."""
        self.stop.set()
        self._give_back()
        if self.lane.in_flight:
            threading.Thread(target=self._cut_later, name="rollouts-grace", daemon=True).start()

    def cut(self) -> None:
        """Shut this run's sockets down."""
        self.stop.set()
        self.call.transport.cut(self.stop)

    def _cut_later(self) -> None:
        until = time.monotonic() + GRACE
        while self.lane.in_flight and time.monotonic() < until:
            self._event.wait(0.05)
            self._event.clear()
        if self.lane.in_flight:
            self.cut()

    # ── Parts of a step ──

    def _refill(self) -> None:
        source = self._source
        while not source.exhausted and self._outstanding <= self._window // 2 and not self.stop.is_set():
            late = not source.read(self._window - self._outstanding)
            if not source.taken:  # none for now: what is done may bring more
                return
            self._start(source.taken)
            source.taken = []
            if late:  # prompts come slowly: let what is done be delivered between two of them
                self.wake()
                return

    def _start(self, jobs: list[Job]) -> None:
        store = self.call.store
        if store is None:
            missing = jobs
        else:
            owned = CLAIMS.claim(jobs)
            self._outstanding += len(jobs) - len(owned)
            missing = look_up(store, owned, self._take_stored)
        self._reporter.looked_up()
        if not missing:
            return
        refusal = self.refusal(missing[0])
        if refusal is not None:
            self._outstanding += len(missing)
            for job in missing:
                self._lose(job, refusal)
            self.fail(refusal)
            return
        self._outstanding += len(missing)
        self._handing, self._submits = self._scouting.admit(missing), self.lane.submits
        self.pool.submit(self.lane, self._handing)
        self._handing = []

    def _submit(self, jobs: list[Job]) -> None:
        """Hand out what was held back; called by whoever sees that the time has come."""
        try:
            self.pool.submit(self.lane, jobs)
        except RolloutsError as error:  # the client is closed
            for job in jobs:
                self._lose(job, error)
            self.wake()

    def _take_stored(self, hits: list[tuple[Job, Response]]) -> None:
        settle(hits)
        for job, response in hits:
            ask = job.ask
            place(response, index=job.number - ask.first_number, prompt_index=ask.prompt_index, prompt=ask.prompt)
        self._reporter.stored(self, hits)
        self._deliver(hits)

    def refusal(self, job: Job) -> RolloutsError | None:
        """Why this sample must not be sent at all."""
        if self.call.offline:
            store = self.call.store
            where = "none" if store is None else getattr(store.backend, "location", store.label)
            return OfflineMiss(
                f"offline, and {job.describe()} is not in the cache ({where}; fingerprint "
                f"{job.ask.request.fingerprint[:16]}). Take offline off to ask for it."
            )
        if self.call.missing_key is not None:
            return ConfigError(self.call.missing_key)
        return None

    def _drain(self) -> None:
        # Taken before removed: an interrupt between the two repeats an assignment instead of losing a result.
        while self.done:
            job = self.done[0][0]
            if not job.taken:  # an interrupt may have handed a result over twice
                self._take(self.done[0])
                job.taken = True
                self._outstanding -= 1
            self.done.popleft()
        store = self.call.store
        problem = store.unreported() if store is not None else None
        if problem is not None:
            warnings.warn(problem, RolloutsWarning, stacklevel=2)

    def _take(self, done: tuple[Job, Result]) -> None:
        job, result = done
        if isinstance(result, Response):
            place(result, index=job.index, prompt_index=job.ask.prompt_index, prompt=job.ask.prompt)
        self._reporter.sample(self, job, result)
        self._deliver((done,))

    def _withdraw(self) -> None:
        """Give up what has not begun. Of what an interrupt left of that, the next call takes care."""
        if not self._withdrawn:
            self._leaving += self._scouting.withdraw() + self.pool.withdraw(self.lane) + CLAIMS.leave(self)
            self._withdrawn = True
        while self._leaving:
            self._lose(self._leaving[-1], self.stop_error)
            self._leaving.pop()

    def _give_back(self) -> None:
        """After an interrupt: as `_withdraw`, and also what was being taken when it came."""
        self._withdraw()
        # What was handed out is with the workers, who let go of it themselves, or was withdrawn.
        handed = set(self._handing) if self.lane.submits > self._submits else ()
        taken = self._source.taken
        while taken:
            heir = None if taken[-1] in handed else CLAIMS.give_up(taken[-1])
            if heir is not None:
                hand_on(heir)
            taken.pop()
        self._drain()

    def _lose(self, job: Job, error: RolloutsError | None) -> None:
        heir = CLAIMS.give_up(job)
        if heir is not None:
            hand_on(heir)
        self.done.append((job, job.failure("not_sent", error)))
