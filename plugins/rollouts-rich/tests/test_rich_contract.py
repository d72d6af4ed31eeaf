"""The rules of every reporter, kept by both of ours, and the plugin as rollouts finds it."""

from __future__ import annotations

import subprocess
import sys

from rollouts_rich.display import Bar
from rollouts_rich.lines import Lines
from rollouts_rich.plugin import make

from rollouts.testing.contracts.progress import ProgressContract
from rollouts.typing import Progress, ProgressOptions


class TestBar(ProgressContract):
    def make(self, options: ProgressOptions) -> Progress:
        return Bar(options)


class TestLines(ProgressContract):
    def make(self, options: ProgressOptions) -> Progress:
        return Lines(options)


class TestChosen(ProgressContract):
    def make(self, options: ProgressOptions) -> Progress:
        return make(options)


def test_registering_imports_no_rich() -> None:
    code = "import sys, rollouts_rich.plugin as p; p.rollouts_register_progress(); sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
