"""A worker elsewhere, as this process sees it: its channel, what it was told, what it has in hand.

Knows nothing of runs; `ShardPool` decides what goes where. Messages are tuples, the first item says what:

    to the worker                                     from the worker
    call    run, recipe, cap, granted                 result  run, pickled result
    cap     run, cap                                  fail    run, pickled error
    ask     run, ask, pickled prompt                  retry   run, event
    jobs    run, ask, [(job, number), …]              want    run, permit, ask
    grant   run, permit, granted                      settle  run, permit, outcome, usage
    park    run, seconds                              cancel  run, permit
    dead    run, ask, pickled error                   park    run, seconds
    stop, cut, forget   run                           problem run, text
    size    loops, place
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rollouts.engine.outbox import Outbox

if TYPE_CHECKING:
    from rollouts.engine.jobs import Job
    from rollouts.typing import Channel


class Seat:
    """One worker. Everything but `tell` is guarded by the pool's lock."""

    def __init__(self, number: int, key: str | None) -> None:
        """Seat `number` of those that hold `key`; nobody sits on it yet."""
        self.number = number
        self.key = key
        self.channel: Channel | None = None
        self.outbox: Outbox | None = None
        self.failures = 0
        """Workers that were lost in a row, none of which had a result."""
        self.leaving = False
        self.clear()

    def clear(self) -> None:
        """Nobody sits here, nothing was told."""
        self.jobs: dict[int, Job] = {}
        """What the worker has in hand, by the number it knows a job by."""
        self.held: dict[int, int] = {}
        """How many of them belong to each run."""
        self.caps: dict[int, int] = {}
        """Runs that the worker knows, with how many of their samples it may ask for at once."""
        self.asks: set[tuple[int, int]] = set()

    def take(self, run: int) -> None:
        """Count one more sample of a run in hand."""
        self.held[run] = self.held.get(run, 0) + 1

    def give(self, run: int) -> None:
        """Count one less."""
        self.held[run] = max(0, self.held.get(run, 0) - 1)

    @property
    def taken(self) -> bool:
        """True while a worker sits here."""
        return self.outbox is not None and not self.leaving

    def begin(
        self,
        hire: Callable[[], Channel],
        *,
        seated: Callable[[Seat], None],
        received: Callable[[Seat, list[Any]], None],
        lost: Callable[[Seat, BaseException | None], None],
    ) -> None:
        """Hire a worker on a thread, which then receives from it; `lost` is told when it is gone (or never came)."""

        def live() -> None:
            try:
                channel = hire()
            except BaseException as error:
                lost(self, error)
                return
            self.channel = channel
            self.outbox = Outbox(channel.send, f"rollouts-to-worker-{self.number}")
            seated(self)
            try:
                while True:
                    received(self, channel.recv())
            except (EOFError, OSError):
                pass
            outbox, self.outbox, self.channel = self.outbox, None, None
            outbox.close(0.0)
            lost(self, None)
            channel.close()

        threading.Thread(target=live, name=f"rollouts-from-worker-{self.number}", daemon=True).start()

    def tell(self, *messages: Any) -> None:
        """Queue messages; nothing happens where nobody sits."""
        outbox = self.outbox
        if outbox is not None:
            outbox.put(*messages)

    def hang_up(self) -> None:
        """Dismiss the worker."""
        channel = self.channel
        if channel is not None:
            channel.close()


def share(total: int, among: int, place: int) -> int:
    """Part `place` of `total` split as evenly as whole numbers allow."""
    return total // among + (place % among < total % among)
