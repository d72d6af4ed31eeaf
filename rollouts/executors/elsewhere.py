"""The executor `elsewhere`: workers in the processes of an executor that the caller made (a process pool, loky, Dask).

Each worker is one task there that calls back and serves while there is work. Knows nothing of what it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from rollouts.exceptions import ConfigError, RolloutsError
from rollouts.hookspecs import hookimpl
from rollouts.typing import ExecutorOptions, Spec

if TYPE_CHECKING:
    from rollouts.executors._calling import Line


class Elsewhere(Executor):
    """An executor of the caller's; it is never shut down here."""

    carries_key = False
    patience = 0.2
    """Its tasks must not outlive the work: the caller's own `shutdown` waits for them."""

    def __init__(self, options: ExecutorOptions) -> None:
        """Begin no task.

        Raises:
            ConfigError: An unknown option, or no executor.
        """
        from rollouts.executors._calling import HERE, cpus

        given = dict(options.options)
        self._executor: Executor | None = given.pop("executor", None)
        workers = given.pop("workers", None)
        self._host: str = given.pop("host", HERE)
        if given or self._executor is None:
            unknown = ", ".join(map(repr, given))
            raise ConfigError(
                f"executor_options: an executor object takes 'workers' and 'host', not {unknown}."
                if given
                else "give the executor itself as executor=, not the name 'elsewhere'."
            )
        wanted = workers or getattr(self._executor, "_max_workers", None) or cpus()
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
            raise ConfigError(f"executor_options: workers is {workers!r}: give a whole number from 1.")
        self.workers: int = min(wanted, options.max_concurrency)

    def hire(self, entry: str, environment: Mapping[str, str]) -> Line:
        """Submit a task that serves.

        Raises:
            RolloutsError: The task ended before it called back.
        """
        from rollouts.executors._calling import Exchange, work_for

        assert self._executor is not None
        exchange = Exchange(self._host)
        try:
            future = self._executor.submit(work_for, exchange.address, exchange.token, entry)
        except BaseException:
            exchange.close()
            raise
        try:
            return exchange.answer(lambda: not future.done())
        except RolloutsError as error:
            cause = None if future.cancelled() or not future.done() else future.exception()
            raise RolloutsError(f"{error}: {type(cause).__name__}: {cause}" if cause else str(error)) from cause

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Pass on to the caller's executor."""
        assert self._executor is not None
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the caller's executor alone."""


@hookimpl
def rollouts_register_executors() -> list[Spec]:
    """Offer `elsewhere`, which is meant for executor objects."""
    return [Spec(name="elsewhere", factory=Elsewhere, description="an executor object whose workers are processes")]
