"""Tells rollouts that there is an executor `dask`. Knows nothing of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.typing import ExecutorOptions, Spec

if TYPE_CHECKING:
    from rollouts_dask.executor import DaskExecutor


def make_executor(options: ExecutorOptions) -> DaskExecutor:
    """Make the executor; connects to nothing."""
    from rollouts_dask.executor import DaskExecutor

    return DaskExecutor(options)


@hookimpl
def rollouts_register_executors() -> Sequence[Spec]:
    """Offer the executor `dask`."""
    return [Spec(name="dask", factory=make_executor, description="the workers of a Dask cluster, or of a local one")]
