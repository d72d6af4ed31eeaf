"""C worker loops over the jobs of many runs, shared fairly. Knows nothing of what a job does.

A loop ends when no job is left and starts again on demand: long loops that wait inside an executor would hang the
interpreter's exit.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Generic, TypeVar

from rollouts.engine.guests import said
from rollouts.exceptions import RolloutsError

J = TypeVar("J")


class Lane(Generic[J]):
    """The waiting jobs of one run, and how many of them may be worked on at once."""

    __slots__ = ("cap", "in_flight", "jobs", "listed", "submits")

    def __init__(self, cap: int) -> None:
        """Allow `cap` jobs at once."""
        self.cap = cap
        self.jobs: deque[J] = deque()
        self.in_flight = 0
        self.listed = False
        self.submits = 0
        """How often jobs were added: tells whether a submission that was interrupted took place."""


class Borrowed(Executor):
    """A caller's executor, used as it is: whoever made it shuts it down."""

    def __init__(self, executor: Executor) -> None:
        """Run on `executor`."""
        self._executor = executor
        self.max_workers = threads_of(executor)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As its own."""
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave it running."""


def threads_of(executor: Executor) -> int | None:
    """How many loops an executor can run at once; None where it does not say."""
    for name in ("max_workers", "_max_workers"):
        count = getattr(executor, name, None)
        if isinstance(count, int) and count > 0:
            return count
    return None


class WorkerPool(Generic[J]):
    """Runs jobs on up to `size` loops of an executor; lanes take turns, one job each."""

    def __init__(self, make_executor: Callable[[], Executor], size: int, work: Callable[[J], None]) -> None:
        """Call `work(job)` for each job; it must not raise. The executor is made when first needed."""
        self.size = size
        self._make_executor = make_executor
        self._executor: Executor | None = None
        self._work = work
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._turn: deque[Lane[J]] = deque()
        self._loops = 0
        self._waiting = 0
        self._closed = False
        self.pin: int | None = None
        """CPU that the loops keep to (Linux); None leaves it to the kernel."""

    def submit(self, lane: Lane[J], jobs: Iterable[J]) -> None:
        """Add jobs to a lane and start the loops that are wanted.

        Raises:
            RolloutsError: The pool is closed.
        """
        with self._lock:
            if self._closed:
                raise RolloutsError("the client was closed while this run was under way")
            before = len(lane.jobs)
            lane.jobs.extend(jobs)
            lane.submits += 1
            self._waiting += len(lane.jobs) - before
            if self._executor is None and self._waiting:
                self._executor = self._make_executor()  # before a loop is counted: it may fail
                self.size = min(self.size, threads_of(self._executor) or self.size)
            if not lane.listed and lane.jobs and lane.in_flight < lane.cap:
                lane.listed = True
                self._turn.append(lane)
            wanted = max(0, min(self._waiting, self.size - self._loops))
            self._loops += wanted
            executor = self._executor
        if wanted > 0 and executor is not None:
            self._start(executor, [[True] for _ in range(wanted)])

    def _start(self, executor: Executor, tickets: list[list[bool]]) -> None:
        started = 0
        try:
            with _unpinned():
                for ticket in tickets:
                    executor.submit(self._loop, ticket)
                    started += 1
        except Exception as error:
            # Shut down, by its owner or by the interpreter's end. The loops that did start do the work.
            with self._lock:
                self._loops -= len(tickets) - started
                helpless = self._loops == 0
            if helpless:
                raise RolloutsError(
                    f"the executor {type(executor).__name__} starts no workers: {said(error)}. Was it shut down?"
                ) from error
        except BaseException:
            # Ctrl-C while threads start. The loops are counted, and other runs may rely on them: one that was handed
            # over already does not run twice, and one that finds no job ends at once.
            self._start(executor, tickets[started:])
            raise

    def withdraw(self, lane: Lane[J]) -> list[J]:
        """Take back the jobs of a lane that no loop has begun."""
        with self._lock:
            jobs = list(lane.jobs)
            lane.jobs.clear()
            self._waiting -= len(jobs)
            if lane.listed:
                lane.listed = False
                self._turn.remove(lane)
        return jobs

    def _loop(self, ticket: list[bool]) -> None:
        try:
            ticket.pop()
        except IndexError:
            return
        with _pinned(self.pin):
            lane: Lane[J] | None = None
            while True:
                with self._lock:
                    if lane is not None:
                        lane.in_flight -= 1
                        if lane.jobs and not lane.listed:
                            lane.listed = True
                            self._turn.append(lane)
                    if not self._turn:
                        self._loops -= 1
                        self._idle.notify_all()
                        return
                    lane = self._turn.popleft()
                    job = lane.jobs.popleft()
                    lane.in_flight += 1
                    self._waiting -= 1
                    if lane.jobs and lane.in_flight < lane.cap:
                        self._turn.append(lane)
                    else:
                        lane.listed = False
                self._work(job)
                del job

    def close(self, timeout: float | None = None) -> bool:
        """Take no more jobs; wait up to `timeout` seconds for the loops. True when all have ended."""
        with self._lock:
            self._closed = True
            ended = self._idle.wait_for(lambda: self._loops == 0, timeout)
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=ended, cancel_futures=False)
        return ended


@contextlib.contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    """Keep this thread to one CPU; its executor gets it back as it was."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
        _thread.pinned = (before, {cpu})
        yield
    finally:
        _thread.pinned = None
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _unpinned() -> Iterator[None]:
    """Lift the pin for a moment: a thread started from a pinned one would inherit it."""
    pinned = getattr(_thread, "pinned", None)
    if pinned is None:
        yield
        return
    before, now = pinned
    os.sched_setaffinity(0, before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, now)


_thread = threading.local()


def one_cpu(place: int = 0) -> int | None:
    """The CPU that `worker_affinity="one-cpu"` keeps to: the last that this process may use; None off Linux.

    Worker process `place` counts from there, so that each has a CPU of its own.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(os.getpid()), reverse=True)
    return cpus[place % len(cpus)]
