"""A server, workers that stay for the tests of a module, and a look at the processes that belong to this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollouts import RolloutsClient
from rollouts.testing import LoopbackServer

KEY = "sk-or-v1-canary-0123456789abcdef"


@pytest.fixture(scope="module")
def running() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def server(running: LoopbackServer) -> Iterator[LoopbackServer]:
    running.reset()
    running.reply = None
    yield running
    running.release()


@pytest.fixture(scope="module")
def client(running: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutsClient]:
    """A client whose two worker processes serve every test of the module."""
    with RolloutsClient(
        "test/model",
        adapter="openrouter",
        base_url=running.url,
        api_key=KEY,
        executor="processes",
        executor_options={"workers": 2},
        cache_dir=tmp_path_factory.mktemp("cache"),
        progress_bar=False,
        max_concurrency=8,
        max_retries=0,
    ) as client:
        client.generate("Is anybody there?", n_samples=8)
        yield client


@pytest.fixture
def make_client(server: LoopbackServer, tmp_path: Path) -> Iterator[Callable[..., RolloutsClient]]:
    made: list[RolloutsClient] = []

    def make(**settings: Any) -> RolloutsClient:
        given = {
            "adapter": "openrouter",
            "base_url": server.url,
            "api_key": KEY,
            "executor": "processes",
            "cache_dir": tmp_path / "cache",
            "progress_bar": False,
            "max_retries": 0,
            "max_concurrency": 8,
            **settings,
        }
        if given["executor"] == "processes":
            given.setdefault("executor_options", {"workers": 2})
        made.append(RolloutsClient("test/model", **{k: v for k, v in given.items() if v is not None}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def workers() -> Callable[..., list[int]]:
    """The worker processes of this process, or of another one."""
    return _workers


def _children(parent: int | None = None) -> list[int]:
    """Processes whose parent is this one (or `parent`), from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, ppid = stat.rpartition(")")[2].split()[:2]
            if int(ppid) == (parent or os.getpid()) and state != "Z":
                found.append(int(entry.name))
    return found


def _workers(parent: int | None = None) -> list[int]:
    """Those of `_children` that are workers of `executor="processes"`."""
    found = []
    for pid in _children(parent):
        try:
            if b"ROLLOUTS_WORKER_CALL" in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found
