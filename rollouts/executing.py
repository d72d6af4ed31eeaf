"""From the setting `executor` to what runs workers: threads of this process, or processes elsewhere.

Knows the plugin manager; starts nothing until a run needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, cast

from rollouts.engine.workers import Borrowed
from rollouts.exceptions import ConfigError
from rollouts.plugins import PluginManager
from rollouts.typing import ExecutorOptions, ShardExecutor

_PATIENCE = 60.0
"""Seconds that an executor of the caller's gets to run one small function."""


class Executing:
    """What runs the workers of one client."""

    def __init__(self, manager: PluginManager, wanted: Any = None, options: Mapping[str, Any] | None = None) -> None:
        """Use the executor `wanted`: a plugin's name, an executor of the caller's, or None for threads."""
        self._manager = manager
        self._wanted = "threads" if wanted is None else wanted
        self._options = options or {}
        self._made: dict[int, Executor] = {}
        self._is_elsewhere: bool | None = None

    def make(self, size: int) -> Executor:
        """An executor whose threads run the worker loops."""
        if not isinstance(self._wanted, str):
            return Borrowed(self._wanted)
        return self._made.pop(size, None) or self._new(size)

    def elsewhere(self, size: int) -> ShardExecutor | None:
        """An executor whose workers are other processes; None where they are threads of this one.

        Raises:
            ConfigError: The caller's executor runs nothing.
        """
        if self._wanted == "threads":
            return None
        if isinstance(self._wanted, str):
            made = self._new(size)
            if hasattr(made, "hire"):  # isinstance would read its `workers`, which may have to connect
                return cast(ShardExecutor, made)
            self._made[size] = made
            return None
        if self._is_elsewhere is None:
            self._is_elsewhere = _is_elsewhere(self._wanted)
        if not self._is_elsewhere:
            return None
        options = ExecutorOptions(max_concurrency=size, options={**self._options, "executor": self._wanted})
        there: ShardExecutor = self._manager.make("executor", "elsewhere", options)
        return there

    def _new(self, size: int) -> Executor:
        options = ExecutorOptions(max_concurrency=size, options=self._options)
        executor: Executor = self._manager.make("executor", self._wanted, options)
        return executor


def _is_elsewhere(executor: Executor) -> bool:
    """Whether functions run in another process than this. Those that do not say so are asked."""
    if isinstance(executor, ThreadPoolExecutor):
        return False
    processes = sys.modules.get("concurrent.futures.process")  # loaded where there is one
    if processes is not None and isinstance(executor, processes.ProcessPoolExecutor):
        return True
    try:
        return bool(executor.submit(os.getpid).result(_PATIENCE) != os.getpid())
    except Exception as error:
        raise ConfigError(f"the executor given as executor= runs nothing ({type(error).__name__}: {error}).") from error
