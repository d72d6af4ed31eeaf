"""How a worker process and this one find each other: the worker calls back, both prove that they know a token.

Knows nothing of what is said over the line.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import secrets
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from rollouts.exceptions import RolloutsError

HERE = "127.0.0.1"

_LOOK = 0.1
"""Seconds between two looks at whether the worker that is awaited still lives."""

_HANDSHAKE = 10.0
"""Seconds that a caller gets to prove itself."""


class Line:
    """A `Channel` over a socket."""

    def __init__(self, connected: socket.socket) -> None:
        """Take over `connected`."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(None)
        self._socket = connected.dup()  # a second handle: only a shut socket wakes a thread that reads from it
        self.connection = Connection(connected.detach())

    def send(self, message: Any) -> None:
        """Send a message."""
        self.connection.send(message)

    def recv(self) -> Any:
        """Wait for the next message; EOFError where there is none to come."""
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError(str(error)) from None

    def close(self) -> None:
        """End it for both sides."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Exchange:
    """Waits for the call of one worker."""

    def __init__(self, host: str = HERE) -> None:
        """Listen at an address of this machine."""
        self.token = secrets.token_hex(32)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    def close(self) -> None:
        """Wait for nobody."""
        self._listener.close()

    def answer(self, alive: Callable[[], bool], timeout: float | None = None) -> Line:
        """Wait for the worker's call.

        Args:
            alive: False when it will never come.
            timeout: Seconds; None waits as long as the worker lives.

        Raises:
            RolloutsError: It did not come.
        """
        self._listener.settimeout(_LOOK)
        until = None if timeout is None else time.monotonic() + timeout
        with self._listener:
            while True:
                ends = not alive()
                try:
                    caller, _ = self._listener.accept()
                except TimeoutError:
                    if ends or (until is not None and time.monotonic() > until):
                        raise RolloutsError("a worker process ended, or was never begun, before it called") from None
                    continue
                line = _proved(caller, bytes.fromhex(self.token), asks_first=True)
                if line is not None:
                    return line


def call(address: tuple[str, int], token: str) -> Line | None:
    """Call the process that wants this worker; None where nobody waits any more."""
    try:
        connected = socket.create_connection(address, timeout=_HANDSHAKE)
    except OSError:
        return None
    return _proved(connected, bytes.fromhex(token), asks_first=False)


def _proved(connected: socket.socket, key: bytes, *, asks_first: bool) -> Line | None:
    line = Line(connected)
    # The handshake of multiprocessing has no time limit of its own.
    late = threading.Timer(_HANDSHAKE, line.close)
    late.daemon = True
    late.start()
    steps = (deliver_challenge, answer_challenge)
    try:
        for step in steps if asks_first else reversed(steps):
            step(line.connection, key)
    except (AuthenticationError, OSError, EOFError):
        line.close()
        return None
    finally:
        late.cancel()
    return line


def work_for(address: tuple[str, int], token: str, entry: str) -> None:
    """What a worker does: call back, and serve until it is dismissed."""
    line = call(address, token)
    if line is not None:
        try:
            pkgutil.resolve_name(entry)(line)
        finally:
            line.close()


def cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
