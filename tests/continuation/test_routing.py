"""Routing of a prefill: one provider, or a warning; and never a part of identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollouts import RolloutsClient
from rollouts.continuation import Memory, Remembered, choose_pin
from rollouts.exceptions import RolloutsWarning
from rollouts.testing import LoopbackServer, Reply, chat_reply

MODEL = "qwen/qwen3-32b"
FOUND = Remembered("openrouter", MODEL, "novita", "assistant", "yes", "2026-11-20")
PROMPT = "What is 5*10?\n<think>\n5*1"


def pin(provider=None, verdicts=()):
    return choose_pin("openrouter", MODEL, {"provider": provider} if provider else {}, list(verdicts))


def test_nothing_known_gives_no_fallbacks_and_a_warning():
    routing, warning = pin()
    assert routing == {"provider": {"allow_fallbacks": False}}
    assert "rollouts probe" in warning


def test_a_verified_provider_is_used_alone():
    assert pin(verdicts=[FOUND]) == ({"provider": {"only": ["novita"], "allow_fallbacks": False}}, None)


def test_a_provider_verified_later_does_not_move_a_set_that_grows():
    later = replace(FOUND, provider="deepinfra", date="2026-11-22")
    assert pin(verdicts=[later, FOUND])[0]["provider"]["only"] == ["novita"]
    failing = replace(FOUND, verdict="no", date="2026-11-23")
    assert pin(verdicts=[later, failing])[0]["provider"]["only"] == ["deepinfra"]
    assert pin({"ignore": ["novita"]}, [later, FOUND])[0]["provider"]["only"] == ["deepinfra"]


def test_what_the_user_pinned_is_left_alone():
    assert pin({"only": ["cerebras"]}, [FOUND]) == ({}, None)
    assert pin({"order": ["cerebras"], "allow_fallbacks": False}, [FOUND]) == ({}, None)
    assert pin({"order": ["cerebras"]}) == ({"provider": {"allow_fallbacks": False}}, None)


def test_a_pinned_provider_that_fails_is_warned_of():
    assert "groq" in pin({"only": ["groq"]})[1]
    assert pin({"only": ["groq"]}, [replace(FOUND, provider="groq")])[1] is None
    assert "probed 2026-11-20" in pin({"only": ["novita"]}, [replace(FOUND, verdict="no")])[1]
    assert "spread" in pin({"only": ["cerebras", "novita"]})[1]


def test_other_adapters_do_not_route():
    assert choose_pin("vllm", MODEL, {}, [FOUND]) == ({}, None)


def test_a_new_verdict_routes_new_sets_and_a_set_that_grows_goes_on_as_it_was_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLOUTS_STATE_DIR", str(tmp_path / "state"))
    settings = {"adapter": "openrouter", "api_key": "canary", "cache_dir": tmp_path, "progress_bar": False}
    with (
        LoopbackServer(lambda request: Reply(json=chat_reply("50", "0 = 50"))) as server,
        RolloutsClient(MODEL, base_url=server.url, **settings) as client,
    ):
        with pytest.warns(RolloutsWarning, match="whichever provider"):
            client.generate(PROMPT, n_samples=2)
        Memory().remember([FOUND])
        with pytest.warns(RolloutsWarning, match="so that it is not mixed"):
            rollouts = client.generate(PROMPT, n_samples=3)
        fresh = client.generate(PROMPT, n_samples=1, seed=10)
        sent = [request.json()["provider"] for request in server.requests]
    assert sent == [{"allow_fallbacks": False}] * 3 + [{"only": ["novita"], "allow_fallbacks": False}]
    assert [response.pin["provider"] for response in [*rollouts, *fresh]] == sent
    assert [response.cached for response in rollouts] == [True, True, False]
