"""The samples of a run's prompts, read no further ahead than they are wanted. Knows nothing of what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rollouts.engine.jobs import Ask, Job

if TYPE_CHECKING:
    from rollouts.engine.run import Run

PATIENCE = 0.05
"""Seconds for which prompts are read before what was read is sent."""


class Source:
    """Reads prompts, and makes a job of each of their samples."""

    def __init__(self, asks: Iterable[Ask | None], run: Run) -> None:
        """Read nothing yet."""
        self._asks = iter(asks)
        self._run = run
        self._ask: Ask | None = None
        self._done = 0
        self.taken: list[Job] = []
        """What was read and is not handed out yet: after an interrupt it must be given back."""
        self.exhausted = False
        self.error: Exception | None = None
        """What the prompts' own iterator raised; to be raised when what was read before is delivered."""

    def read(self, room: int) -> bool:
        """Take up to `room` samples; False where that took so long that those taken should go out."""
        self.taken = []
        until = time.monotonic() + PATIENCE
        while True:
            if self._ask is None and not self._next():
                return True
            self._take(room - len(self.taken))
            if len(self.taken) >= room:
                return True
            if time.monotonic() > until:
                return False

    def _next(self) -> bool:
        """Turn to the next prompt; False where there is none, for now (None was read) or at all."""
        self._done = 0
        try:
            self._ask = next(self._asks)
        except StopIteration:
            self.exhausted = True
        except Exception as error:
            self.error, self.exhausted = error, True
        return self._ask is not None

    def _take(self, room: int) -> None:
        """Take what there is room for of the prompt at hand."""
        ask, run = self._ask, self._run
        if ask is None:
            return
        first = ask.first_number + self._done
        self._done = min(self._done + room, ask.n)
        self.taken += [Job(ask, number, run) for number in range(first, ask.first_number + self._done)]
        if self._done >= ask.n:
            self._ask = None
