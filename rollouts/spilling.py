"""Bodies of answers in a file instead of in memory, for results that are kept by the ten thousands.

A body is as large as all the rest of an answer, and seldom looked at. The file has no name: it goes with the last
answer that points into it, and nobody else can open it. Knows no answers, only bytes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any

FIRST = 1000
"""Bodies of one call that stay in memory."""


class _File:
    """A nameless file that is only ever added to, by the process that made it; its children may read it.

    Read and written at given places: a process and its children share one position in the file, and with `seek` they
    would move it under each other.
    """

    __slots__ = ("_end", "_file", "_lock", "pid")

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0
        self._lock = threading.Lock()
        self.pid = os.getpid()

    def __del__(self) -> None:
        self._file.close()

    def add(self, body: bytes) -> int:
        """Write a body after the others; where it begins.

        Raises:
            OSError: There is no room.
        """
        with self._lock:
            place, left = self._end, memoryview(body)
            while left:  # a disk that is nearly full takes a part
                written = os.pwrite(self._file.fileno(), left, self._end)
                self._end += written
                left = left[written:]
            return place

    def read(self, place: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, place)


class SpilledBody:
    """A body in the file: called, it gives the bytes. Pickled, it is the bytes again."""

    __slots__ = ("_file", "_length", "_place")

    def __init__(self, file: _File, place: int, length: int) -> None:
        """The `length` bytes at `place`."""
        self._file = file
        self._place = place
        self._length = length

    def __call__(self) -> bytes:
        """Read it."""
        return self._file.read(self._place, self._length)

    def __reduce__(self) -> tuple[Callable[[bytes], bytes], tuple[bytes]]:
        return (bytes, (self(),))


class Spill:
    """Takes the bodies of one call: the first thousand as they are, the others into a file."""

    __slots__ = ("_file", "_seen", "_works")

    def __init__(self) -> None:
        """Open nothing yet."""
        self._seen = 0
        self._file: _File | None = None
        self._works = True

    def take(self, source: Any) -> Any:
        """What to keep in place of a body; anything but bytes stays as it is."""
        if not isinstance(source, bytes):
            return source
        self._seen += 1
        if self._seen <= FIRST or not self._works or os.name != "posix":
            return source
        try:
            if self._file is None or self._file.pid != os.getpid():  # a forked child adds to its own
                self._file = _File(tempfile.TemporaryFile(prefix="rollouts-"))  # noqa: SIM115  (outlives this)
            return SpilledBody(self._file, self._file.add(source), len(source))
        except OSError:  # no room: memory it is
            self._works = False
            return source
