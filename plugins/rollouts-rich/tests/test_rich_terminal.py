"""The bar as a terminal shows it: a real pseudo-terminal, and an emulator that says what stands on its screen."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from rollouts_rich.display import MOST_RUNS, Bar, shared
from rollouts_rich.lines import Lines
from rollouts_rich.plugin import make

from rollouts.events import SampleEvent
from rollouts.results import Response, Usage
from rollouts.testing import LoopbackServer
from rollouts.typing import ProgressOptions

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
pyte = pytest.importorskip("pyte")

COLUMNS, LINES = 100, 40


class Terminal:
    """A pseudo-terminal with an emulator behind it; `slave` is the end that programs write to."""

    def __init__(self) -> None:
        import fcntl
        import struct
        import termios

        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = threading.Condition()
        self.raw = b""
        self.stream: Any = None
        self.monkeypatch: Any = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # Linux says so when the last writer is gone
                data = b""
            with self._changed:
                self.raw += data
                self._stream.feed(data)
                self._changed.notify_all()
            if not data:
                return

    def until(self, *words: str) -> str:
        """The screen, once all of `words` stand on it."""
        with self._changed:
            seen = self._changed.wait_for(lambda: all(word in self.text for word in words), 30)
            assert seen, f"{words} never stood on the screen, but:\n{self.text}"
            return self.text

    @property
    def text(self) -> str:
        """What stands on the screen now."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def close(self) -> None:
        """Close both ends, once all that was written is read."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1
        self._reader.join(30)
        os.close(self._master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal, which is standard error to every bar made by `bar`."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("LINES", str(LINES))
    with closing(Terminal()) as terminal, open(terminal.slave, "w", closefd=False) as stream:
        terminal.stream, terminal.monkeypatch = stream, monkeypatch
        yield terminal


def answer(number: int, *, in_flight: int = 1, cached: bool = False) -> SampleEvent:
    usage = Usage(completion_tokens=100, cost=0.25)
    return SampleEvent("run", Response("4", seed=number, usage=usage, cached=cached), in_flight, 2.0)


def bar(terminal: Terminal, name: str = "maker/model") -> Any:
    # Here and not in the fixture: pytest puts its own stream there when a test begins.
    terminal.monkeypatch.setattr(sys, "stderr", terminal.stream)
    made = make(ProgressOptions(name, 1))
    assert isinstance(made, Bar)
    return made


def test_a_terminal_shows_count_spend_speed_waits_and_time_left(terminal: Terminal) -> None:
    reporter = bar(terminal)
    reporter.start(10, 4)
    terminal.until("maker/model", "4/10", "4 cached")
    for number in range(3):
        reporter.advance(answer(number, in_flight=2))
    shown = terminal.until("7/10", "$0.7500", "tokens/s", "4 cached", "2 in flight", "waits 2.0 s a sample", "left")
    assert shown.count("maker/model") == 1
    reporter.close()


def test_nothing_stays_on_the_screen(terminal: Terminal) -> None:
    print("before", file=terminal.stream, flush=True)
    reporter = bar(terminal)
    reporter.start(3, 0)
    terminal.until("0/3")
    reporter.close()
    print("after", file=terminal.stream, flush=True)
    assert terminal.until("after").split() == ["before", "after"]
    assert b"\x1b[?25h" in terminal.raw  # the cursor is back


def test_a_bar_of_unknown_length_counts(terminal: Terminal) -> None:
    reporter = bar(terminal)
    reporter.start(None, 0)
    for number in range(1234):
        reporter.advance(answer(number))
    terminal.until("1,234")
    reporter.close()


def test_several_runs_share_one_display(terminal: Terminal) -> None:
    first, second = bar(terminal, "first/model"), bar(terminal, "second/model")
    first.start(10, 1)
    second.start(20, 2)
    terminal.until("first/model", "1/10", "second/model", "2/20")
    first.close()
    second.advance(answer(3))
    shown = terminal.until("3/20")
    assert "first/model" not in shown
    second.close()
    third = bar(terminal, "third/model")
    third.start(5, 0)
    shown = terminal.until("third/model", "0/5")
    assert "second/model" not in shown
    third.close()


def test_more_runs_than_fit_are_counted(terminal: Terminal) -> None:
    bars = [bar(terminal, f"model-{i}") for i in range(MOST_RUNS + 3)]
    for reporter in bars:
        reporter.start(1, 0)
    assert "model-8" not in terminal.until("model-7", "and 3 more runs")
    for reporter in bars:
        reporter.close()


def test_runs_in_many_threads_leave_a_clean_screen(terminal: Terminal) -> None:
    def run(number: int) -> None:
        for _ in range(5):
            reporter = bar(terminal, f"model-{number}")
            reporter.start(20, 0)
            for sample in range(20):
                reporter.advance(answer(sample))
            reporter.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("after", file=terminal.stream, flush=True)
    assert terminal.until("after") == "after"


def test_a_name_with_brackets_is_shown_as_it_is(terminal: Terminal) -> None:
    reporter = bar(terminal, "maker/[bold]x[/]")
    reporter.start(1, 0)
    terminal.until("maker/[bold]x[/]")
    reporter.close()


def test_a_terminal_that_goes_away_costs_nothing(terminal: Terminal) -> None:
    reporter = bar(terminal)
    reporter.start(2, 0)
    terminal.until("0/2")
    terminal.stream.close()
    reporter.advance(answer(0))
    shared().refresh()
    reporter.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_begins_anew(terminal: Terminal) -> None:
    reporter = bar(terminal, "parent/model")
    reporter.start(2, 0)
    terminal.until("parent/model")
    code = textwrap.dedent("""
        import os, sys
        from rollouts.typing import ProgressOptions
        from rollouts_rich.plugin import make
        parent = make(ProgressOptions("parent/model", 1))
        parent.start(2, 0)
        pid = os.fork()
        if pid == 0:
            child = make(ProgressOptions("child/model", 1))
            child.start(2, 0)
            child.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        parent.close()
    """)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], stderr=terminal.slave, timeout=60)
    assert done.returncode == 0
    terminal.until("parent/model")
    reporter.close()


def test_a_pipe_gets_lines_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(reading), open(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert isinstance(make(ProgressOptions("m", 1)), Lines)
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(make(ProgressOptions("m", 1)), Lines)


# ── With the client, as a program ───────────────────────────────────────────────────────────────────────

PROGRAM = """
import sys
from rollouts import RolloutsClient
with RolloutsClient("test/model", base_url=sys.argv[1], api_key="sk-canary", adapter="openai-compatible",
                    progress="rich", max_concurrency=2) as client:
    print(client.generate("What is 2 + 2?", n_samples=4).n_requested)
"""


def test_a_run_of_the_client_is_shown_and_leaves_standard_output_alone(terminal: Terminal) -> None:
    with LoopbackServer() as server:
        server.hold()
        command = [sys.executable, "-c", PROGRAM, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal.slave, text=True) as program:
            terminal.until("test/model", "0/4")
            server.release()
            out, _ = program.communicate(timeout=60)
    assert (program.returncode, out) == (0, "4\n")
    os.close(terminal.slave)
    terminal.slave = -1


def test_in_a_pipe_a_run_of_the_client_writes_no_control_codes() -> None:
    with LoopbackServer() as server:
        done = subprocess.run([sys.executable, "-c", PROGRAM, server.url], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "4\n")
    assert "\x1b" not in done.stderr
