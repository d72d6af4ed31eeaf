"""The progress reporter `tqdm`: a bar for those who look, log lines for those who do not."""

import contextlib
import io
import logging
import subprocess
import sys
import threading

import pytest
from tqdm.std import tqdm

from rollouts.progress import tqdm_bar
from rollouts.progress.tqdm_bar import LogLines, TqdmBar, make_bar
from rollouts.testing.clock import FakeClock
from rollouts.testing.contracts.progress import ProgressContract, sample_event
from rollouts.typing import ProgressOptions

OPTIONS = ProgressOptions(description="acme/model", n_prompts=1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestContractWithoutTerminal(ProgressContract):
    def make(self, options):
        return make_bar(options)


class TestContractDrawn(ProgressContract):
    def make(self, options):
        return TqdmBar(options, tqdm_bar._bar_class(notebook=False))


class TestContractLogLines(ProgressContract):
    def make(self, options):
        return LogLines(options, every=0)


@pytest.fixture
def terminal():
    return Terminal()


def bar_of(total, cached, terminal):
    with contextlib.redirect_stderr(terminal):
        bar = make_bar(OPTIONS)
        return started(bar, total, cached)


def started(bar, total, cached):
    assert isinstance(bar, TqdmBar)
    bar.start(total, cached)
    return bar


def test_cached_samples_are_shown_at_once_and_apart(terminal):
    bar = bar_of(10, 4, terminal)
    shown = terminal.getvalue()
    assert "acme/model" in shown
    assert "4/10" in shown
    assert "cached=4" in shown
    bar.close()


def test_failures_and_cost_are_shown(terminal):
    bar = bar_of(3, 0, terminal)
    bar.advance(sample_event(0, cost=0.25))
    bar.advance(sample_event(1, failed=True))
    bar.advance(sample_event(2, cached=True))
    shown = terminal.getvalue()
    assert "3/3" in shown
    assert "cached=1, failed=1, cost=$0.2500" in shown
    bar.close()


def test_the_cache_does_not_make_the_rest_look_fast(terminal):
    bar = bar_of(100, 0, terminal)
    for number in range(99):
        bar.advance(sample_event(number, cached=True))
    bar.advance(sample_event(99))
    assert bar._bar.format_dict["n"] - bar._bar.format_dict["initial"] == 1  # what tqdm takes the rate from
    bar.close()


def test_an_unknown_cost_is_not_shown_as_nought(terminal):
    bar = bar_of(1, 0, terminal)
    bar.advance(sample_event(0))
    bar.close()
    assert "cost" not in terminal.getvalue()


def test_the_bar_is_gone_when_the_run_is_over(terminal):
    bar = bar_of(2, 0, terminal)
    bar.advance(sample_event(0))
    bar.advance(sample_event(1))
    bar.close()
    last_line = terminal.getvalue().rsplit("\r", 2)
    assert "\n" not in terminal.getvalue()
    assert last_line[-1].strip() == ""
    assert last_line[-2].strip() == ""


def test_the_users_own_tqdm_is_left_alone(terminal):
    import tqdm

    before = tqdm.tqdm.monitor_interval, tqdm.tqdm.monitor, tqdm.tqdm.get_lock()
    threads = threading.active_count()
    bar = bar_of(2, 0, terminal)
    bar.advance(sample_event(0))
    assert threading.active_count() == threads
    bar.close()
    assert (tqdm.tqdm.monitor_interval, tqdm.tqdm.monitor, tqdm.tqdm.get_lock()) == before
    assert not list(tqdm.tqdm._instances)


def test_a_terminal_that_breaks_in_the_middle_costs_no_sample(terminal):
    bar = bar_of(3, 0, terminal)
    terminal.close()
    for number in range(3):
        bar.advance(sample_event(number))
    bar.close()


def test_a_file_or_pipe_gets_log_lines_and_no_bar(caplog):
    clock = FakeClock()
    lines = LogLines(OPTIONS, every=10, clock=clock)
    with caplog.at_level(logging.INFO, "rollouts.progress"):
        lines.start(100, 20)
        for number in range(40):
            clock.advance(0.5)
            lines.advance(sample_event(number, failed=number == 3, cost=0.5))
        lines.close()
    assert [r.getMessage() for r in caplog.records] == [
        "acme/model: 40/100 samples after 10 s, 2.0 a second (cached=20, failed=1, cost=$9.50)",
        "acme/model: 60/100 samples after 20 s, 2.0 a second (cached=20, failed=1, cost=$19.50)",
        "acme/model: 60/100 samples after 20 s, 2.0 a second (cached=20, failed=1, cost=$19.50)",
    ]


def test_a_short_run_without_a_terminal_logs_nothing(caplog):
    with caplog.at_level(logging.INFO, "rollouts.progress"):
        lines = make_bar(OPTIONS)
        assert isinstance(lines, LogLines)
        lines.start(2, 0)
        lines.advance(sample_event(0))
        lines.close()
    assert caplog.records == []


def test_registering_loads_no_tqdm():
    code = "import sys, rollouts.progress.tqdm_bar as t; t.rollouts_register_progress(); print('tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_notebook_without_widgets_gets_a_text_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(tqdm_bar, "_in_notebook", lambda: True)
    bar = make_bar(OPTIONS)
    bar.start(4, 1)
    bar.close()
    assert "1/4" in stream.getvalue()


@pytest.mark.parametrize(("seconds", "left"), [(59.0, False), (75.0, True)])
def test_a_long_run_leaves_a_line_of_what_it_came_to(seconds, left):
    now, written = [0.0], io.StringIO()

    class Bar(tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, file=written, **options)

    bar = tqdm_bar.TqdmBar(ProgressOptions(description="a/b", n_prompts=None), Bar, clock=lambda: now[0])
    bar.start(2, 1)
    bar.advance(sample_event())
    now[0] = seconds
    bar.close()

    assert ("a/b: 2 samples in 75 s: 1 cached, 0 failed" in written.getvalue()) is left
