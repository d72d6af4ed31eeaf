"""Sends messages from many threads over one channel, in order; what gathers meanwhile goes as one. Knows no message."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any


class Outbox:
    """Takes items from any thread; a thread of its own sends them as lists."""

    def __init__(self, send: Callable[[list[Any]], None], name: str, *, pause: float = 0.0) -> None:
        """Send with `send`, which may raise OSError once the other side is lost.

        Between two messages are at least `pause` seconds, so that more gathers: each one wakes a thread over there.
        """
        self._send = send
        self._pause = pause
        self._items: deque[Any] = deque()
        self._filled = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def put(self, *items: Any) -> None:
        """Queue items; never waits."""
        self._items.extend(items)
        if not self._filled.is_set():
            self._filled.set()

    def close(self, timeout: float | None = None) -> None:
        """Send what is queued and end."""
        self._closed = True
        self._filled.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _loop(self) -> None:
        items = self._items
        while True:
            self._filled.wait()
            self._filled.clear()
            ending = self._closed
            batch = []
            while items:
                batch.append(items.popleft())
            try:
                if batch:
                    self._send(batch)
            except (OSError, EOFError, ValueError):
                return  # whoever reads from this channel notices the loss
            if ending:
                return
            if self._pause:
                time.sleep(self._pause)
