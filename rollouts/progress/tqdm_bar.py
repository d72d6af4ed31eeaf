"""The default progress reporter: a tqdm bar where somebody looks, a log line now and then where nobody does.

A bar goes to a terminal or a notebook. Into a file or a pipe it would be one line after another, so there the state is
logged every ten seconds to `rollouts.progress` (level INFO; `verbose=True` shows it). Nothing that goes wrong with a
terminal may cost a sample: the bar is dropped then.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rollouts.hookspecs import hookimpl
from rollouts.progress._tally import Tally
from rollouts.typing import Progress, ProgressOptions, Spec

if TYPE_CHECKING:
    from rollouts.events import SampleEvent

_log = logging.getLogger("rollouts.progress")

_REDRAW = 0.1
"""Seconds between two drawings of a bar."""

_LOG_EVERY = 10.0
"""Seconds between two log lines."""

_LONG = 60.0
"""Seconds from which on a run leaves a line of what it came to."""


class LogLines:
    """A `Progress` of log lines, one every ten seconds and one at the end of a run that lasted longer."""

    def __init__(self, options: ProgressOptions, *, every: float = _LOG_EVERY, clock: Any = time.monotonic) -> None:
        """Report as `options` describe.

        Args:
            options: What the run is called.
            every: Seconds between two lines.
            clock: Seconds; the reporter reads no other clock.
        """
        self._name = options.description
        self._every = every
        self._clock = clock
        self._tally = Tally(0)
        self._total: int | None = None
        self._began = self._told = clock()
        self._has_told = False

    def start(self, total: int | None, cached: int) -> None:
        """Begin to count."""
        self._tally = Tally(cached)
        self._total = total
        self._began = self._told = self._clock()

    def advance(self, event: SampleEvent) -> None:
        """Count a sample; log when it is time."""
        self._tally.count(event)
        if self._clock() - self._told >= self._every:
            self._tell()

    def close(self) -> None:
        """Log the end, where anything was logged before it."""
        if self._has_told:
            self._tell()

    def _tell(self) -> None:
        self._told = now = self._clock()
        self._has_told = True
        tally = self._tally
        of = "" if self._total is None else f"/{self._total:,}"
        words = tally.words()
        rate = (tally.done - tally.cached) / max(now - self._began, 1e-9)
        _log.info(
            "%s: %s%s samples after %.0f s, %.1f a second%s",
            self._name, f"{tally.done:,}", of, now - self._began, rate, f" ({words})" if words else "",
        )  # fmt: skip


class TqdmBar:
    """A `Progress` drawn by tqdm; gone when the run is over. Cached samples do not count towards the rate."""

    def __init__(self, options: ProgressOptions, bar_class: type[Any], *, clock: Any = time.monotonic) -> None:
        """Draw with `bar_class`, a tqdm; `clock` gives seconds."""
        self._name = options.description
        self._class = bar_class
        self._bar: Any = None
        self._tally = Tally(0)
        self._drawn = 0.0
        self._began = clock()
        self._clock = clock

    def start(self, total: int | None, cached: int) -> None:
        """Draw the bar."""
        self._tally = Tally(cached)
        try:
            # We redraw by time ourselves: tqdm's own adjustment of `miniters` lets a bar stand still after a burst.
            self._bar = self._class(
                total=total, initial=cached, desc=self._name, unit="sample", leave=False, dynamic_ncols=True,
                mininterval=0, miniters=1, postfix=None,
            )  # fmt: skip
            self._draw()
        except Exception as error:
            self._drop(error)

    def advance(self, event: SampleEvent) -> None:
        """Count a sample; redraw ten times a second at most."""
        tally = self._tally
        tally.count(event)
        if self._bar is None:
            return
        now = time.monotonic()
        if now - self._drawn >= _REDRAW or tally.done == self._bar.total:
            self._drawn = now
            try:
                self._draw()
            except Exception as error:
                self._drop(error)

    def close(self) -> None:
        """Take the bar away; a long run leaves a line of what it came to."""
        bar, self._bar = self._bar, None
        if bar is not None:
            try:
                bar.close()
                seconds = self._clock() - self._began
                if seconds >= _LONG:
                    self._class.write(f"{self._name}: {self._tally.report(seconds)}", file=bar.fp)
            except Exception as error:
                self._bar = bar
                self._drop(error)

    def _draw(self) -> None:
        bar, tally = self._bar, self._tally
        # The rate is (n - initial) / time: what the cache gave must not make the rest look fast.
        bar.initial = tally.cached
        bar.set_postfix_str(tally.words(), refresh=False)
        bar.n = tally.done
        bar.refresh()

    def _drop(self, error: Exception) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.disable = True  # else its destructor would try the broken stream again
        _log.debug("the progress bar is off: %s: %s", type(error).__name__, error)


def make_bar(options: ProgressOptions) -> Progress:
    """A bar for a terminal or a notebook, log lines otherwise."""
    notebook = _in_notebook()
    if not notebook and not _is_terminal(sys.stderr):
        return LogLines(options)
    return TqdmBar(options, _bar_class(notebook))


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream is not None and stream.isatty())
    except (OSError, ValueError):
        return False


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    try:
        shell = ipython.get_ipython()
        return shell is not None and "IPKernelApp" in shell.config
    except Exception:
        return False


def _bar_class(notebook: bool) -> type[Any]:
    import tqdm.std

    base: Any = tqdm.std.tqdm
    if notebook:
        try:
            # tqdm warns where ipywidgets are missing, and gives a text bar then: which is what we want.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import tqdm.auto

                base = tqdm.auto.tqdm
        except Exception as error:
            _log.debug("no notebook bar: %s: %s", type(error).__name__, error)
    # A class of our own: its settings leave the user's tqdm alone. No monitor thread, and a lock of threads only
    # (tqdm's makes a semaphore for processes too, which has deadlocked, tqdm#627).
    ours: Any = type("Bar", (base,), {"monitor_interval": 0})
    ours.set_lock(threading.RLock())
    bar_class: type[Any] = ours
    return bar_class


@hookimpl
def rollouts_register_progress() -> Sequence[Spec]:
    """Offer `tqdm`."""
    return [Spec(name="tqdm", factory=make_bar, description="a bar in terminals and notebooks, log lines elsewhere")]
