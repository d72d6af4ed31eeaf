"""Drives the runs of async callers: one thread for all of them, so that an event loop never blocks.

The thread starts with the first run and ends with the last.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rollouts.engine.run import Run


class Dispatcher:
    """The coordinating thread of every run that is handed to it."""

    def __init__(self) -> None:
        """No thread yet."""
        self._lock = threading.Lock()
        self._called = threading.Event()
        self._ready: deque[Run] = deque()
        self._runs: dict[Run, tuple[Future[Any], Callable[[], Any]]] = {}
        self._thread: threading.Thread | None = None

    def start(self, run: Run, finish: Callable[[], Any]) -> Future[Any]:
        """Drive `run` to its end; the future then gets what `finish()` returns or raises.

        Cancelling the future withdraws what is unsent.
        """
        future: Future[Any] = Future()

        def wake() -> None:
            self._ready.append(run)
            self._called.set()

        def cancelled(done: Future[Any]) -> None:
            if done.cancelled():
                run.stop.set()
                wake()

        run.wake = wake
        with self._lock:
            self._runs[run] = (future, finish)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="rollouts-dispatcher", daemon=True)
                self._thread.start()
        future.add_done_callback(cancelled)
        wake()
        return future

    def stop_all(self) -> None:
        """Stop every run; their futures end with what they have."""
        for run in list(self._runs):
            run.stop.set()
            run.wake()

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until every run has ended; at once on the dispatcher's own thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _loop(self) -> None:
        begun: set[Run] = set()
        while True:
            self._called.wait(0.2)
            self._called.clear()
            called = set()
            while self._ready:
                called.add(self._ready.popleft())
            for run in called:
                if run in self._runs:
                    self._advance(run, begun)
            for run in begun:
                run.tick()
            with self._lock:
                if not self._runs:
                    self._thread = None
                    return

    def _advance(self, run: Run, begun: set[Run]) -> None:
        future, finish = self._runs[run]
        result, error = None, None
        try:
            if run not in begun:
                begun.add(run)
                run.begin()
            if future.cancelled():
                run.abandon()
            elif run.step():
                return
            else:
                run.tell_stream_error()
        except BaseException as raised:
            error = raised
            with contextlib.suppress(Exception):  # this thread serves other runs too
                run.abandon()
        else:
            try:
                result = None if future.cancelled() else finish()
            except BaseException as raised:
                error = raised
        begun.discard(run)
        with self._lock:
            del self._runs[run]
        with contextlib.suppress(Exception):
            run.end(error)
        if future.cancelled() or not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
