"""What a worker process does: it runs this engine on the shards that it is given, and stores what it gets.

The other end of `engine.shards`. Looks nothing up (the coordinator did), reads the key here, and ends with its channel.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollouts.engine.core import work
from rollouts.engine.jobs import Ask, Call, Job
from rollouts.engine.leave import AskedLeave, OwnLeave
from rollouts.engine.outbox import Outbox
from rollouts.engine.recipes import KEY, opened, unlocked
from rollouts.engine.scopes import park_of, scope_for
from rollouts.engine.stopping import StopSignal
from rollouts.engine.workers import Lane, WorkerPool, one_cpu
from rollouts.exceptions import ConfigError, PluginError, RolloutsError
from rollouts.plugins import plugin_manager
from rollouts.resources import Resources
from rollouts.results import Failure, Response

if TYPE_CHECKING:
    from rollouts.engine.scopes import Park
    from rollouts.events import RetryEvent
    from rollouts.typing import Channel

_PROTOCOL = 5

_PAUSE = 0.002
"""Seconds between two messages to the coordinator: a tenth of what samples wait with a worker for."""


def serve(channel: Channel) -> None:
    """Work for whoever is at the other end until they hang up."""
    with _no_interrupts():
        worker = ShardWorker(channel, os.environ.pop(KEY, None))
        try:
            while True:
                for message in channel.recv():
                    worker.obey(*message)
        except EOFError:
            pass
        finally:
            worker.close()


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Leave Ctrl-C, which a terminal sends to workers too, to the coordinator."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class ShardWorker:
    """The runs that this process works for."""

    def __init__(self, channel: Channel, key: str | None) -> None:
        """Answer over `channel`; `key` is what was given with the process's environment."""
        self.outbox = Outbox(channel.send, "rollouts-to-coordinator", pause=_PAUSE)
        self._key = key
        self._resources: dict[bytes, Resources] = {}
        self._pool: WorkerPool[Job] = WorkerPool(self._threads, 1, work)
        self._runs: dict[int, ShardRun] = {}
        self._place = 0

    def _threads(self) -> ThreadPoolExecutor:
        # Its own bound is the pool's, which may grow when another worker is lost.
        return ThreadPoolExecutor(10_000, thread_name_prefix="rollouts")

    def obey(self, what: str, number: int, *rest: Any) -> None:
        """Do what a message says."""
        if what == "size":
            self._pool.size, self._place = number, rest[0]
        elif what == "call":
            self._runs[number] = ShardRun(self, number, *rest)
        elif (run := self._runs.get(number)) is not None:
            if what == "jobs":
                run.begin(self._pool, *rest)
            elif what in ("stop", "cut"):
                run.end(self._pool, cut=what == "cut")
            elif what == "forget":
                del self._runs[number]
            else:
                getattr(run, what)(*rest)

    def call(self, recipe: bytes, cap: int) -> tuple[Call, Park]:
        """Make a call ready here; with it, where its service's requests park.

        Raises:
            RolloutsError: What it needs is not here.
        """
        resources, settings = opened(recipe, self._resources_for)
        own: dict[str, Any] = {"max_concurrency": max(1, cap)}
        settings = settings.override(**own, **unlocked(self._key, settings))
        resolved = resources.resolve(settings)
        key, _ = resources.key(settings, resolved.spec)
        call = resources.call(resolved, self._pool.size)
        if settings.worker_affinity == "one-cpu":
            self._pool.pin = one_cpu(self._place)
        return call, park_of(scope_for(resolved.base_url or "in-process", None if key is None else key.reveal()))

    def _resources_for(self, plugins: tuple[Any, ...]) -> Resources:
        identity = pickle.dumps(plugins, _PROTOCOL)
        if identity not in self._resources:
            self._resources[identity] = Resources(plugin_manager(plugins))
        return self._resources[identity]

    def close(self) -> None:
        """Cut everything: nobody waits for it any more."""
        for run in self._runs.values():
            run.end(self._pool, cut=True)
        self._pool.close(timeout=1.0)
        self.outbox.close(0.1)
        for resources in self._resources.values():
            resources.close()


class ShardRun:
    """Takes the place of a `Run` for the engine: what it is told goes to the coordinator."""

    def __init__(self, worker: ShardWorker, number: int, recipe: bytes, cap: int, granted: bool) -> None:
        """Work for run `number`, on at most `cap` samples at once."""
        self._worker = worker
        self._number = number
        self._known: dict[Job, int] = {}
        self._asks: dict[int, Ask] = {}
        self.run_id = str(number)
        self.lane: Lane[Job] = Lane(cap)
        self.stop = StopSignal()
        self.stop_error: RolloutsError | None = None
        self.flying: dict[Job, float] = {}
        self._leave: AskedLeave | OwnLeave | None = AskedLeave(self.tell) if granted else None
        self.call: Call | None = None
        try:
            self.call = self._made(*worker.call(recipe, cap))
        except Exception as error:
            failed = error if isinstance(error, RolloutsError) else RolloutsError(f"{type(error).__name__}: {error}")
            self.fail(_addressed(failed))

    def _made(self, call: Call, park: Park) -> Call:
        if call.missing_key is not None:
            raise ConfigError(call.missing_key)
        self._leave = self._leave or OwnLeave(call.limiter, park, self.tell)
        return replace(call, limiter=self._leave)  # type: ignore[arg-type]  # it is given this run's own stop

    # ── Told by the coordinator ──

    def begin(self, pool: WorkerPool[Job], ask: int, numbers: list[tuple[int, int]]) -> None:
        """Get the samples with these numbers, each known to the coordinator by its first number."""
        wanted = self._asks.get(ask)
        if wanted is None:  # the call could not be made ready
            for known, _ in numbers:
                self._tell(known, ("not_sent", self.stop_error, 0), (0, 0, 0, 0.0, 0.0), False)
            return
        jobs = []
        for known, number in numbers:
            job = Job(wanted, number, self)  # type: ignore[arg-type]
            self._known[job] = known
            jobs.append(job)
        pool.submit(self.lane, jobs)

    def ask(self, number: int, travelled: bytes) -> None:
        """Know a prompt."""
        if self.call is None:
            return
        try:
            request, prompt, prompt_index, pin = pickle.loads(travelled)
        except Exception as error:
            self.fail(_addressed(ConfigError(f"a prompt cannot be read ({type(error).__name__}: {error})")))
            return
        ask = Ask(self.call, request, prompt=prompt, prompt_index=prompt_index, first_number=0, n=1)
        ask.stay(pin)
        self._asks[number] = ask
        if isinstance(self._leave, AskedLeave):
            self._leave.asks[request.fingerprint] = number

    def cap(self, cap: int) -> None:
        """Work on at most so many samples at once from now on."""
        self.lane.cap = cap

    def dead(self, ask: int, error: bytes) -> None:
        """No sample of this prompt can be had."""
        if ask in self._asks:
            self._asks[ask].dead = pickle.loads(error)

    def grant(self, permit: int, granted: bool) -> None:
        """A request has leave, or never will."""
        if isinstance(self._leave, AskedLeave):
            self._leave.answered(permit, granted)

    def park(self, seconds: float | None) -> None:
        """Another worker was told of a limit."""
        if isinstance(self._leave, OwnLeave):
            self._leave.park(seconds)

    def end(self, pool: WorkerPool[Job], *, cut: bool) -> None:
        """Start nothing more; with `cut` nobody waits for what is in flight either."""
        self.stop.set()
        for job in pool.withdraw(self.lane):
            self.post([(job, job.failure("not_sent", self.stop_error))])
        if cut and self.call is not None:
            self.call.transport.cut(self.stop)

    # ── Told by the engine, on worker threads ──

    def post(self, results: Iterable[tuple[Job, Response | Failure]]) -> None:
        """Hand results on; they are durable."""
        store = self.call.store if self.call is not None else None
        problem = store.unreported() if store is not None else None
        if problem is not None:
            self._worker.outbox.put(("problem", self._number, problem))
        for job, result in results:
            counts = (job.requests, job.retries, job.billed, job.waited_for_limit, job.waited_for_retry)
            if isinstance(result, Response):
                if callable(result.raw_source):
                    result = replace(result, raw_source=result.raw_body)
                self._tell(self._known.pop(job), result, counts, False)
            else:
                told = (result.kind, _carried(result.error), result.attempts)
                self._tell(self._known.pop(job), told, counts, job.ask.dead is not None)

    def fail(self, error: RolloutsError) -> None:
        """No request can succeed."""
        if self.stop_error is None:
            self.stop_error = error
        self.stop.set()
        self._worker.outbox.put(("fail", self._number, pickle.dumps(_carried(error))))

    def tell_retry(self, event: RetryEvent) -> None:
        """A request failed and will be tried again."""
        self._worker.outbox.put(("retry", self._number, event))

    def tell(self, what: str, *rest: Any) -> None:
        """Send a message about this run."""
        self._worker.outbox.put((what, self._number, *rest))

    def _tell(self, known: int, result: Any, counts: tuple[Any, ...], dead: bool) -> None:
        try:
            packed = pickle.dumps((known, (result, counts, dead)), _PROTOCOL)
        except Exception as error:
            refused = PluginError(f"an answer cannot be sent back from its worker ({type(error).__name__}: {error})")
            packed = pickle.dumps((known, (("failed", refused, counts[0]), counts, False)), _PROTOCOL)
        self.tell("result", packed)


def _carried(error: RolloutsError | None) -> RolloutsError | None:
    """The error as it can travel: a plugin's own class may not."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RolloutsError(f"{type(error).__name__}: {error}")
    return error


def _addressed(error: RolloutsError) -> RolloutsError:
    """The error with the machine and process that it is about."""
    import socket

    error.args = (f"{error} (in worker process {os.getpid()} on {socket.gethostname()})",)
    return error
