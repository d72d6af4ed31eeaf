"""Tries an installed plugin in a child process, where it may hang or end the interpreter harmlessly.

The child imports it and runs the cheap part of the contract of each thing that it offers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from rollouts.plugins.discovery import Found

_CODE = """
import json, sys
sys.path[:], target = json.loads(sys.argv[1])
from rollouts.testing.checks import try_out
if target:
    import importlib.metadata
    try:
        importlib.metadata.EntryPoint("tried", target, "rollouts").load()
    except BaseException:
        pass  # the manager meets it too, and tells it with its traceback
    print("\\nimported", flush=True)
print("\\n" + json.dumps(try_out(target)), flush=True)
print("over", flush=True)
import os
os._exit(0)  # whatever threads it started
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a child process found."""

    trouble: str | None = None
    """What an import did that no `except` can catch; None for one that ended, well or with an exception."""
    broken_rules: tuple[str, ...] = ()
    """Rules that what it offers breaks."""


def try_in_child(found: Found | None, seconds: float) -> Trial:
    """Import a plugin and try what it offers, in a process of its own.

    Args:
        found: The plugin, not imported yet; None for the core's own.
        seconds: How long it may take.
    """
    handed = json.dumps([sys.path, "" if found is None else found.target])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CODE, handed],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "ROLLOUTS_STRICT_PLUGINS": ""},
        )
    except subprocess.TimeoutExpired as error:
        if b"imported" in (error.stdout or b"").splitlines():
            return Trial(broken_rules=(f"its contract did not end within {seconds:g} s",))
        return Trial(f"its import did not end within {seconds:g} s")
    lines = done.stdout.splitlines()
    if lines[-1:] == [b"over"]:
        return Trial(broken_rules=tuple(json.loads(lines[-2])))
    if b"imported" in lines:
        return Trial(broken_rules=(f"its contract ended the interpreter (exit code {done.returncode})",))
    return Trial(f"its import ended the interpreter (exit code {done.returncode})")
