from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollouts import RolloutsClient
from rollouts.testing.server import LoopbackServer

KEY = "sk-or-v1-canary-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        yield running


@pytest.fixture
def make_client(server: LoopbackServer, tmp_path: Path) -> Iterator[Callable[..., RolloutsClient]]:
    """Clients of the loopback server that are closed when the test is over."""
    made: list[RolloutsClient] = []

    def make(**settings: Any) -> RolloutsClient:
        given = {
            "adapter": "openrouter",
            "base_url": server.url,
            "api_key": KEY,
            "cache_dir": tmp_path / "cache",
            "progress_bar": False,
            "max_retries": 0,
            **settings,
        }
        client = RolloutsClient(given.pop("model", "test/model"), **given)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
