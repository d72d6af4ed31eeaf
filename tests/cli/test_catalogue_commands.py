"""`rollouts models`, `providers`, `key` against a server that answers as OpenRouter documents."""

from __future__ import annotations

import json

import pytest

from rollouts.cli import main
from rollouts.testing.server import LoopbackServer, Reply

KEY = "sk-or-v1-canary-of-the-catalogue"
MODELS = {
    "data": [
        {
            "id": "qwen/qwen3-8b",
            "context_length": 40960,
            "pricing": {"prompt": "0.00000002", "completion": "0.0000001"},
            "supported_parameters": ["seed", "reasoning", "temperature"],
        },
        {"id": "acme/\x1b[31mred", "context_length": 1000, "pricing": {"prompt": "x"}, "supported_parameters": None},
    ]
}
ENDPOINTS = {"data": {"id": "qwen/qwen3-8b", "endpoints": [{"tag": "deepinfra/fp8", "provider_name": "DeepInfra",
             "quantization": "fp8", "context_length": 40960, "pricing": {"prompt": "0.00000002"}}]}}  # fmt: skip
KEY_DATA = {"data": {"label": "sk-or-v1-can...gue", "limit": None, "limit_remaining": None, "usage": 1.25,
            "is_free_tier": False, "rate_limit": {"requests": -1}}}  # fmt: skip


@pytest.fixture
def server(monkeypatch):
    routes = {
        "/models": lambda request: Reply(json=MODELS),
        "/endpoints": lambda request: Reply(json=ENDPOINTS),
        "/providers": lambda request: Reply(json={"data": [{"slug": "deepinfra", "name": "DeepInfra"}]}),
        "/key": lambda request: Reply(json=KEY_DATA),
    }
    with LoopbackServer(routes=routes) as running:
        monkeypatch.setenv("OPENROUTER_BASE_URL", running.url)
        yield running


def test_models_are_listed_with_prices_and_context(server, capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[1].split() == ["qwen/qwen3-8b", "40960", "0.02", "0.1", "reasoning", "seed"]
    assert "\x1b" not in lines[2]


@pytest.mark.parametrize(
    ("filters", "n"),
    [(["QWEN", "8b"], 1), (["nowhere"], 0), (["--supports", "seed"], 1), (["--supports", "logprobs"], 0),
     (["--max-price", "0.05"], 0), (["--max-price", "0.2"], 1), (["--min-context", "2000"], 1)],
)  # fmt: skip
def test_models_are_filtered(server, capsys, filters, n):
    code = main(["models", "--json", *filters])
    assert len(json.loads(capsys.readouterr().out)) == n
    assert code == (0 if n else 1)


def test_providers_are_listed_and_those_of_a_model(server, capsys):
    assert main(["providers"]) == 0
    assert "deepinfra" in capsys.readouterr().out
    assert main(["providers", "qwen/qwen3-8b"]) == 0
    assert "deepinfra/fp8" in capsys.readouterr().out
    assert server.requests[-1].path.endswith("/models/qwen/qwen3-8b/endpoints")


def test_the_key_is_sent_and_not_shown(server, capsys, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    assert main(["key"]) == 0
    shown = capsys.readouterr().out

    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert "1.25" in shown
    assert "no limit" in shown
    assert KEY not in shown


def test_without_a_key_nothing_is_sent(server, capsys, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    assert main(["key"]) == 2
    assert "OPENROUTER_API_KEY" in capsys.readouterr().err
    assert server.requests == []


def test_a_refusal_and_a_wrong_address_are_one_line(server, capsys, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    server.routes["/key"] = lambda request: Reply(status=401, json={"error": {"code": 401, "message": "No"}})
    assert main(["key"]) == 1
    assert "401" in capsys.readouterr().err
    server.routes["/models"] = lambda request: Reply(body=b"<html>hello</html>")
    assert main(["models"]) == 1
    assert "base URL" in capsys.readouterr().err
