"""Fixtures for tests of programs and plugins that use rollouts; pytest finds this by itself.

- `rollouts_server`: a `LoopbackServer` that listens for one test; set its `reply`.
- `rollouts_client`: a `RolloutsClient` of that server, with a cache of its own, closed after the test.
- `plugin_manager`: the installed plugins, as the client sees them.

`@pytest.mark.rollouts(temperature=0.7, plugins=[FakeAdapter()])` gives the client of a test or class further settings.
Nothing is imported before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from rollouts import RolloutsClient
    from rollouts.plugins import PluginManager
    from rollouts.testing import LoopbackServer


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and the assertions of the contract suites speak as those of tests do."""
    config.addinivalue_line("markers", "rollouts(**settings): settings of the fixture rollouts_client")
    pytest.register_assert_rewrite("rollouts.testing.contracts")


@pytest.fixture
def rollouts_server() -> Iterator[LoopbackServer]:
    """A real HTTP server on 127.0.0.1 that answers as OpenRouter does."""
    from rollouts.testing import LoopbackServer

    with LoopbackServer() as server:
        yield server


@pytest.fixture
def rollouts_client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RolloutsClient]:
    """A client of `rollouts_server` (of another adapter, where the mark names one or its model)."""
    from rollouts import RolloutsClient

    given = _marked(request)
    settings: dict[str, Any] = {"model": "test/model", "cache_dir": tmp_path / "rollouts", "progress_bar": False}
    if not {"adapter", "base_url"} & given.keys() and "model" not in given:
        server: LoopbackServer = request.getfixturevalue("rollouts_server")
        settings |= {"adapter": "openrouter", "base_url": server.url, "api_key": "test-key"}
    with RolloutsClient(**settings | given) as client:
        yield client


@pytest.fixture
def plugin_manager(request: pytest.FixtureRequest) -> PluginManager:
    """A manager of the plugins that are installed, and of those in the mark's `plugins`."""
    from rollouts.plugins import PluginManager

    return PluginManager(_marked(request).get("plugins", ()))


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("rollouts"))):  # the nearest one last
        settings |= mark.kwargs
    return settings
