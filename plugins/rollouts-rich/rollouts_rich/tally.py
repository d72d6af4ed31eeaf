"""What one run has done so far, and how fast. Shows nothing and knows no terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollouts.events import SampleEvent
    from rollouts.typing import Clock

WINDOW = 30.0
"""Seconds over which speed is measured: long enough for slow models, short enough to show a limit that bites."""

_STEP = 0.5  # seconds between two points of the window
_QUIET = 10.0  # seconds without a sample that are worth telling


class Tally:
    """Counts of one run. Written by the run's own thread; others may read at any time."""

    def __init__(self, name: str, clock: Clock = time.monotonic) -> None:
        """Begin at nought; `clock` gives seconds."""
        self.name = name
        self._clock = clock
        self.begin(None, 0)

    def begin(self, total: int | None, cached: int) -> None:
        """The run begins: `total` samples (None: not known), of which the cache had `cached`."""
        self.total = total
        self.cached = cached
        self.fresh = self.failed = self.tokens = self.in_flight = 0
        self.cost: float | None = None
        self.waited = 0.0
        self.began = self.last = self._clock()
        self._points: deque[tuple[float, int, int]] = deque([(self.began, 0, 0)])

    @property
    def done(self) -> int:
        """Samples that need no more work."""
        return self.cached + self.fresh + self.failed

    def count(self, event: SampleEvent) -> None:
        """Add one sample."""
        self.last = now = self._clock()
        self.in_flight = event.in_flight
        if event.cached:
            self.cached += 1
            return
        self.waited += event.waited
        if event.failed:
            self.failed += 1
        else:
            self.fresh += 1
            usage = getattr(event.result, "usage", None)
            if usage is not None:
                self.tokens += usage.completion_tokens or 0
                if usage.cost is not None:
                    self.cost = (self.cost or 0.0) + usage.cost
        points = self._points
        if now - points[-1][0] >= _STEP:
            points.append((now, self.fresh + self.failed, self.tokens))
            while now - points[0][0] > WINDOW:
                points.popleft()

    def rates(self) -> tuple[float, float]:
        """Samples and generated tokens a second, over the last half minute; what the cache gave does not count."""
        began, samples, tokens = self._points[0]
        elapsed = max(self._clock() - began, _STEP)
        return (self.fresh + self.failed - samples) / elapsed, (self.tokens - tokens) / elapsed

    def time_left(self) -> float | None:
        """Seconds until the end at the present speed; None where nobody knows."""
        if self.total is None:
            return None
        left = self.total - self.done
        if left <= 0:
            return 0.0
        rate = self.rates()[0]
        return left / rate if rate > 0 else None

    def counts(self) -> str:
        """`12/100`."""
        return f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"

    def words(self) -> Iterator[str]:
        """What there is to tell beside the counts, most telling first; nothing that is nought or unknown."""
        if self.failed:
            yield f"{self.failed:,} failed"
        if self.cost is not None:
            yield f"${self.cost:,.4f}" if self.cost < 1 else f"${self.cost:,.2f}"
        samples, tokens = self.rates()
        if tokens:
            yield f"{tokens:,.0f} tokens/s"
        elif samples:
            yield f"{samples:,.1f} samples/s"
        if self.cached:
            yield f"{self.cached:,} cached"
        if self.in_flight:
            last = self.total is not None and self.total - self.done <= self.in_flight
            yield f"the last {self.in_flight} in flight" if last else f"{self.in_flight:,} in flight"
        answered = self.fresh + self.failed
        if answered and self.waited / answered >= 0.1:
            yield f"waits {duration(self.waited / answered)} a sample"
        quiet = self._clock() - self.last
        if quiet >= _QUIET and (self.total is None or self.done < self.total):
            yield f"nothing for {duration(quiet)}"


def duration(seconds: float) -> str:
    """`0.4 s`, `34 s`, `5:07`, `2:05:07`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
