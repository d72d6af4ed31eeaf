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
    """A nameless file that is only ever added to."""

    __slots__ = ("_end", "_file", "_lock")

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="rollouts-")  # noqa: SIM115  (outlives this)
        self._end = 0
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self._file.close()

    def add(self, body: bytes) -> int:
        with self._lock:
            place = self._end
            self._file.seek(place)
            self._file.write(body)
            self._file.flush()
            self._end += len(body)
            return place

    def read(self, place: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(place)
            return self._file.read(length)


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
            if self._file is None:
                self._file = _File()
            return SpilledBody(self._file, self._file.add(source), len(source))
        except OSError:  # no room: memory it is
            self._works = False
            return source
