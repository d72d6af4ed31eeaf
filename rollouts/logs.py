"""The log: silent by default, readable with `verbose=True`. Knows only the standard library."""

from __future__ import annotations

import logging

logger = logging.getLogger("rollouts")
logger.addHandler(logging.NullHandler())


class _ShownLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Our own handler, so that `verbose=True` twice shows each line once."""


def show_log() -> None:
    """Show the log of this package on standard error, from INFO on."""
    if not any(isinstance(handler, _ShownLog) for handler in logger.handlers):
        handler = _ShownLog()
        handler.setFormatter(logging.Formatter("%(asctime)s rollouts %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
