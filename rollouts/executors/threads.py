"""The executor `threads`: worker loops in threads of this process. Knows nothing of what they run."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor

from rollouts.hookspecs import hookimpl
from rollouts.typing import ExecutorOptions, Spec


def make(options: ExecutorOptions) -> Executor:
    """A pool with a thread for each worker loop; a thread is started when a loop is."""
    return ThreadPoolExecutor(options.max_concurrency, thread_name_prefix="rollouts")


@hookimpl
def rollouts_register_executors() -> list[Spec]:
    """Offer `threads`."""
    return [Spec(name="threads", factory=make, description="threads of this process")]
