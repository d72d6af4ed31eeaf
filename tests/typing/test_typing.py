"""What checkers see of the installed package: `py.typed` counts, and the uses in `uses.py` are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USES = Path(__file__).with_name("uses.py")


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_users_checker_agrees_with_the_uses(checker, tmp_path):
    command = {
        "mypy": ["-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path)],
        "pyright": ["-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable],
    }[checker]
    checked = subprocess.run(
        [sys.executable, *command, str(USES)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
