"""Tries an installed plugin's import in a child process, where it may hang or end the interpreter harmlessly."""

from __future__ import annotations

import json
import subprocess
import sys

from rollouts.plugins.discovery import GROUP, Found

_CODE = """
import importlib.metadata, json, sys
sys.path[:], name, target, group = json.loads(sys.argv[1])
try:
    importlib.metadata.EntryPoint(name, target, group).load()
except BaseException:
    pass  # the manager meets it too, and tells it with its traceback
print("over", flush=True)
"""


def import_trouble(found: Found, seconds: float) -> str | None:
    """What an import does that no `except` can catch; None for one that ends, well or with an exception.

    Args:
        found: The plugin, not imported yet.
        seconds: How long the import may take.
    """
    handed = json.dumps([sys.path, found.name, found.target, GROUP])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CODE, handed],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its import did not end within {seconds:g} s"
    if not done.stdout.rstrip().endswith(b"over"):
        return f"its import ended the interpreter (exit code {done.returncode})"
    return None
