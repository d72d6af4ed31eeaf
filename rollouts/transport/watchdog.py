"""Ends attempts whose time is over, or all at once, by shutting their sockets down. Knows sockets, no HTTP.

A socket's own timeout starts again with every byte, so a server that drips is never caught by it; a check between reads
does not see slow headers, connects or handshakes. One thread that calls `shutdown` ends them all.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Literal

from rollouts.typing import Clock

Ended = Literal["deadline", "cut"]
_TICK = 2.0
"""Seconds after which an idle watchdog ends its thread."""


class Attempt:
    """One request under way.

    Attributes:
        deadline: When it must be over, on the watchdog's clock.
        owner: Whose request it is, for a cut of theirs alone.
        ended: Why it was ended from outside; None while it was not.
    """

    __slots__ = ("_waker", "deadline", "ended", "owner", "sock")

    def __init__(self, deadline: float, owner: object = None) -> None:
        self.deadline = deadline
        self.owner = owner
        self.ended: Ended | None = None
        self.sock: Any = None
        self._waker: Callable[[], None] | None = None

    def use(self, sock: Any) -> None:
        """Make `sock` the one to shut down. To be called before the socket can block.

        Raises:
            ConnectionAbortedError: The attempt has been ended already.
        """
        self.sock = sock
        # `end` sets its mark first and looks for the socket second, we the other way round: one of us sees the other.
        if self.ended:
            raise ConnectionAbortedError

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait for an event that is no socket's; True when it came, False when the attempt was ended or late."""
        self._waker = event.set
        if not self.ended:
            event.wait(max(0.0, timeout))
        self._waker = None
        return event.is_set() and not self.ended

    def end(self, reason: Ended) -> None:
        """Make whatever blocks in this attempt return at once; callable from any thread."""
        if self.ended is None:
            self.ended = reason
        if (waker := self._waker) is not None:
            waker()
        if (sock := self.sock) is not None:
            shut_down(sock)


def shut_down(sock: Any) -> None:
    """Shut a socket down underneath any TLS, so that a thread blocked in it returns."""
    while not isinstance(sock, socket.socket) and hasattr(sock, "socket"):
        sock = sock.socket
    with contextlib.suppress(OSError, TypeError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def allowed_cpus() -> set[int] | None:
    """The CPUs that this thread may use; None where the platform does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def run_on(cpus: set[int] | None) -> None:
    """Let this thread use `cpus`: a thread inherits the pin of the one that starts it."""
    if cpus is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)


class Watchdog:
    """Holds the attempts under way; its thread starts with the first and ends when there is none.

    A set of at most C attempts, looked through when the nearest deadline comes, rather than a heap: answered attempts
    leave at once (in a heap they stay until their deadline, a million of them in a long run), and no lock is taken for
    an attempt that is not the next to end.
    """

    def __init__(self, clock: Clock, cpus: set[int] | None) -> None:
        self._clock = clock
        self._cpus = cpus
        self._attempts: set[Attempt] = set()
        self._changed = threading.Condition(threading.Lock())
        self._poked = False
        self._stopping = False
        self._wake_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, attempt: Attempt) -> None:
        """Watch an attempt until `remove`."""
        self._attempts.add(attempt)
        if self._thread is None or attempt.deadline < self._wake_at:
            with self._changed:
                if self._thread is None:
                    self._wake_at = math.inf
                    self._thread = threading.Thread(target=self._run, name="rollouts-watchdog", daemon=True)
                    self._thread.start()
                self._poked = True
                self._changed.notify()

    def remove(self, attempt: Attempt) -> None:
        """Forget an attempt. Its socket may be used again only if `attempt.ended` is None after this."""
        attempt.sock = None
        self._attempts.discard(attempt)

    def cut(self, owner: object = None) -> None:
        """End the attempts of `owner` under way, or all."""
        for attempt in list(self._attempts):
            if owner is None or attempt.owner is owner:
                attempt.end("cut")

    def stop(self) -> None:
        """End all attempts and the thread, and wait for it."""
        self.cut()
        with self._changed:
            thread = self._thread
            self._stopping = thread is not None
            self._poked = True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_TICK)

    def _run(self) -> None:
        run_on(self._cpus)
        while True:
            # Whoever comes while we look must poke us.
            self._wake_at = math.inf
            now = self._clock()
            nearest = now + _TICK
            for attempt in list(self._attempts):
                if attempt.deadline <= now:
                    attempt.end("deadline")
                elif attempt.deadline < nearest:
                    nearest = attempt.deadline
            with self._changed:
                if not self._poked:
                    self._wake_at = nearest
                    self._changed.wait(max(0.0, nearest - now))
                self._poked = False
                if self._stopping:
                    self._stopping, self._thread = False, None
                    return
                if not self._attempts:
                    self._thread = None
                    # `add` puts its attempt in before it looks for the thread: look again after giving it up.
                    if not self._attempts:
                        return
                    self._thread = threading.current_thread()
