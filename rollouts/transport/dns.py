"""Finds a host's addresses within a deadline. Knows no HTTP.

`getaddrinfo` cannot be interrupted and may take half a minute, so it runs on a daemon thread of its own; workers that
ask for the same name at the same time share one.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from rollouts.transport.watchdog import Attempt, run_on
from rollouts.typing import Clock

_KEEP = 5.0
"""Seconds for which an answer serves the other workers that are about to connect."""
Addresses = list[tuple[Any, ...]]


class _Lookup:
    __slots__ = ("addresses", "done", "error", "finished", "thread")

    def __init__(self, host: str, port: int, cpus: set[int] | None) -> None:
        self.done = threading.Event()
        self.addresses: Addresses = []
        self.error: OSError | None = None
        self.finished = 0.0
        self.thread = threading.Thread(target=self._run, args=(host, port, cpus), name="rollouts-dns", daemon=True)

    def _run(self, host: str, port: int, cpus: set[int] | None) -> None:
        run_on(cpus)
        try:
            self.addresses = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            self.error = error if isinstance(error, OSError) else socket.gaierror(str(error))
        self.finished = time.monotonic()
        self.done.set()


class Resolver:
    """Looks names up for one transport."""

    def __init__(self, clock: Clock, cpus: set[int] | None) -> None:
        self._clock = clock
        self._cpus = cpus
        self._lock = threading.Lock()
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    def addresses(self, host: str, port: int, attempt: Attempt) -> Addresses:
        """The addresses of `host`, in the order to try.

        Raises:
            OSError: There is no such host, or the attempt was ended or late.
        """
        try:
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        except (socket.gaierror, UnicodeError):
            pass  # a name
        lookup = self._lookup(host, port)
        if not attempt.wait(lookup.done, attempt.deadline - self._clock()):
            attempt.ended = attempt.ended or "deadline"
            raise ConnectionAbortedError
        if lookup.error is not None:
            raise socket.gaierror(*lookup.error.args)
        return lookup.addresses

    def _lookup(self, host: str, port: int) -> _Lookup:
        with self._lock:
            known = self._lookups.get((host, port))
            if known is not None and (not known.done.is_set() or self._fresh(known)):
                return known
            lookup = self._lookups[host, port] = _Lookup(host, port, self._cpus)
            lookup.thread.start()
            return lookup

    @staticmethod
    def _fresh(lookup: _Lookup) -> bool:
        return lookup.error is None and time.monotonic() - lookup.finished < _KEEP
