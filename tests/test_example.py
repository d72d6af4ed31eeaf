"""`example.py` as users run it: with the local model, in a process of its own, twice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "example.py"


def run(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.local_model
def test_the_example_runs_and_its_second_run_makes_no_request(tmp_path: Path, local_model: str) -> None:
    first = run(tmp_path)
    assert f"asking {local_model} on this machine" in first
    assert "4 of 4 cached" in first
    assert "continued: yes" in first
    assert "\n0 requests" not in first
    second = run(tmp_path)
    assert "\n0 requests: everything was kept" in second
    # The same answers: what differs is how long they took and where they came from.
    assert [line for line in second.splitlines() if re.match(r"\d ['\"]", line)] == [
        line for line in first.splitlines() if re.match(r"\d ['\"]", line)
    ]
