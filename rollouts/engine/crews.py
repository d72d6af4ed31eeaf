"""The workers of an executor elsewhere: hired when wanted, replaced when lost, dismissed. Knows no run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rollouts.engine.recipes import KEY
from rollouts.engine.seats import Seat, share

if TYPE_CHECKING:
    from rollouts.engine.jobs import Job
    from rollouts.typing import ShardExecutor

logger = logging.getLogger("rollouts")

ENTRY = "rollouts.shard_worker:serve"
"""What a worker runs."""

LOSSES = 3
"""Workers that a sample may be lost with, and that may be lost in a row without any result."""


class Crews:
    """One crew of workers for each key, because a worker has its key from the environment it was started in."""

    def __init__(
        self,
        executor: ShardExecutor,
        size: int,
        lock: threading.RLock,
        *,
        received: Callable[[Seat, list[Any]], None],
        orphaned: Callable[[Seat, list[Job]], None],
        struck: Callable[[str | None, str], None],
        changed: Callable[[], None],
    ) -> None:
        """Hire nobody yet.

        Args:
            executor: Where workers come from.
            size: Samples that each crew may ask for at once.
            lock: The pool's; it guards crews and seats.
            received: Gets a worker's messages.
            orphaned: Gets what a lost worker had in hand, without the lock.
            struck: Told, with the lock, that a crew has fewer seats, or none, and why.
            changed: Told, with the lock, that there is another worker, or one less.
        """
        self._executor = executor
        self._size = size
        self._lock = lock
        self._received = received
        self._orphaned = orphaned
        self._struck = struck
        self._changed = changed
        self._crews: dict[str | None, list[Seat]] = {}

    def __len__(self) -> int:
        return len(self._crews)

    def all(self) -> list[Seat]:
        """Every seat."""
        return [seat for crew in self._crews.values() for seat in crew]

    def of(self, key: str | None) -> list[Seat]:
        """The seats of those who hold `key`."""
        return self._crews.get(key, [])

    def staff(self, key: str | None) -> None:
        """Hire a crew unless there is one."""
        if not self._crews.get(key):
            count = max(1, min(self._executor.workers, self._size))
            self._crews[key] = [Seat(number, key) for number in range(count)]
            for seat in self._crews[key]:
                self._fill(seat)

    def dismiss(self) -> None:
        """Send every worker away."""
        with self._lock:
            seats = self.all()
            self._crews.clear()
            for seat in seats:
                seat.leaving = True
        for seat in seats:
            seat.hang_up()

    def _fill(self, seat: Seat) -> None:
        environment = {} if seat.key is None else {KEY: seat.key}
        seat.begin(
            lambda: self._executor.hire(ENTRY, environment),
            seated=self._seated,
            received=self._received,
            lost=self._lost,
        )

    def _seated(self, seat: Seat) -> None:
        with self._lock:
            crew = self.of(seat.key)
            seat.leaving = seat not in crew
            if not seat.leaving:
                seat.tell(("size", share(self._size, len(crew), seat.number), seat.number))
                self._changed()
        if seat.leaving:  # nobody wants it any more
            seat.hang_up()

    def _lost(self, seat: Seat, error: BaseException | None) -> None:
        with self._lock:
            orphans = list(seat.jobs.values())
            seat.clear()
            if not seat.leaving:
                seat.failures += 1
                logger.warning(
                    "worker %d is lost%s; %d samples that it had in hand are asked for elsewhere",
                    seat.number, f" ({type(error).__name__}: {error})" if error else "", len(orphans),
                )  # fmt: skip
        self._orphaned(seat, orphans)
        with self._lock:
            if seat in self.of(seat.key) and not seat.leaving:
                if seat.failures < LOSSES:
                    self._fill(seat)
                else:
                    self._strike(
                        seat, f"{type(error).__name__}: {error}" if error else "each ended soon after it began"
                    )
            self._changed()

    def _strike(self, seat: Seat, why: str) -> None:
        """Do without a seat whose workers are lost again and again; its part goes to the others."""
        crew = self.of(seat.key)
        crew.remove(seat)
        for number, other in enumerate(crew):
            other.number = number
            other.tell(("size", share(self._size, len(crew), number), number))
        self._struck(seat.key, why)
