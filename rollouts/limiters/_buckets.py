"""The arithmetic of limits a minute. Knows no threads: whoever calls holds the lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

_WINDOW = 60.0
"""Seconds in which a limit holds."""

_SPAN = 61.0
"""Seconds by which we count: what leaves us 61 s apart may arrive 60 s apart."""


class StartHistory:
    """How many requests started in each of the last seconds; for a limit that comes into use later."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        """Begin empty."""
        self._seconds: deque[list[int]] = deque(maxlen=int(_SPAN) + 2)

    def add(self, now: float) -> None:
        """Count one start."""
        second = int(now // 1)
        seconds = self._seconds
        if seconds and seconds[-1][0] == second:
            seconds[-1][1] += 1
        else:
            seconds.append([second, 1])

    def recent(self, now: float) -> Iterator[tuple[int, int]]:
        """The seconds that may lie in the window that ends now, oldest first, with their starts."""
        return ((second, count) for second, count in self._seconds if second + 1 > now - _SPAN)


class RequestBucket:
    """A token bucket of `requests` a minute, kept as the time at which it would be full again (GCRA).

    It holds b = R/10 tokens and gains one every 61/(R − b + 1) s, R being `requests` rounded down; so a window of
    60 s sees at most floor(b + 60 (R − b + 1)/61) = R starts. Below one request a minute: one every 61/`requests` s.
    """

    __slots__ = ("_full_at", "_interval", "_most", "_tolerance", "users")

    def __init__(self, requests: float) -> None:
        """Begin full."""
        whole = int(requests)
        burst = max(1, whole // 10)
        self._interval = _SPAN / (whole - burst + 1) if whole >= 1 else _SPAN / requests
        self._tolerance = (burst - 1) * self._interval
        # Debt by starts that did not wait for this bucket ends with the window in which they happened.
        self._most = self._tolerance + max(_SPAN, self._interval)
        self._full_at = float("-inf")
        self.users = 0
        """Requests under this limit that wait or are in flight."""

    def due(self) -> float:
        """When the next start may happen."""
        return self._full_at - self._tolerance

    def charge(self, now: float, starts: int = 1) -> None:
        """Count starts at `now`, whether they waited for this bucket or not."""
        self._full_at = min(max(self._full_at, now) + starts * self._interval, now + self._most)


class TokenWindow:
    """The tokens of the starts of the last minute, one entry each: exact, because requests differ in size."""

    __slots__ = ("_entries", "_limit", "_sum", "users")

    def __init__(self, tokens: float) -> None:
        """Begin empty."""
        self._limit = tokens
        self._entries: deque[list[float]] = deque()
        self._sum = 0.0
        self.users = 0
        """Requests under this limit that wait or are in flight."""

    def due(self, tokens: float, now: float) -> float:
        """When a start of that many tokens fits, if nothing else changes."""
        self._forget(now)
        excess = self._sum + tokens - self._limit
        due = now
        for start, spent in self._entries:
            if excess <= 0:
                break
            due = start + _SPAN
            excess -= spent
        return due

    def charge(self, now: float, tokens: float) -> list[float]:
        """Reserve `tokens` for a start at `now`; returns the entry for `correct`."""
        self._forget(now)
        entry = [now, tokens]
        self._entries.append(entry)
        self._sum += tokens
        return entry

    def correct(self, entry: list[float], tokens: float) -> None:
        """Put what a start cost in place of what was reserved."""
        if self._entries and entry[0] >= self._entries[0][0]:
            self._sum += tokens - entry[1]
        entry[1] = tokens

    def _forget(self, now: float) -> None:
        entries = self._entries
        while entries and entries[0][0] <= now - _SPAN:
            self._sum -= entries.popleft()[1]
        if not entries:
            self._sum = 0.0
