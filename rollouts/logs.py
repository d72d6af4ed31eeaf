"""The log: silent by default, readable with `verbose=True`. Knows only the standard library."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TextIO

logger = logging.getLogger("rollouts")
logger.addHandler(logging.NullHandler())


class _ShownLog(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is now: a notebook, a test or a redirection may change it."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Take no stream: there is always the present one."""


_lock = threading.Lock()
_showing = 0
_handler = _ShownLog()
_handler.setFormatter(logging.Formatter("%(asctime)s rollouts %(message)s", "%H:%M:%S"))
_level_before = logging.NOTSET


def show_log() -> None:
    """Show the log of this package on standard error, from INFO on, until as many `hide_log` as `show_log`."""
    global _showing, _level_before
    with _lock:
        _showing += 1
        if _showing == 1:
            _level_before = logger.level
            logger.addHandler(_handler)
            if not logger.isEnabledFor(logging.INFO):
                logger.setLevel(logging.INFO)


def hide_log() -> None:
    """Take one `show_log` back."""
    global _showing
    with _lock:
        _showing -= 1
        if _showing == 0:
            logger.removeHandler(_handler)
            logger.setLevel(_level_before)
