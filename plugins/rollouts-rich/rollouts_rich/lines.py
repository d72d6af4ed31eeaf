"""Progress where no terminal is: now and then a line of the log. Knows nothing of rich.

The lines go to the logger `rollouts.progress` at the level INFO, which `verbose=True` shows.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rollouts_rich.tally import Tally, duration

if TYPE_CHECKING:
    from rollouts.events import SampleEvent
    from rollouts.typing import Clock, ProgressOptions

EVERY = 10.0
"""Seconds between two lines."""

_log = logging.getLogger("rollouts.progress")


class Lines:
    """A `Progress` of log lines: one every ten seconds, and one at the end of a run that had any."""

    def __init__(self, options: ProgressOptions, clock: Clock = time.monotonic) -> None:
        """Report as `options` describe; `clock` gives seconds."""
        self._clock = clock
        self._tally = Tally(options.description, clock)
        self._told: float | None = None

    def start(self, total: int | None, cached: int) -> None:
        """Begin to count."""
        self._tally.begin(total, cached)

    def advance(self, event: SampleEvent) -> None:
        """Count a sample; log when it is time."""
        self._tally.count(event)
        if self._clock() - (self._told or self._tally.began) >= EVERY:
            self._tell()

    def close(self) -> None:
        """Log the end, where anything was logged before it."""
        if self._told is not None:
            self._tell()

    def _tell(self) -> None:
        self._told = now = self._clock()
        tally = self._tally
        left = tally.time_left()
        words = [f"after {duration(now - tally.began)}", *([f"{duration(left)} left"] if left else []), *tally.words()]
        _log.info("%s: %s samples, %s", tally.name, tally.counts(), ", ".join(words))
