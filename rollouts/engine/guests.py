"""How the failure of a plugin at work is told: whose it is, in what, where. Knows no plugin and no kind of plugin."""

from __future__ import annotations

import traceback
from pathlib import Path

from rollouts.exceptions import PluginError

__all__ = ["blame", "said"]


def said(error: BaseException) -> str:
    """An error in one line, with the place in the plugin's code that raised it."""
    text = f"{type(error).__name__}: {str(error).strip()[:300]}".rstrip(": ")
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return text
    last = frames[-1]
    return f"{text} ({'/'.join(Path(last.filename).parts[-2:])}, line {last.lineno})"


def blame(who: str, what: str, error: BaseException) -> PluginError:
    """The error for a plugin that raised at work.

    Made fresh, without the frames: those of a worker hold what must not be shown.

    Args:
        who: The thing and its distribution, as `PluginManager.credit` says it.
        what: Which of its methods failed.
        error: What it raised.
    """
    return PluginError(f"{who} failed in {what}: {said(error)}. Repair, replace or switch off that plugin")
