"""Which requests share a service's limits: one base URL with one key. Knows no limiter and sends nothing.

State of a scope is kept for the life of the process: it is small, and a limit of requests per minute must remember
what an earlier client sent.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

from rollouts.typing import Clock, Stop

__all__ = ["Park", "park_of", "scope_for"]

T = TypeVar("T")

# New in each process and never written: without it a short key could be guessed from its hash.
_SALT = os.urandom(32)
_registry: dict[tuple[str, bytes], ProcessScope] = {}
_registry_lock = threading.Lock()

_DEFAULT_PORTS = {"http": 80, "https": 443}


class ProcessScope:
    """The `Scope` of this process for one base URL and key. Made by `scope_for` only; cannot be pickled."""

    __slots__ = ("_lock", "_shared", "label")

    def __init__(self, label: str) -> None:
        """Begin without state; `label` is the base URL without user and query."""
        self.label = label
        self._shared: dict[str, Any] = {}
        self._lock = threading.Lock()

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """The process-wide object of this scope called `name`; made once, by whoever asks first."""
        with self._lock:
            if name not in self._shared:
                self._shared[name] = make()
            return cast("T", self._shared[name])

    def __repr__(self) -> str:
        return f"<scope {self.label}>"

    def __reduce__(self) -> NoReturn:
        """Refuse: limits of one process mean nothing in another."""
        raise TypeError(f"the limits of {self.label} belong to this process and cannot be pickled")


def scope_for(base_url: str, key: str | None) -> ProcessScope:
    """The scope of `base_url` and `key`: the same object for the same two, as long as the process lives.

    The key is kept only as a hash under a salt that never leaves the process. Two spellings of one URL (case of the
    host, default port, trailing slash) are one scope.
    """
    label = _normal(base_url)
    digest = hashlib.blake2b((key or "").encode("utf-8", "surrogatepass"), key=_SALT).digest()
    with _registry_lock:
        scope = _registry.get((label, digest))
        if scope is None:
            scope = _registry[label, digest] = ProcessScope(label)
        return scope


def _normal(base_url: str) -> str:
    parts = urlsplit(base_url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        host = f"{host}:{port}"
    path = parts.path.rstrip("/")
    return f"{scheme}://{host}{path}" if scheme or host else path


class Park:
    """A limit that the service announced: until it is over, no request of the scope starts.

    A service that names no time is asked again after 1 s, then 2 s, 4 s and so on up to `LONGEST` seconds, each with
    up to a quarter more at random, so that several processes do not come back together. Only a 429 to a request that
    started after the last park lengthens this: a burst of 64 is one sign, not 64.
    """

    FIRST = 1.0
    LONGEST = 120.0

    __slots__ = ("_begun", "_lock", "_streak", "until")

    def __init__(self) -> None:
        """Begin open."""
        self.until = float("-inf")
        """Seconds of the clock at which requests may start again."""
        self._begun = float("-inf")
        self._streak = 0
        self._lock = threading.Lock()

    def announce(self, retry_after: float | None, *, started: float, now: float) -> float:
        """Note that the service answered with a limit to a request of the time `started`; returns `until`.

        Args:
            retry_after: Seconds that the service asks for (120 at most are obeyed); None where it named no time.
            started: When the refused request started, by the same clock as `now`.
            now: The time.
        """
        with self._lock:
            if retry_after is not None:
                self.until = max(self.until, now + min(max(retry_after, 0.0), self.LONGEST))
                self._begun = max(self._begun, now)
            elif started > self._begun and now >= self.until:
                wait = min(self.FIRST * 2**self._streak, self.LONGEST)
                self._streak = min(self._streak + 1, 10)
                self._begun = now
                self.until = now + wait * random.uniform(1.0, 1.25)
            return self.until

    def relieve(self, *, started: float) -> None:
        """Note that a request of the time `started` was answered: the back-off begins anew."""
        if self._streak and started > self._begun:
            with self._lock:
                self._streak = 0

    def wait(self, stop: Stop, clock: Clock) -> bool:
        """Wait until requests may start; False when stopped before that."""
        while (left := self.until - clock()) > 0:
            if stop.wait(left):
                return False
        return True


def park_of(scope: ProcessScope) -> Park:
    """The park of `scope`, shared by all its clients."""
    return scope.shared("rollouts.park", Park)


def _forget() -> None:
    """Begin anew in a forked child: what the parent has in flight never ends there, nor do threads that hold locks."""
    global _registry_lock
    _registry_lock = threading.Lock()
    _registry.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
