"""Faults of servers, networks and machines met by whole runs: nothing hangs, nothing is lost, nothing is mixed up."""

from __future__ import annotations

import collections
import itertools
import subprocess
import sys
import threading
import time

import pytest

from rollouts import Failure, Response, RolloutsClient
from rollouts.engine.scopes import Park
from rollouts.exceptions import DeadlineExceeded
from rollouts.testing import LoopbackServer, Reply, chat_reply

PROMPT = "What is 2+2?"


@pytest.fixture(autouse=True)
def _short_parks(monkeypatch):
    # A service that names no time is left alone for a second first; here for less, so that the tests do not wait.
    monkeypatch.setattr(Park, "FIRST", 0.02)


@pytest.fixture
def make_client(tmp_path):
    made = []

    def make(server, **settings):
        given = {"api_key": "sk-x", "progress_bar": False, "max_concurrency": 16, "cache_dir": tmp_path / "cache"}
        made.append(RolloutsClient("test/model", adapter="openrouter", base_url=server.url, **given | settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


def first_times(choose):
    """Answers the first request for each seed with `choose(seed)`, and the others as usual."""
    seen = collections.Counter()

    def reply(request):
        seed = request.json()["seed"]
        seen[seed] += 1
        return choose(seed) if seen[seed] == 1 else None

    return reply


def all_there(rollouts, n):
    assert [sample.seed for sample in rollouts] == list(range(n))
    assert all(sample.content == f"Sample {sample.seed}: Four." for sample in rollouts)
    return True


# ── Servers ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_stops_and_comes_back_costs_no_sample(make_client):
    server = LoopbackServer()
    server.start()
    got = []
    client = make_client(server)
    run = threading.Thread(target=lambda: got.append(client.generate(PROMPT, n_samples=300)))
    run.start()
    server.wait_for(60)
    server.stop()
    with server:
        run.join(60)
        assert got, "the run hangs"
        assert all_there(got[0], 300)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}])
def test_a_storm_of_429_parks_everybody_and_passes(make_client, headers):
    storm = itertools.count()
    refusal = Reply(status=429, json={"error": {"code": 429, "message": "slow down"}}, headers=headers)
    with LoopbackServer(lambda request: refusal if next(storm) < 19 else None) as server:
        server.hold()
        got = []
        client = make_client(server)
        run = threading.Thread(target=lambda: got.append(client.generate(PROMPT, n_samples=100)))
        run.start()
        server.wait_for(16)  # all who may ask have asked: then one at a time finds out whether it is over
        server.release()
        run.join(60)
        assert got, "the run hangs"
        assert all_there(got[0], 100)
        assert len(server.requests) == 119


def test_each_error_of_a_server_or_gateway_is_asked_again(make_client):
    html = b"<html><head><title>Bad gateway</title></head></html>"
    errors = [
        Reply(status=500, json={"error": {"code": 500, "message": "internal"}}),
        Reply(status=502, body=html, headers={"Content-Type": "text/html"}),
        Reply(status=503, json={"error": {"code": 503, "message": "no provider"}}),
        Reply(status=524, body=html, headers={"Content-Type": "text/html"}),
        Reply(status=529, json={"error": {"code": 529, "message": "overloaded"}}),
        Reply(json={"error": {"code": 502, "message": "the provider failed"}}),
    ]
    with LoopbackServer(first_times(lambda seed: errors[seed % len(errors)])) as server:
        rollouts = make_client(server).generate(PROMPT, n_samples=60)
        assert all_there(rollouts, 60)
        assert {sample.attempts for sample in rollouts} == {2}
        assert len(server.requests) == 120


def test_what_never_gets_better_ends_as_a_failure_and_is_not_stored(make_client):
    with LoopbackServer(lambda request: Reply(status=503) if request.json()["seed"] % 2 else None) as server:
        client = make_client(server, max_retries=1, on_error="keep")
        with pytest.warns(UserWarning, match="10 of 20"):
            rollouts = client.generate(PROMPT, n_samples=20)
        assert [type(slot) for slot in rollouts.slots] == [Response, Failure] * 10
        assert len(server.requests) == 30
        server.reply = None
        assert all_there(client.generate(PROMPT, n_samples=20), 20)
        assert len(server.requests) == 40


def test_servers_that_never_answer_end_with_the_deadline_and_one_more_try(make_client):
    with LoopbackServer(lambda request: Reply(hang=True)) as server:
        client = make_client(server, timeout=0.2, on_error="keep")
        with pytest.warns(UserWarning, match="8 of 8"):
            rollouts = client.generate(PROMPT, n_samples=8)
        assert all(isinstance(failure.error, DeadlineExceeded) for failure in rollouts.failures)
        assert len(server.requests) == 16


def test_ten_megabyte_answers_are_kept_whole(make_client):
    def reply(request):
        return Reply(json=chat_reply(content="x" * 10_000_000, seed=request.json()["seed"]), gzip=True)

    with LoopbackServer(reply) as server:
        client = make_client(server)
        for cached in (False, True):
            rollouts = client.generate(PROMPT, n_samples=4)
            assert [(s.content[:9], len(s.content), s.cached) for s in rollouts] == [
                (f"Sample {i}:", 10_000_010, cached) for i in range(4)
            ]


# ── No sample from another's answer ─────────────────────────────────────────────────────────────────────

SPOILT = [
    Reply(reset="before"),
    Reply(json=chat_reply(seed=999_999), reset="in-body"),
    Reply(json=chat_reply(seed=999_999), truncate=9),
    Reply(json=chat_reply(seed=999_999), truncate=9, chunked=True),
    Reply(json=chat_reply(seed=999_999), content_length=20),
    Reply(body=b'{"choices": [', headers={"Content-Type": "application/json"}),
    Reply(body=b"\xff\xfe", close=True),
    Reply(status=500, gzip=True, json={"error": {"code": 500, "message": "x"}}),
    Reply(json={"choices": []}, chunked=True),
]


def test_thousands_of_samples_through_faults_are_each_their_own(make_client):
    with LoopbackServer(first_times(lambda seed: SPOILT[seed % 27] if seed % 27 < len(SPOILT) else None)) as server:
        client = make_client(server, max_concurrency=64, use_cache="sql")
        rollouts = client.generate(PROMPT, n_samples=3000)
        assert all_there(rollouts, 3000)
        sent = len(server.requests)
        again = client.generate(PROMPT, n_samples=3000)
        assert all_there(again, 3000)
        assert all(sample.cached for sample in again)
        assert len(server.requests) == sent
        first = {request.json()["seed"] for request in server.requests}
        assert first == set(range(3000))


# ── Machines ────────────────────────────────────────────────────────────────────────────────────────────


def test_jumps_of_the_wall_clock_matter_to_nothing(make_client, monkeypatch):
    jumps = itertools.cycle([0.0, 86_400.0, -86_400.0, 1e9])
    real = time.time
    # The machine's clock is not under test, and cannot be set here otherwise.
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    refusal = Reply(status=429, json={"error": {"code": 429, "message": "slow"}}, headers={"Retry-After": "0"})
    with LoopbackServer(first_times(lambda seed: refusal if seed % 10 == 0 else None)) as server:
        rollouts = make_client(server, requests_per_minute=100_000, timeout=30).generate(PROMPT, n_samples=100)
        assert all_there(rollouts, 100)
        assert all(0 <= sample.latency < 30 for sample in rollouts)


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
@pytest.mark.parametrize(("limit", "concurrency"), [(2000, 512), (64, 128)])
def test_a_bound_on_open_files_is_kept_or_survived(tmp_path, limit, concurrency):
    code = """
import os, resource, sys
from rollouts import RolloutsClient
url, cache, limit, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
client = RolloutsClient("test/model", adapter="openrouter", base_url=url, api_key="sk-x", cache_dir=cache,
                        progress_bar=False, max_concurrency=concurrency)
client.generate("warm")
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
with client:
    rollouts = client.generate("What is 2+2?", n_samples=1024)
assert [s.content for s in rollouts] == [f"Sample {i}: Four." for i in range(1024)]
print(len(os.listdir("/dev/fd")))
"""
    with LoopbackServer() as server:
        arguments = [server.url, str(tmp_path / "cache"), str(limit), str(concurrency)]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        assert int(done.stdout) < 20
        assert server.connections <= 1 + (concurrency if limit > 600 else 1024)
