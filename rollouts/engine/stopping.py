"""How a run is told to stop, and what happens when the interpreter ends. Knows no sockets."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  (registers its own join before we register ours)
import threading
import weakref
from collections.abc import Callable
from typing import Any


class StopSignal:
    """The `Stop` of one run: set once, wakes everyone who waits on it."""

    __slots__ = ("_event", "_lock", "_waiters")

    def __init__(self) -> None:
        """Begin unset."""
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._waiters: weakref.WeakSet[_Waiter] = weakref.WeakSet()

    def set(self) -> None:
        """Nothing new starts from now on."""
        with self._lock:
            self._event.set()
            waiters = list(self._waiters)
        for waiter in waiters:
            waiter.wake()

    def is_set(self) -> bool:
        """True once the run must not start anything new."""
        return self._event.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True as soon as the run must stop."""
        return self._event.wait(min(max(timeout, 0.0), _LONGEST))

    def waiter(self) -> _Waiter:
        """A wait of one thread that this stop ends, and another thread too."""
        waiter = _Waiter(self._event)
        with self._lock:
            self._waiters.add(waiter)
        return waiter


class _Waiter:
    """The `Waiter` of one thread."""

    __slots__ = ("__weakref__", "_stopped", "_woken")

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._woken = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        """Wait until woken, stopped, or `timeout` seconds are over; True when the run must stop."""
        if self._stopped.is_set():
            return True
        self._woken.wait(None if timeout is None else min(max(timeout, 0.0), _LONGEST))
        self._woken.clear()
        return self._stopped.is_set()

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self._woken.set()


_LONGEST = 86_400.0
"""Seconds: the platform's waits refuse what they cannot count, and a day is longer than any of ours."""

_at_exit: weakref.WeakSet[Any] = weakref.WeakSet()


def stop_at_exit(thing: Any) -> None:
    """Call `thing.abort()` when the interpreter ends, before it joins its threads. Keeps no reference."""
    _at_exit.add(thing)


def _abort_all() -> None:
    for thing in list(_at_exit):
        thing.abort()


def _register(callback: Callable[[], None]) -> None:
    # Executors join their threads at exit, and a worker may be waiting on a socket for 20 minutes. Plain atexit
    # functions run only after that join; this list (which concurrent.futures itself uses, and which is called from
    # its end: hence the import above) runs before it.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(callback)
    atexit.register(callback)


_register(_abort_all)
