"""A run that grows: wants whose samples, once they are all there, may bring further wants into the same stream.

Knows nothing of what is wanted, nor why more is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rollouts.asking import Asking, count
from rollouts.collecting import Collector
from rollouts.engine import Ask, Job, Result

if TYPE_CHECKING:
    from rollouts.resampling.asking import Then, Want


class Growing:
    """The wants of one run, on its coordinating thread alone."""

    def __init__(self, asking: Asking, collector: Collector, wants: Sequence[Want], then: Then | None) -> None:
        """Look at all wants before the first is sent.

        Raises:
            ConfigError: One of them can never be sent.
        """
        self._asking = asking
        self._collector = collector
        self._then = then
        self._missing: list[int] = []
        """Samples of each want that are not there yet."""
        self._open = 0
        """Wants that are not whole."""
        self._waiting = deque(self._added(wants))
        self._following: deque[tuple[int, Asking, Want]] = deque()
        """What came later goes first: it goes on with what was begun."""

    @property
    def total(self) -> int | None:
        """Samples in all; None where that is not known."""
        return sum(self._missing) if self._then is None else None

    def asks(self) -> Iterator[Ask | None]:
        """The asks; None where there is none until more samples are there."""
        while self._following or self._waiting or (self._open and self._then is not None):
            queue = self._following or self._waiting
            if not queue:
                yield None
                continue
            place, asking, want = queue.popleft()
            yield asking.ask(want.prompt, prompt_index=place, n=want.n_samples)

    def deliver(self, results: Sequence[tuple[Job, Result]]) -> None:
        """Take what is done."""
        self._collector.deliver(results)
        if self._then is None:
            return
        for job, _ in results:
            place = job.ask.prompt_index
            self._missing[place] -= 1
            if self._missing[place] == 0:
                self._open -= 1
                self._go_on(place, self._then)

    def _go_on(self, place: int, then: Then) -> None:
        # A run that is stopping sends no more; a call that is going to raise need not go on with what failed.
        came = self._collector.of(place)
        if not self._collector.run.stop.is_set() and not (came.failures and self._asking.settings.on_error == "raise"):
            self._following += self._added(then(place, came))

    def _added(self, wants: Iterable[Want]) -> list[tuple[int, Asking, Want]]:
        added = []
        for want in wants:
            n, asking = count(want.n_samples), self._asking.under(seed=want.seed, **want.settings)
            asking.check(want.prompt)
            added.append((self._collector.add(want.prompt, n, asking.settings), asking, want))
            self._missing.append(n)
            self._open += 1
        return added
