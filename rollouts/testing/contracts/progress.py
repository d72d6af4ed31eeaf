"""The rules that every progress reporter keeps.

class TestMine(ProgressContract):
    def make(self, options):
        return Mine(options)
"""

from __future__ import annotations

import sys
from typing import Any

from rollouts.events import SampleEvent
from rollouts.exceptions import ServerError
from rollouts.results import Failure, Response, Usage
from rollouts.typing import Progress, ProgressOptions

__all__ = ["ProgressContract", "sample_event"]


def sample_event(
    number: int = 0, *, cached: bool = False, failed: bool = False, cost: float | None = None
) -> SampleEvent:
    """The event of one finished sample."""
    if failed:
        return SampleEvent("run", Failure("failed", ServerError("503 after 3 tries", status=503), seed=number), 1)
    return SampleEvent("run", Response("4", seed=number, index=number, cached=cached, usage=Usage(cost=cost)), 1)


class _Broken:
    """A stream whose other end is gone."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError(9, "Bad file descriptor")


class ProgressContract:
    """Subclass with `make`."""

    def make(self, options: ProgressOptions) -> Progress:
        """The reporter under test."""
        raise NotImplementedError

    def _make(self) -> Progress:
        return self.make(ProgressOptions(description="test model", n_prompts=1))

    def test_fits_the_protocol(self) -> None:
        """It has `start`, `advance` and `close`."""
        assert isinstance(self._make(), Progress)

    def test_shows_a_run_from_start_to_end(self, capsys: Any) -> None:
        """Fresh, cached and failed samples; standard output is the user's and stays untouched."""
        reporter = self._make()
        reporter.start(6, 2)
        reporter.advance(sample_event(2, cost=0.001))
        reporter.advance(sample_event(3, cached=True))
        reporter.advance(sample_event(4, failed=True))
        reporter.advance(sample_event(5))
        reporter.close()
        assert capsys.readouterr().out == ""

    def test_shows_a_run_of_unknown_length(self) -> None:
        """`total` is None where prompts are read lazily."""
        reporter = self._make()
        reporter.start(None, 0)
        for number in range(50):
            reporter.advance(sample_event(number))
        reporter.close()

    def test_can_be_closed_before_the_end(self) -> None:
        """A run that is stopped closes its reporter too."""
        reporter = self._make()
        reporter.start(100, 0)
        reporter.close()

    def test_a_run_may_end_beyond_its_total(self) -> None:
        """A total is what was asked at the start."""
        reporter = self._make()
        reporter.start(1, 0)
        for number in range(3):
            reporter.advance(sample_event(number))
        reporter.close()

    def test_a_broken_terminal_costs_no_sample(self, monkeypatch: Any) -> None:
        """Where standard error is gone nothing is shown and nothing is raised."""
        for stream in (_Broken(), None):
            monkeypatch.setattr(sys, "stderr", stream)
            reporter = self._make()
            reporter.start(3, 1)
            for number in range(3):
                reporter.advance(sample_event(number))
            reporter.close()
