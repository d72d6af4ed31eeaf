"""The rules that every executor keeps.

class TestMine(ExecutorContract):
    def make(self, options):
        return make_mine(options)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, wait
from contextlib import contextmanager
from typing import Any, ClassVar

from rollouts.typing import ExecutorOptions

__all__ = ["ExecutorContract"]

_PATIENCE = 60.0


class ExecutorContract:
    """Subclass with `make`."""

    in_threads: ClassVar[bool] = True
    """False where what is submitted runs in other processes, or on other machines."""
    options: ClassVar[Mapping[str, Any]] = {}
    """The `executor_options` to test with."""

    def make(self, options: ExecutorOptions) -> Executor:
        """The executor under test."""
        raise NotImplementedError

    @contextmanager
    def _made(self, max_concurrency: int = 4) -> Iterator[Executor]:
        executor = self.make(ExecutorOptions(max_concurrency, self.options))
        try:
            yield executor
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def test_is_an_executor(self) -> None:
        """It has `submit` and `shutdown`."""
        with self._made() as executor:
            assert callable(executor.submit)
            assert callable(executor.shutdown)

    def test_what_is_submitted_is_run_and_gives_its_result(self) -> None:
        """More tasks than workers, with positional and named arguments."""
        with self._made(2) as executor:
            futures = [executor.submit(divmod, n, 7) for n in range(40)]
            assert [future.result(_PATIENCE) for future in futures] == [divmod(n, 7) for n in range(40)]
            assert executor.submit(int, "11", base=2).result(_PATIENCE) == 3

    def test_what_a_task_raises_comes_out_of_its_future(self) -> None:
        """And harms no other task."""
        with self._made() as executor:
            failing, fine = executor.submit(int, "x"), executor.submit(int, "1")
            assert isinstance(failing.exception(_PATIENCE), ValueError)
            assert fine.result(_PATIENCE) == 1

    def test_runs_as_many_at_once_as_were_asked_for(self) -> None:
        """Each worker loop holds its thread until no sample is left: fewer threads would be fewer requests."""
        with self._made(4) as executor:
            if not self.in_threads:
                assert executor.submit(os.getpid).result(_PATIENCE) != os.getpid()
                return
            barrier = threading.Barrier(4)
            futures = [executor.submit(barrier.wait, _PATIENCE) for _ in range(4)]
            done, _ = wait(futures, _PATIENCE)
            assert len(done) == 4
            assert sorted(future.result() for future in futures) == [0, 1, 2, 3]

    def test_shutdown_ends_it_and_may_be_called_twice(self) -> None:
        """What was submitted before is finished; nothing is taken after."""
        executor = self.make(ExecutorOptions(2, self.options))
        future = executor.submit(pow, 2, 5)
        executor.shutdown(wait=True)
        executor.shutdown(wait=True)
        assert future.result(0) == 32
        try:
            executor.submit(pow, 2, 5)
        except RuntimeError:
            return
        raise AssertionError("it takes tasks after shutdown: raise RuntimeError")
