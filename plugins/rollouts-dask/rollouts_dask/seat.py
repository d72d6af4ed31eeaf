"""The worker's end: a Dask actor that runs what it is told to on a thread of its own, and passes messages.

Lives on the Dask worker; takes none of its task threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import pkgutil
import queue
import threading
from collections import deque
from typing import Any

PATIENCE = 30.0
"""Seconds after which a pull without messages comes back empty, so that a lost connection is noticed."""

_GATHER = 0.01
"""Seconds in which more may gather before a pull is answered: each answer costs the coordinator a millisecond."""


def version() -> str:
    """The version of rollouts here."""
    import rollouts

    return rollouts.__version__


class Seat:
    """Where one worker of ours sits on a Dask worker."""

    def __init__(self, entry: str) -> None:
        """Call `entry` with this worker's end of the channel."""
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox: deque[bytes] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled: asyncio.Event | None = None
        self._left = False
        self._thread = threading.Thread(target=self._serve, args=(entry,), name="rollouts-dask", daemon=True)
        self._thread.start()

    # ── Called by the coordinator; on the Dask worker's event loop, so that nothing else has to wait ──

    async def version(self) -> str:
        """The version of rollouts here."""
        return version()

    async def push(self, message: bytes) -> None:
        """Take a message."""
        self._inbox.put(message)

    async def pull(self) -> list[bytes] | None:
        """Give what there is to tell, as soon as there is something; None after the end."""
        if self._filled is None:
            self._filled = asyncio.Event()
            self._loop = asyncio.get_running_loop()
        if not self._outbox and not self._left:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._filled.wait(), PATIENCE)
                await asyncio.sleep(_GATHER)
        self._filled.clear()
        told = []
        while self._outbox:
            told.append(self._outbox.popleft())
        return None if self._left and not told else told

    async def leave(self) -> None:
        """Hang up."""
        self._inbox.put(None)

    # ── The channel, as the worker sees it ──

    def send(self, message: Any) -> None:
        """Tell the coordinator something."""
        self._outbox.append(pickle.dumps(message, 5))
        self._wake()

    def recv(self) -> Any:
        """Wait for the next message; EOFError after the last."""
        packed = self._inbox.get()
        if packed is None:
            raise EOFError("the coordinator hung up")
        return pickle.loads(packed)

    def close(self) -> None:
        """End the channel."""
        self._inbox.put(None)

    def _serve(self, entry: str) -> None:
        try:
            pkgutil.resolve_name(entry)(self)
        finally:
            self._left = True
            self._wake()

    def _wake(self) -> None:
        loop, filled = self._loop, self._filled
        if loop is not None and filled is not None:
            with contextlib.suppress(RuntimeError):  # the Dask worker is ending
                loop.call_soon_threadsafe(filled.set)
