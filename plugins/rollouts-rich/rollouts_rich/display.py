"""Draws the runs of this process in one place of the terminal. Knows nothing of what is counted.

All bars of a process share one display: two that drew for themselves would draw over each other. It begins with the
first run and goes with the last. Runs only count; a thread of rich draws a few times a second, so that waits are seen
too. Everything goes to standard error; standard output is the program's.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rollouts_rich.tally import Tally, duration

if TYPE_CHECKING:
    from rollouts.events import SampleEvent
    from rollouts.typing import ProgressOptions

PER_SECOND = 5
"""Drawings a second."""

MOST_RUNS = 8
"""Runs that are drawn; of further ones only the number is told."""

_log = logging.getLogger("rollouts.progress")


class _Guarded:
    """A stream whose failure silences it: nothing that goes wrong with a terminal may cost a sample."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._broken = stream is None

    def write(self, text: str) -> int:
        if not self._broken:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self._broken = True
                _log.debug("the progress display is off: %s: %s", type(error).__name__, error)
        return len(text)

    def flush(self) -> None:
        if not self._broken:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._broken = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Display:
    """Every run of this process that shows a bar. Safe for threads: each run has its own, and rich one more."""

    def __init__(self) -> None:
        """Begin with no run and nothing drawn."""
        self._lock = threading.Lock()
        self._runs: list[Tally] = []
        self._live: Live | None = None

    def join(self, run: Tally) -> None:
        """Draw `run` from now on."""
        with self._lock:
            self._runs.append(run)
            try:
                if self._live is None:
                    live = self._new()
                    live.start()
                    self._live = live
                self._live.refresh()
            except BaseException:
                self._runs.remove(run)  # nobody closes a reporter that failed to start
                raise

    def leave(self, run: Tally) -> None:
        """Draw `run` no more; with the last one the display goes."""
        with self._lock:
            if run not in self._runs:
                return
            self._runs.remove(run)
            live = self._live
            if live is None:
                return
            if self._runs:
                live.refresh()
            else:
                self._live = None
                live.stop()

    def refresh(self) -> None:
        """Draw at once."""
        live = self._live
        if live is not None:
            live.refresh()

    def _new(self) -> Live:
        return Live(
            console=Console(file=_Guarded(sys.stderr), stderr=True),  # type: ignore[arg-type]
            get_renderable=self._draw,
            refresh_per_second=PER_SECOND,
            transient=True,
            # Redirected output would all end in standard error.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _draw(self) -> RenderableType:
        # Called by rich's thread and under our lock alike: a copy of the list is all that is taken here.
        runs = self._runs[:]
        rows = [row for run in runs[:MOST_RUNS] for row in _rows(run)]
        if len(runs) > MOST_RUNS:
            rows.append(Text(f"and {len(runs) - MOST_RUNS} more runs", style="dim"))
        return Group(*rows)


def _rows(run: Tally) -> tuple[RenderableType, RenderableType]:
    left = run.time_left()
    total = None if run.total is None else max(run.total, 1)
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, max_width=32, overflow="ellipsis")
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right", style="cyan")
    table.add_row(
        Text(run.name),
        ProgressBar(total=total, completed=run.done, pulse=total is None),
        run.counts(),
        "" if left is None else f"{duration(left)} left",
    )
    return table, Text("  " + " · ".join(run.words()), style="dim", no_wrap=True, overflow="ellipsis")


_display = Display()


def shared() -> Display:
    """The display of this process."""
    return _display


def _begin_anew() -> None:
    # The thread that draws and whoever held the lock are the parent's.
    global _display
    _display = Display()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class Bar:
    """A `Progress` that counts, and is drawn by the display of this process."""

    def __init__(self, options: ProgressOptions) -> None:
        """Count under the name in `options`."""
        self._tally = Tally(options.description)

    def start(self, total: int | None, cached: int) -> None:
        """Show the run."""
        self._tally.begin(total, cached)
        shared().join(self._tally)

    def advance(self, event: SampleEvent) -> None:
        """Count a sample."""
        self._tally.count(event)

    def close(self) -> None:
        """Take the run away."""
        shared().leave(self._tally)
