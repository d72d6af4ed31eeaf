"""The engine of a client: workers, transports and the dispatcher, made when first needed and freed by `close`.

Knows no provider, cache, limiter, template or progress bar, only what a `Call` brings.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

from rollouts.engine.claims import CLAIMS
from rollouts.engine.dispatcher import Dispatcher
from rollouts.engine.handover import hand_on, settle
from rollouts.engine.jobs import Ask, Call, Job
from rollouts.engine.reporting import Reporter
from rollouts.engine.run import Deliver, Result, Run
from rollouts.engine.sender import obtain
from rollouts.engine.shards import ShardPool
from rollouts.engine.stopping import stop_at_exit
from rollouts.engine.workers import WorkerPool, one_cpu
from rollouts.exceptions import RolloutsError
from rollouts.results import Failure, Response
from rollouts.transport import HttpTransport
from rollouts.typing import ShardExecutor

logger = logging.getLogger("rollouts")

WINDOW = 4096
"""Samples of one run that may be under way at once; also how many are looked up in one round trip."""


class Engine:
    """Runs the samples of one client."""

    def __init__(
        self,
        make_executor: Callable[[int], Executor],
        elsewhere: Callable[[int], ShardExecutor | None] = lambda size: None,
    ) -> None:
        """Make workers with `make_executor(max_concurrency)` when they are needed.

        Where `elsewhere(max_concurrency)` gives an executor, workers are other processes of that one.
        """
        self._make_executor = make_executor
        self._elsewhere = elsewhere
        self._lock = threading.Lock()
        self._reset()
        stop_at_exit(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._pools: dict[tuple[int, str | None], WorkerPool[Job]] = {}
        self._shards: dict[int, ShardPool | None] = {}
        self._transports: dict[int, HttpTransport] = {}
        self._dispatcher = Dispatcher()
        self._runs: set[Run] = set()
        self._closed = False

    def _here(self) -> None:
        """After a fork the child has no threads and must not share sockets: begin anew."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._reset()
        if self._closed:
            raise RolloutsError("this client is closed; make a new one")

    def shards(self, size: int) -> ShardPool | None:
        """The pool of workers elsewhere; None where workers are threads of this process."""
        with self._lock:
            self._here()
            if size not in self._shards:
                executor = self._elsewhere(size)
                self._shards[size] = None
                if executor is not None:
                    self._shards[size] = ShardPool(executor, size, work=work, keep=durable, give_up=give_up)
            return self._shards[size]

    def transport(self, max_concurrency: int) -> HttpTransport:
        """The transport whose connections suffice for so many parallel requests."""
        with self._lock:
            self._here()
            transport = self._transports.get(max_concurrency)
            if transport is None:
                transport = self._transports[max_concurrency] = HttpTransport(max_connections=max_concurrency)
            return transport

    def _pool(self, size: int, affinity: str | None) -> WorkerPool[Job] | ShardPool:
        shards = self.shards(size)
        if shards is not None:
            return shards
        with self._lock:
            self._here()
            pool = self._pools.get((size, affinity))
            if pool is None:
                pool = WorkerPool(lambda: self._make_executor(size), size, work)
                pool.pin = one_cpu() if affinity == "one-cpu" else None
                self._pools[size, affinity] = pool
            return pool

    def run(
        self,
        call: Call,
        asks: Iterable[Ask | None],
        *,
        size: int,
        reporter: Reporter,
        deliver: Deliver,
        window: int = WINDOW,
        eager: bool = False,
    ) -> Run:
        """Make a run of `asks` on the workers of a pool of `size`; the caller drives it."""
        run = Run(
            call,
            asks,
            pool=self._pool(size, call.affinity),
            reporter=reporter,
            deliver=deliver,
            window=window,
            eager=eager,
        )
        run.on_end = self._runs.discard
        self._runs.add(run)
        return run

    def dispatch(self, run: Run, finish: Callable[[], Any]) -> Any:
        """Drive `run` on the dispatcher's thread; returns a `concurrent.futures.Future` of `finish()`."""
        return self._dispatcher.start(run, finish)

    def abort(self) -> None:
        """Cut everything at once: the interpreter is ending."""
        for run in list(self._runs):
            run.stop.set()
        for transport in list(self._transports.values()):
            transport.cut()
        # These must be gone before the interpreter joins the executors of callers.
        for shards in list(self._shards.values()):
            if shards is not None:
                shards.dismiss()

    def close(self) -> None:
        """Stop the runs under way (what is in flight is cut), and free threads and sockets. Idempotent."""
        with self._lock:
            if self._closed or self._pid != os.getpid():
                self._closed = True
                return
            self._closed = True
            pools: list[WorkerPool[Job] | ShardPool] = list(self._pools.values())
            pools += [shards for shards in self._shards.values() if shards is not None]
            transports = list(self._transports.values())
        for run in list(self._runs):
            run.fail(RolloutsError("the client was closed while this run was under way"))
        for transport in transports:
            transport.cut()
        for pool in pools:
            if isinstance(pool, ShardPool):
                pool.cut()
            pool.close(timeout=5.0)
        self._dispatcher.wait(5.0)
        for transport in transports:
            transport.close()


def work(job: Job) -> None:
    """What a worker does with one job: get the sample, make it durable, let go of the claim. Never raises."""
    run = job.run
    try:
        if job.given is not None:
            result: Result = job.given
        else:
            run.flying[job] = time.monotonic()
            try:
                result = obtain(job)
            finally:
                run.flying.pop(job, None)
        if isinstance(result, Response):
            store = job.ask.call.store
            if store is None:
                run.post([(job, result)])
            else:
                store.keep((job, result), durable)
            return
    except BaseException as error:
        logger.error("a worker failed at %s", job.describe(), exc_info=True)
        result = job.failure("failed", RolloutsError(f"{job.describe()}: {type(error).__name__}: {error}"))
    give_up(job, result)


def give_up(job: Job, failure: Failure) -> None:
    """This sample has no answer: let whoever waits for it try, then show it to its run."""
    heir = CLAIMS.give_up(job)
    if heir is not None:
        hand_on(heir)
    job.run.post([(job, failure)])


def durable(kept: list[tuple[Job, Response]]) -> None:
    """These samples are stored: let go of their claims, then show them to their runs."""
    settle(kept)
    runs: dict[Run, deque[tuple[Job, Result]]] = {}
    for job, response in kept:
        runs.setdefault(job.run, deque()).append((job, response))
    for run, results in runs.items():
        run.post(results)
