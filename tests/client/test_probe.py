"""`client.verify_prefill` over real sockets: each way and provider, remembered with its date, used in routing."""

from __future__ import annotations

import json
import re
import warnings
from datetime import date

import pytest

from rollouts.continuation import Memory
from rollouts.exceptions import AuthenticationError, ConfigError, RolloutsWarning
from rollouts.testing import Reply, chat_reply, completion_reply

MODEL = "qwen/qwen3-8b"
PROMPT = "What is 5*10?\n<think>\n5*1"


@pytest.fixture(autouse=True)
def _own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLOUTS_STATE_DIR", str(tmp_path / "state"))


def given_digits(request):
    """The digits of the partial turn that the server was handed."""
    body = request.json()
    turn = body["prompt"].rpartition("assistant\n")[2] if "prompt" in body else json.dumps(body["messages"][-1])
    return re.findall(r"(?<![0-9])[0-9](?![0-9])", turn)


def solves(request):
    """What a model that goes on writes: the rest of the row."""
    return " " + " ".join(given_digits(request)[6:12])


def provider_of(request):
    return (request.json().get("provider") or {}).get("only", [None])[0]


def routed(request):
    """Providers as OpenRouter has them: one goes on, one begins anew, one refuses, one does not serve the model."""
    name = provider_of(request)
    if name == "refuses":
        return Reply(status=400, json={"error": {"message": "does not support assistant message prefill"}})
    if name == "absent":
        return Reply(status=404, json={"error": {"message": "No endpoints found"}})
    if name == "restarts":
        return Reply(json=chat_reply(content="50", reasoning="Okay, the user wants digits."))
    return Reply(json=chat_reply(content="", reasoning=solves(request), finish_reason="length"))


def test_each_provider_gets_its_own_verdict_which_is_remembered(server, make_client):
    server.reply = routed
    client = make_client(model=MODEL)
    results = client.verify_prefill(providers=["good", "restarts", "refuses", "absent"])

    assert {result.provider: result.verdict for result in results} == {
        "good": "yes",
        "restarts": "no",
        "refuses": "no",
        "absent": "unknown",
    }
    assert [provider_of(request) for request in server.requests] == ["good"] * 3 + ["restarts"] * 3 + [
        "refuses",
        "absent",
    ]
    assert all(request.json()["provider"]["allow_fallbacks"] is False for request in server.requests)
    kept = {item.provider: (item.verdict, item.date, item.service) for item in Memory().verdicts()}
    today = date.today().isoformat()
    assert kept == {
        "good": ("yes", today, server.url),
        "restarts": ("no", today, server.url),
        "refuses": ("no", today, server.url),
    }


def test_what_was_verified_is_routed_to_and_no_warning_is_left(server, make_client):
    server.reply = routed
    client = make_client(model=MODEL)
    client.verify_prefill(providers=["good"], trials=1)
    client.generate(PROMPT)
    assert server.requests[-1].json()["provider"] == {"only": ["good"], "allow_fallbacks": False}


def test_a_verdict_on_another_server_is_no_verdict_on_this_one(server, make_client):
    server.reply = routed
    make_client(model=MODEL).verify_prefill(providers=["good"], trials=1)
    (kept,) = Memory().verdicts()
    with pytest.warns(RolloutsWarning, match="whichever provider"):
        make_client(model=MODEL, service="another").generate(PROMPT)
    assert kept.service == server.url
    assert server.requests[-1].json()["provider"] == {"allow_fallbacks": False}


def test_a_pinned_provider_is_the_one_that_is_probed(server, make_client):
    server.reply = routed
    (result,) = make_client(model=MODEL, provider={"only": ["good"], "sort": "price"}).verify_prefill(trials=1)
    assert (result.provider, result.verdict) == ("good", "yes")
    assert server.requests[0].json()["provider"] == {"only": ["good"], "sort": "price", "allow_fallbacks": False}


def test_unless_named_those_providers_are_asked_that_may_continue(server, make_client):
    server.reply = routed
    results = make_client(model="qwen/qwen3-32b").verify_prefill(trials=1)
    asked = [provider_of(request) for request in server.requests]
    assert [result.provider for result in results] == asked
    assert "novita" in asked
    assert "groq" not in asked


def test_each_way_of_a_server_is_told_apart_and_a_failing_one_is_warned_of_afterwards(server, make_client):
    def reply(request):
        body = request.json()
        if "prompt" in body:
            return Reply(json=completion_reply(solves(request), finish_reason="length"))
        if "reasoning_content" in body["messages"][-1]:
            return Reply(json=chat_reply(content="50", reasoning="Okay, the user wants digits."))
        echo = body["messages"][-1]["content"]
        return Reply(json=chat_reply(content=echo + solves(request), reasoning=None, finish_reason="length"))

    server.reply = reply
    options = {"chat_template": "chatml"}
    client = make_client(model=MODEL, adapter="llama-cpp", adapter_options=options)
    results = client.verify_prefill()

    assert [(r.way, r.verdict, r.found_in, r.echoed) for r in results] == [
        ("assistant", "yes", "reasoning", True),
        ("reasoning", "no", None, False),
        ("completion", "yes", "reasoning", False),
    ]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        client.generate(PROMPT, adapter_options={**options, "continuation": "reasoning"})
    assert any("'reasoning' is not continued; 'assistant' did" in str(warning.message) for warning in said)


def test_a_way_that_cannot_be_asked_costs_the_others_nothing(server, make_client):
    server.reply = lambda request: Reply(json=chat_reply(content="", reasoning=solves(request)))
    chat, raw = make_client(model=MODEL, adapter="vllm").verify_prefill()
    assert (chat.way, chat.verdict) == ("continue", "yes")
    assert (raw.way, raw.verdict, raw.trials) == ("completion", "unknown", ())
    assert "chat_template" in raw.reason
    assert [item.way for item in Memory().verdicts()] == ["continue"]


def test_a_probe_is_asked_plainly_and_never_answered_from_a_cache(server, make_client, tmp_path):
    server.reply = lambda request: Reply(json=chat_reply(content="", reasoning=solves(request)))
    plain = {"top_p": 0.5, "stop": ["\n"], "presence_penalty": 1.0, "system": "Say nothing.", "require_prefill": True}
    client = make_client(model=MODEL, adapter="vllm", **plain)
    for _ in range(2):
        client.verify_prefill(["continue"], trials=2, top_k=5)
    bodies = [request.json() for request in server.requests]
    assert len(bodies) == 4
    assert all({"temperature": 0, "max_tokens": 64, "top_k": 5}.items() <= body.items() for body in bodies)
    assert not any({"top_p", "stop", "presence_penalty"} & body.keys() for body in bodies)
    assert all([message["role"] for message in body["messages"]] == ["user", "assistant"] for body in bodies)
    assert len({body["messages"][-1]["content"] for body in bodies}) == 4
    assert not (tmp_path / "cache").exists()


def test_bad_input_is_refused_before_anything_is_sent(server, make_client):
    client = make_client(model=MODEL, adapter="vllm")
    with pytest.raises(ConfigError, match="continue, completion"):
        client.verify_prefill(["prefix"])
    with pytest.raises(ConfigError, match="routes to no providers"):
        client.verify_prefill(providers=["novita"])
    with pytest.raises(ConfigError, match="trials"):
        client.verify_prefill(trials=0)
    assert server.requests == []


def test_what_would_fail_every_request_is_raised_as_itself(server, make_client):
    server.reply = lambda request: Reply(status=401, json={"error": {"message": "No auth credentials found"}})
    with pytest.raises(AuthenticationError):
        make_client(model=MODEL).verify_prefill(providers=["good", "novita"])
    assert len(server.requests) == 1
    assert Memory().verdicts() == []


def test_a_memory_that_cannot_be_written_costs_no_verdict(server, make_client, tmp_path):
    (tmp_path / "state").write_text("a file in its place")
    server.reply = routed
    (result,) = make_client(model=MODEL).verify_prefill(providers=["good"], trials=1)
    assert result.verdict == "yes"


def test_a_model_that_is_refused_at_once_is_a_no_without_a_request(server, make_client):
    (result,) = make_client(model="anthropic/claude-opus-4.6").verify_prefill(providers=["anthropic"])
    assert result.verdict == "no"
    assert "Claude" in result.trials[0].error
    assert server.requests == []
