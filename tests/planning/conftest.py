from __future__ import annotations

import pytest

from rollouts import RolloutsClient
from rollouts.testing.server import LoopbackServer, Reply

MODELS = {
    "data": [
        {"id": "test/model", "pricing": {"prompt": "0.000001", "completion": "0.00001"}},
        {"id": "free/model", "pricing": {"prompt": "0", "completion": "0"}},
    ]
}


@pytest.fixture
def server():
    with LoopbackServer(routes={"/models": lambda request: Reply(json=MODELS)}) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_known(tmp_path, monkeypatch):
    """No price list, no probe and no key on this machine."""
    monkeypatch.setenv("ROLLOUTS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)


@pytest.fixture
def make_client(server, tmp_path):
    made = []

    def make(model="test/model", **settings):
        given = {"adapter": "openrouter", "base_url": server.url, "cache_dir": tmp_path / "cache", "max_retries": 0}
        made.append(RolloutsClient(model, **{**given, "progress_bar": False, "template": "think-tags", **settings}))
        return made[-1]

    yield make
    for client in made:
        client.close()
