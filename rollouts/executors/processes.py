"""The executor `processes`: worker processes on this machine. Knows nothing of what they run.

Each worker is a fresh interpreter (threads and fork do not mix), and the caller's script is not imported again in it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from rollouts.exceptions import ConfigError, RolloutsError
from rollouts.hookspecs import hookimpl
from rollouts.typing import ExecutorOptions, Spec

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from rollouts.executors._calling import Line

_CALL = "ROLLOUTS_WORKER_CALL"
"""Environment variable: whom the worker calls. The token in it is worth nothing once the call was made."""

_PROGRAM = """\
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from rollouts.executors._calling import work_for
host, port, token, entry = os.environ.pop("ROLLOUTS_WORKER_CALL").split()
work_for((host, int(port)), token, entry)
"""

_LEAVE = 2.0
"""Seconds that a worker gets to leave before it is killed."""


class Processes(Executor):
    """Worker processes on this machine, one for each CPU unless told otherwise."""

    carries_key = True
    patience = None

    def __init__(self, options: ExecutorOptions) -> None:
        """Start nothing.

        Raises:
            ConfigError: An unknown option, or a number of workers that is none.
        """
        from rollouts.executors._calling import cpus

        given = dict(options.options)
        workers = given.pop("workers", None)
        if given:
            raise ConfigError(f"executor_options: 'processes' knows no {', '.join(map(repr, given))}, only 'workers'.")
        if workers is not None and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 1):
            raise ConfigError(f"executor_options: workers is {workers!r}: give a whole number from 1.")
        self.workers: int = min(workers or cpus(), options.max_concurrency)
        self._pool: ProcessPoolExecutor | None = None

    def hire(self, entry: str, environment: Mapping[str, str]) -> Worker:
        """Start a worker process.

        Raises:
            RolloutsError: It ended before it called back; its own words are on standard error.
        """
        from rollouts.executors._calling import Exchange

        exchange = Exchange()
        paths = [os.path.abspath(path) for path in sys.path]
        called = [*map(str, exchange.address), exchange.token, entry]
        own = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), _CALL: " ".join(called)}
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment, **own},
                # A group of its own: Ctrl-C at the terminal is for the parent, which tells the workers what to do.
                process_group=0 if os.name == "posix" else None,
            )
        except BaseException:
            exchange.close()
            raise
        try:
            return Worker(exchange.answer(lambda: process.poll() is None), process)
        except RolloutsError:
            process.kill()
            code = process.wait()
            raise RolloutsError(
                f"a worker process ended with code {code} before it could begin; standard error says why"
            ) from None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run any function in a process of its own pool."""
        if self._pool is None:
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            self._pool = ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"))
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the pool behind `submit`; hired workers end with their channels."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Worker:
    """The channel to one worker process."""

    def __init__(self, line: Line, process: subprocess.Popen[bytes]) -> None:
        """Own both."""
        self._line = line
        self._process = process
        self._reaping = threading.Lock()
        self.send = line.send
        self.recv = line.recv

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def close(self) -> None:
        """Hang up, which the worker takes as its dismissal; kill it where it does not go."""
        self._line.close()
        with self._reaping, contextlib.suppress(OSError):
            try:
                self._process.wait(_LEAVE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@hookimpl
def rollouts_register_executors() -> list[Spec]:
    """Offer `processes`."""
    return [Spec(name="processes", factory=Processes, description="worker processes on this machine's cores")]
