"""The coordinator's end of a channel to a `Seat`: pushes and pulls pickled messages. Knows no message."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_LEAVE = 5.0
"""Seconds that a worker gets to hear of its dismissal."""


class ActorChannel:
    """A `rollouts.typing.Channel` over a Dask actor, which stays on the worker where it began."""

    def __init__(self, seat: Any, left: Callable[[], None]) -> None:
        """Talk to `seat`; call `left` once it is over."""
        self._seat = seat
        self._left = left
        self._arrived: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._over = False

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            OSError: The worker is lost.
        """
        packed = pickle.dumps(message, 5)
        try:
            self._seat.push(packed).result()
        except Exception as error:
            raise OSError(f"the Dask worker is lost: {error}") from error

    def recv(self) -> Any:
        """Wait for the next message.

        Raises:
            EOFError: The worker is lost, or the channel was closed.
        """
        while not self._arrived:
            try:
                arrived = self._seat.pull().result()
            except Exception as error:
                self._end()
                raise EOFError(f"the Dask worker is lost: {error}") from None
            if arrived is None:
                self._end()
                raise EOFError("the worker left")
            self._arrived.extend(arrived)
        return pickle.loads(self._arrived.popleft())

    def close(self) -> None:
        """Send the worker away; a `recv` under way ends when it is gone."""
        with self._lock:
            over, self._over = self._over, True
        if not over:
            with contextlib.suppress(Exception):
                self._seat.leave().result(timeout=_LEAVE)

    def _end(self) -> None:
        self._over = True
        self._left()
