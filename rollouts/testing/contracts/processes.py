"""Forked processes for the contracts: told what to do, heard, killed. Knows nothing of what they do."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Work: TypeAlias = Callable[[Callable[[int], None]], None]
"""What a child does; it is given what tells a number to the parent."""


class Child:
    """A forked process that does `work`, tells numbers, and can be killed without warning."""

    def __init__(self, work: Work) -> None:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 doubts every fork beside threads
            self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(reading)
                work(lambda number: _say(writing, number))
                status = 0
            except BaseException:
                traceback.print_exc()  # to the captured output of the test, which fails for want of a number
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(writing)
        self._lines = os.fdopen(reading)

    def hear(self) -> int | None:
        """The next number that the child tells; None where it ended without."""
        line = self._lines.readline()
        return int(line) if line else None

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self._lines.close()
        os.waitpid(self.pid, 0)

    def wait(self) -> None:
        """Wait for its end, which must be a good one."""
        self._lines.close()
        _, status = os.waitpid(self.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def bound_by_rights(work: Work) -> Work:
    """The same work for a `Child`, done as a user whom the rights of files bind: root is made nobody."""

    def bound(say: Callable[[int], None]) -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        work(say)

    return bound


def let_others_pass(directory: Path) -> None:
    """Let `nobody` reach a temporary directory of pytest's, which makes them for their owner alone."""
    if os.getuid() == 0:
        for folder in (directory, *directory.parents):
            if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
                folder.chmod(folder.stat().st_mode | 0o055)


def _say(pipe: int, number: int) -> None:
    os.write(pipe, b"%d\n" % number)
