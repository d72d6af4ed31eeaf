"""What was wrong in rollouts 0.1.11, one test each, numbered as in the list of its defects.

Each fails on the old behaviour.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time

import pytest

from rollouts.exceptions import AuthenticationError, RolloutsWarning, SamplingError
from rollouts.testing.server import Reply, chat_reply


@pytest.mark.parametrize(
    "changed",
    [
        {"stop": ["\n"]},
        {"reasoning": {"effort": "high"}},
        {"include_reasoning": True},
        {"response_format": {"type": "json_object"}},
        {"logit_bias": {"50": 5}},
        {"min_p": 0.1},
        {"top_a": 0.1},
        {"repetition_penalty": 1.1},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"extra_body": {"never_heard_of": 1}},
        {"extra_headers": {"X-Mine": "1"}},
        {"service": "another"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_d1_whatever_changes_the_answer_asks_anew(server, make_client, changed):
    client = make_client()
    client.generate("Hello", n_samples=2)
    client.generate("Hello", n_samples=2, **changed)

    assert len(server.requests) == 4


def test_d1_another_server_is_another_answer(server, make_client):
    make_client().generate("Hello")
    make_client(base_url=server.url.replace("/api/v1", "/other/v1")).generate("Hello")

    assert len(server.requests) == 2


@pytest.mark.parametrize("cache", ["json", "sql"])
def test_d2_names_and_values_do_not_collide(server, make_client, cache):
    for model, settings in [("a/b:free", {}), ("a-bfree", {}), ("a/b:free", {"top_k": 40}), ("A/b:free", {})]:
        make_client(model=model, use_cache=cache).generate("Hello", **settings)

    assert len(server.requests) == 4


def test_d2_the_order_of_a_messages_keys_is_no_difference(server, make_client):
    client = make_client()
    client.generate([{"role": "user", "content": "Hello"}])
    client.generate([{"content": "Hello", "role": "user"}])

    assert len(server.requests) == 1


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])
def test_d3_an_answer_is_kept_while_others_are_under_way(server, make_client, cache):
    arrived = threading.Event()

    def reply(request):
        if request.json()["seed"] == 4:
            arrived.set()
            return Reply(delay=60)
        return None

    server.reply = reply
    client = make_client(use_cache=cache)
    stream = client.as_completed("Hello", n_samples=5)
    got = [next(stream) for _ in range(4)]
    arrived.wait(10)

    # Another client sees on disk what was handed out, while the run goes on.
    server.reply = None
    other = make_client(use_cache=cache)
    again = [r for r in other.generate("Hello", n_samples=4)]
    assert all(r.cached for r in again)
    assert {r.seed for r in got} == {r.seed for r in again}
    client.close()


def test_d4_a_failed_sample_is_never_silently_missing(server, make_client):
    server.reply = lambda r: Reply(status=500) if r.json()["seed"] == 1 else None
    with pytest.raises(SamplingError) as caught:
        make_client().generate("Hello", n_samples=3)

    assert [slot.seed for slot in caught.value.rollouts.slots] == [0, 1, 2]


def test_d5_order_is_that_of_the_numbers_wherever_they_came_from(server, make_client):
    client = make_client()
    client.generate("Hello", n_samples=2, seed=1)
    assert [r.seed for r in client.generate("Hello", n_samples=4)] == [0, 1, 2, 3]


def test_d6_a_wrong_key_ends_at_once(server, make_client):
    server.reply = lambda r: Reply(status=401, json={"error": {"code": 401, "message": "User not found."}})
    with pytest.raises(AuthenticationError, match="401"):
        make_client(max_retries=10, max_concurrency=1).generate("Hello", n_samples=100)

    assert len(server.requests) == 1


def test_d7_retry_after_is_obeyed(server, make_client):
    seen = itertools.count()
    server.reply = lambda r: Reply(status=429, headers={"Retry-After": "1"}) if next(seen) == 0 else None
    make_client(max_retries=3).generate("Hello")

    first, second = (request.received for request in server.requests)
    assert second - first >= 1.0


def test_d8_an_error_inside_a_200_is_tried_again(server, make_client):
    seen = itertools.count()

    def reply(request):
        if next(seen) == 0:
            return Reply(json={"error": {"code": 502, "message": "Provider returned error"}})
        return None

    server.reply = reply
    assert make_client(max_retries=3).generate("Hello")[0].attempts == 2


def test_d9_concurrency_is_bounded_and_connections_are_reused(server, make_client):
    make_client(max_concurrency=5).generate("Hello", n_samples=60)

    assert server.peak_in_flight <= 5
    assert server.connections <= 5


def test_d10_settings_of_one_call_take_effect(server, make_client, tmp_path):
    client = make_client()
    client.generate("Hello", use_cache="sql")
    assert (tmp_path / "cache" / "rollouts.sqlite").exists()

    # One request a minute: the second of a burst of two would wait for a minute, so it is cut short by its deadline.
    # (With another key: what was sent with the first one counts too.)
    stream = client.as_completed("Slow", n_samples=5, requests_per_minute=1, api_key="sk-other")
    next(stream)
    sent = len(server.requests)
    stream.close()
    assert sent == 2


def test_d11_calls_of_several_event_loops_share_a_limit(make_client):
    client = make_client(requests_per_minute=1000)
    for i in range(3):
        assert len(asyncio.run(client.agenerate(f"Hello {i}", n_samples=2))) == 2


def test_d12_our_own_settings_are_not_sent(server, make_client):
    make_client().generate("Hello", progress_bar=False, max_concurrency=3, timeout=50, on_error="keep")
    assert set(server.requests[0].json()) == {"model", "messages", "seed"}


def test_d13_a_bare_tag_at_the_end_is_legal(server, make_client):
    make_client(model="qwen/qwen3-32b").generate("Hello\n<think>", provider={"only": ["deepinfra"]})
    assert server.requests[0].json()["messages"][-1]["role"] == "assistant"


def test_d13_a_message_list_continues_its_last_turn(server, make_client):
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "<think>\nI am"}]
    response = make_client(model="qwen/qwen3-32b").generate(messages, provider={"only": ["deepinfra"]})[0]

    assert server.requests[0].json()["messages"][-1]["content"] == "<think>\nI am"
    assert response.thought.startswith("I am")


def test_d14_a_truncated_entry_is_asked_again(server, make_client, tmp_path):
    make_client().generate("Hello")
    [path] = (tmp_path / "cache").rglob("seed_*.json")
    path.write_bytes(path.read_bytes()[:50])

    with pytest.warns(RolloutsWarning, match=path.name):
        response = make_client().generate("Hello")[0]
    assert not response.cached
    assert make_client().generate("Hello")[0].cached


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])
def test_d15_a_hit_is_what_the_miss_was(server, make_client, cache):
    server.reply = lambda r: Reply(
        json=chat_reply(content="", reasoning="I am still thin", finish_reason="length", seed=None)
    )
    first = make_client(use_cache=cache, model="qwen/qwen3-32b").generate("Hello")[0]
    again = make_client(use_cache=cache, model="qwen/qwen3-32b").generate("Hello")[0]

    assert again.cached
    assert first.completed_reasoning is False
    assert again.to_dict() | {"cached": False} == first.to_dict()
    assert again.raw == first.raw


@pytest.mark.parametrize("cache", ["json", "sql"])
def test_d15_reading_writes_nothing(server, make_client, tmp_path, cache):
    make_client(use_cache=cache).generate("Hello", n_samples=3)

    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in (tmp_path / "cache").rglob("*") if p.is_file()}

    before = state()
    time.sleep(0.02)  # so that a write would show in the time stamps
    assert make_client(use_cache=cache).generate("Hello", n_samples=3).n_cached == 3
    after = {path: seen for path, seen in state().items() if not path.name.endswith(("-shm", "-wal"))}
    assert after == {path: seen for path, seen in before.items() if not path.name.endswith(("-shm", "-wal"))}


def test_d16_a_thought_can_be_injected_again(server, make_client):
    server.reply = lambda r: Reply(json=chat_reply(content="50", reasoning="0 = 50.", seed=None))
    client = make_client(model="qwen/qwen3-32b", provider={"only": ["deepinfra"]})
    response = client.generate("What is 5*10?\n<think>\n5*1")[0]
    assert response.thought == "5*10 = 50."
    assert response.full == "0 = 50.</think>50"

    client.generate(f"What is 5*10?\n<think>\n{response.thought}")
    first, second = (request.json()["messages"][-1]["content"] for request in server.requests)
    assert second == first + "0 = 50."


def test_d17_nothing_is_printed(server, make_client, capsys):
    make_client().generate("Hello", n_samples=2)
    assert capsys.readouterr() == ("", "")


def test_no_file_holds_the_key(server, make_client, tmp_path):
    for cache in ("json", "sql", "requests-cache"):
        make_client(use_cache=cache, cache_dir=tmp_path / cache).generate("Hello", n_samples=2)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert len(written) >= 4
    assert not [path for path in written if b"canary" in path.read_bytes()]
    assert "canary" not in json.dumps([str(path) for path in written])
