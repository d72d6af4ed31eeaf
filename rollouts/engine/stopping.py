"""How a run is told to stop, and what happens when the interpreter ends. Knows no sockets."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from typing import Any


class StopSignal:
    """The `Stop` of one run: set once, wakes everyone who waits on it."""

    __slots__ = ("_event", "_waiters")

    def __init__(self) -> None:
        """Begin unset."""
        self._event = threading.Event()
        self._waiters: set[_Waiter] = set()

    def set(self) -> None:
        """Nothing new starts from now on."""
        self._event.set()
        # A waiter enters the set before it looks at the event, so that none is missed between the two.
        for waiter in self._waiters.copy():
            waiter.wake()

    def waiter(self) -> _Waiter:
        """A wait that another thread can end too."""
        return _Waiter(self._event, self._waiters)

    def is_set(self) -> bool:
        """True once the run must not start anything new."""
        return self._event.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True as soon as the run must stop."""
        # Event.wait refuses what the platform cannot count; a day is longer than any of our waits.
        return self._event.wait(min(max(timeout, 0.0), 86_400.0))


class _Waiter:
    """A `Waiter` on a `StopSignal`: in the signal's set only while it waits."""

    __slots__ = ("_all", "_stop", "_woken")

    def __init__(self, stop: threading.Event, waiters: set[_Waiter]) -> None:
        self._stop = stop
        self._all = waiters
        self._woken = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        """Wait until woken, stopped, or `timeout` seconds are over (None: no end); True when the run must stop."""
        self._all.add(self)
        try:
            if not self._stop.is_set():
                self._woken.wait(None if timeout is None else min(max(timeout, 0.0), 86_400.0))
                self._woken.clear()
        finally:
            self._all.discard(self)
        return self._stop.is_set()

    def wake(self) -> None:
        """End the present wait, or the next one if none is under way."""
        self._woken.set()


_at_exit: weakref.WeakSet[Any] = weakref.WeakSet()


def stop_at_exit(thing: Any) -> None:
    """Call `thing.abort()` when the interpreter ends, before it joins its threads. Keeps no reference."""
    _at_exit.add(thing)


def _abort_all() -> None:
    for thing in list(_at_exit):
        thing.abort()


def _register(callback: Callable[[], None]) -> None:
    # Executors join their threads at exit, and a worker may be waiting on a socket for 20 minutes. Plain atexit
    # functions run only after that join; this list (which concurrent.futures itself uses) runs before it.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(callback)
    atexit.register(callback)


_register(_abort_all)
