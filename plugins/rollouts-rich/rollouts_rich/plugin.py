"""Tells rollouts that there is a progress reporter `rich`, and chooses how it shows. Draws nothing itself."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

from rollouts.hookspecs import hookimpl
from rollouts.typing import Progress, ProgressOptions, Spec


def make(options: ProgressOptions) -> Progress:
    """A bar for a terminal, or a notebook with ipywidgets; log lines otherwise."""
    if _is_terminal(sys.stderr) or _is_notebook():
        from rollouts_rich.display import Bar

        return Bar(options)
    from rollouts_rich.lines import Lines

    return Lines(options)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream is not None and stream.isatty())
    except (OSError, ValueError):
        return False


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    try:
        shell = ipython.get_ipython()
        return shell is not None and "IPKernelApp" in shell.config and bool(importlib.util.find_spec("ipywidgets"))
    except Exception:
        return False


@hookimpl
def rollouts_register_progress() -> Sequence[Spec]:
    """Offer `rich`."""
    return [Spec(name="rich", factory=make, description="spend, tokens per second, waits and time left")]
