"""Leave to send, given here for workers elsewhere: one limit and one budget for all of them.

Limiters and budgets wait, so each has a thread of its own, on which those who want something queue.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rollouts.exceptions import RolloutsError
from rollouts.typing import Outcome

if TYPE_CHECKING:
    from rollouts.engine.batches import Batch
    from rollouts.engine.jobs import Job
    from rollouts.engine.run import Run
    from rollouts.engine.seats import Seat
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage
    from rollouts.typing import Limiter, Permit, Stop

GRANTED = Outcome("ok", status=200)
"""What workers say `None` for."""

LOST = Outcome("empty", message="the worker that sent it was lost")


class Queue:
    """A thread that does what is put, one after the other; it begins with the first and never raises."""

    def __init__(self, name: str) -> None:
        """Begin nothing."""
        self._name = name
        self._items: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._begun = False

    def put(self, act: Callable[[], None]) -> None:
        """Do `act` when its turn comes."""
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._loop, name=self._name, daemon=True).start()
        self._items.put(act)

    def close(self) -> None:
        """End after what is queued."""
        self._items.put(None)

    def _loop(self) -> None:
        while (act := self._items.get()) is not None:
            act()


class Grants:
    """Permits of one limiter that workers elsewhere hold."""

    def __init__(self, limiter: Limiter) -> None:
        """Ask `limiter`, one request after the other."""
        self._limiter = limiter
        self._queue = Queue("rollouts-grants")
        self._held: dict[tuple[Seat, int, int], Permit] = {}

    def want(
        self,
        seat: Seat,
        run: int,
        number: int,
        request: SampleRequest,
        stop: Stop,
        fail: Callable[[RolloutsError], None],
    ) -> None:
        """Answer a worker's wish for permit `number` when the limiter agrees; a limiter that breaks fails the run."""

        def act() -> None:
            permit: Permit | None = None
            try:
                permit = self._limiter.acquire(request, stop)
            except Exception as error:
                fail(error if isinstance(error, RolloutsError) else RolloutsError(f"a limiter failed: {error!r}"))
            if permit is not None:
                self._held[seat, run, number] = permit
            seat.tell(("grant", run, number, permit is not None))
            if not seat.taken:
                self.lost(seat)

        self._queue.put(act)

    def settle(self, seat: Seat, run: int, number: int, outcome: Outcome | None, usage: Usage | None) -> None:
        """Tell the limiter how a request went."""
        permit = self._held.pop((seat, run, number), None)
        if permit is not None:
            permit.settle(outcome or GRANTED, usage)

    def cancel(self, seat: Seat, run: int, number: int) -> None:
        """Give back a permit whose request was not sent."""
        permit: Any = self._held.pop((seat, run, number), None)
        if permit is not None:
            permit.cancel() if hasattr(permit, "cancel") else permit.settle(LOST, None)

    def lost(self, seat: Seat) -> None:
        """Settle all that a worker held."""
        for key in [key for key in list(self._held) if key[0] is seat]:
            with contextlib.suppress(RolloutsError):  # it is told when it is next asked for leave
                self.settle(*key, LOST, None)

    def close(self) -> None:
        """End the thread."""
        self._queue.close()


class Leave:
    """The grants of all limiters in use."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        # The limiter too, so that its id stays its own.
        self._grants: dict[int, tuple[Limiter, Grants]] = {}

    def hear(self, seat: Seat, batch: Batch, what: str, number: int, *rest: Any) -> None:
        """Do what a worker says of a permit: `want`, `settle` or `cancel`."""
        limiter = batch.call.limiter
        with self._lock:
            if id(limiter) not in self._grants:
                self._grants[id(limiter)] = (limiter, Grants(limiter))
            grants = self._grants[id(limiter)][1]
        try:
            if what == "want":
                request = batch.wanted[rest[0]].request
                grants.want(seat, batch.number, number, request, batch.run.stop, batch.run.fail)
            elif what == "settle":
                grants.settle(seat, batch.number, number, *rest)
            else:
                grants.cancel(seat, batch.number, number)
        except RolloutsError as error:  # as in the sender: without its limiter nothing may be sent
            batch.run.fail(error)

    def lost(self, seat: Seat) -> None:
        """A worker is gone with what it held."""
        for _, grants in list(self._grants.values()):
            grants.lost(seat)

    def close(self) -> None:
        """End all threads."""
        for _, grants in list(self._grants.values()):
            grants.close()


class Admission:
    """The budget of one run: what is handed out was reserved here before."""

    def __init__(self, run: Run) -> None:
        """Keep the budget of a run."""
        self._run = run
        self._queue = Queue("rollouts-budget")
        self._held: dict[Job, Any] = {}

    def admit(self, job: Job, then: Callable[[bool], None]) -> None:
        """Reserve for a job when its turn comes, and call `then` with whether it may be sent."""

        def act() -> None:
            budget = job.ask.call.budget
            assert budget is not None
            reservation = budget.reserve(job.ask.request, self._run.stop)
            if reservation is not None:
                self._held[job] = reservation
            elif budget.exhausted:
                self._run.exhaust_budget()
            then(reservation is not None)

        self._queue.put(act)

    def settle(self, job: Job, usage: Usage | None, lost: int) -> None:
        """Put what was spent in place of what was reserved."""
        reservation = self._held.pop(job, None)
        if reservation is not None:
            reservation.settle(usage, lost=lost)

    def close(self) -> None:
        """End the thread."""
        self._queue.close()
