"""`executor="processes"`: the same client, its requests sent by worker processes."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from rollouts.engine.core import CLAIMS
from rollouts.exceptions import (
    AuthenticationError,
    BadRequest,
    BudgetExceeded,
    ConfigError,
    RolloutsError,
    RolloutsWarning,
    SamplingError,
)
from rollouts.hookspecs import hookimpl
from rollouts.testing import Reply, chat_reply
from rollouts.typing import Outcome


class Counting:
    """A limiter of this process that lets two requests be in flight."""

    def __init__(self):
        self.lock = threading.Condition()
        self.in_flight = self.peak = self.granted = 0
        self.settled: list[tuple[Outcome, object]] = []

    def acquire(self, request, stop):
        with self.lock:
            while not self.lock.wait_for(lambda: self.in_flight < 2, 0.1):
                if stop.is_set():
                    return None
            self.in_flight += 1
            self.granted += 1
            self.peak = max(self.peak, self.in_flight)
        return self

    def settle(self, outcome, usage):
        with self.lock:
            self.in_flight -= 1
            self.settled.append((outcome, usage))
            self.lock.notify_all()

    def cancel(self):
        with self.lock:
            self.in_flight -= 1
            self.lock.notify_all()


def eventually(condition, seconds=20.0):
    """Wait for what another process does."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def stored(folder: Path) -> int:
    return len(list(Path(folder).rglob("seed_*.json")))


# ── As with threads ──


def test_every_sample_comes_once_in_number_order_and_is_stored(server, client, workers):
    rollouts = client.generate("Once", n_samples=60)

    assert [r.seed for r in rollouts] == list(range(60))
    assert all(r.content.startswith(f"Sample {r.seed}:") for r in rollouts)
    assert sorted(request.json()["seed"] for request in server.requests) == list(range(60))
    assert len(workers()) == 2

    again = client.generate("Once", n_samples=70)
    assert again.n_cached == 60
    assert list(again[:60]) == list(rollouts)
    assert len(server.requests) == 70


def test_no_more_requests_are_in_flight_than_in_threads(server, client):
    server.hold()
    done = threading.Thread(target=client.generate, args=("In flight", 40))
    done.start()
    server.wait_for(8)
    server.release()
    done.join()

    assert server.peak_in_flight == 8


def test_a_call_may_have_a_smaller_limit(server, client):
    client.generate("One at a time", n_samples=6, max_concurrency=1)

    assert server.peak_in_flight == 1
    assert len(server.requests) == 6


def test_samples_stream_while_others_are_under_way(server, client):
    server.reply = lambda request: Reply(hang=True) if request.json()["seed"] == 3 else None
    stream = client.as_completed("Stream", n_samples=6, use_cache=False)
    got = [next(stream).seed for _ in range(5)]
    stream.close()

    assert sorted(got) == [0, 1, 2, 4, 5]


def test_thousands_of_small_async_calls_share_the_workers(server, client):
    async def ask():
        return await asyncio.gather(*(client.agenerate(f"Gathered {i}") for i in range(300)))

    assert [len(rollouts) for rollouts in asyncio.run(ask())] == [1] * 300
    assert len(server.requests) == 300
    assert len(CLAIMS) == 0


def test_two_calls_that_want_the_same_samples_send_them_once(server, client):
    server.hold()
    got = []
    threads = [threading.Thread(target=lambda: got.append(client.generate("Shared", n_samples=5))) for _ in range(2)]
    for thread in threads:
        thread.start()
    server.wait_for(5)
    server.release()
    for thread in threads:
        thread.join()

    assert list(got[0]) == list(got[1])
    assert len(server.requests) == 5


def test_observers_hear_of_samples_and_retries(server, make_client):
    heard = []

    class Observer:
        @hookimpl
        def rollouts_on_retry(self, event):
            heard.append((event.run_id, event.seed, event.attempt))

        @hookimpl
        def rollouts_on_run_end(self, event):
            heard.append((event.run_id, event.answered, event.requests, event.retries))

        def __reduce__(self):
            return (Silent, ())

    seen = set()

    def once_503(request):
        seed = request.json()["seed"]
        if seed == 2 and seed not in seen:
            seen.add(seed)
            return Reply(status=503, headers={"retry-after": "0"}, json={"error": {"code": 503, "message": "later"}})
        return None

    server.reply = once_503
    make_client(plugins=[Observer()], max_retries=2).generate("Heard", n_samples=4)

    (retry, end) = heard
    assert retry[1:] == (2, 1)
    assert end == (retry[0], 4, 5, 1)


class Silent:
    """What a worker gets in place of the observer of a test."""


def test_a_bad_key_stops_the_run_and_is_raised_as_itself(server, client):
    server.reply = lambda request: Reply(status=401, json={"error": {"code": 401, "message": "No auth"}})
    with pytest.raises(AuthenticationError, match="401") as caught:
        client.generate("Unknown key", n_samples=200)

    assert len(server.requests) < 30
    assert len(caught.value.rollouts.slots) == 200
    assert {failure.kind for failure in caught.value.rollouts.failures} <= {"failed", "not_sent", "cancelled"}
    assert len(CLAIMS) == 0


def test_a_refused_prompt_stops_alone(server, client):
    def answer(request):
        bad = "bad" in request.json()["messages"][-1]["content"]
        return Reply(status=400, json={"error": {"code": 400, "message": "no"}}) if bad else None

    server.reply = answer
    with pytest.raises(SamplingError) as caught:
        client.generate_many(["good prompt", "bad prompt"], n_samples=30)

    good, bad = caught.value.rollouts
    assert len(good) == 30
    assert len(bad) == 0
    assert {type(failure.error) for failure in bad.failures} == {BadRequest}
    assert sum("bad" in r.json()["messages"][-1]["content"] for r in server.requests) < 30


def test_a_budget_is_kept_for_all_workers_together(server, client):
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    server.reply = lambda request: Reply(json=chat_reply("x", seed=request.json()["seed"], usage=usage))
    with pytest.raises(BudgetExceeded) as caught:
        client.generate("Dear", n_samples=200, max_tokens=10, max_total_tokens=400, use_cache=False)

    answered = len(caught.value.rollouts)
    assert 8 <= answered <= 40
    assert len(server.requests) == answered


def test_a_limiter_of_this_process_grants_every_request_of_the_workers(server, client):
    limiter = Counting()
    client.generate("Limited", n_samples=20, limiter=limiter)

    assert limiter.granted == 20
    assert limiter.peak == 2
    assert server.peak_in_flight <= 2
    assert limiter.in_flight == 0
    assert {outcome.kind for outcome, _ in limiter.settled} == {"ok"}
    assert all(usage is not None for _, usage in limiter.settled)


def test_what_cannot_be_stored_is_returned_with_a_warning(server, client, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/test-model").write_text("in the way")
    with pytest.warns(RolloutsWarning, match="cannot keep answers"):
        rollouts = client.generate("Unkept", n_samples=3, cache_dir=tmp_path / "full")

    assert len(rollouts) == 3


# ── The key, and what travels ──


def test_the_key_travels_in_the_environment_alone(server, make_client, workers):
    client = make_client()
    rollouts = client.generate("Secret", n_samples=4)
    key = client.settings.api_key.reveal()

    assert {r.headers["authorization"] for r in server.requests} == {f"Bearer {key}"}
    for pid in workers():
        assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    call = client._resources.call(client._resources.resolve(client.settings), 8)
    assert key.encode() not in call.recipe
    assert key not in repr(call)
    assert key.encode() not in pickle.dumps(rollouts)


def test_two_keys_get_workers_of_their_own(server, client):
    client.generate("Two keys", n_samples=2, api_key="sk-another")
    client.generate("Two keys more", n_samples=2)

    keys = {request.headers["authorization"] for request in server.requests}
    assert len(keys) == 2
    assert "Bearer sk-another" in keys


def test_a_password_among_options_reaches_the_workers_by_their_environment(make_client, tmp_path, monkeypatch, workers):
    (tmp_path / "vaults.py").write_text(
        textwrap.dedent(
            """
            from rollouts.hookspecs import hookimpl
            from rollouts.testing import FakeAdapter
            from rollouts.typing import AdapterSpec

            def vault(options):
                return FakeAdapter([f"{options.options['password'][::-1]} {options.options['floor']}"])

            class Plugin:
                @hookimpl
                def rollouts_register_adapters(self):
                    return [AdapterSpec(name="vault", factory=vault, key_required=False, http=False)]
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import vaults

    options = {"password": "canary-of-options", "floor": 3}
    client = make_client(adapter="vault", base_url=None, plugins=[vaults.Plugin()], adapter_options=options)
    rollouts = client.generate("Open", n_samples=4)

    assert {response.content for response in rollouts} == {"snoitpo-fo-yranac 3"}
    assert client.settings.api_key is not None
    for pid in workers():
        assert b"canary-of-options" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    call = client._resources.call(client._resources.resolve(client.settings), 8)
    assert b"canary-of-options" not in call.recipe
    assert "canary-of-options" not in repr(call)


def test_a_plugin_of_an_importable_module_works_in_the_workers(server, make_client, tmp_path, monkeypatch):
    (tmp_path / "parrots.py").write_text(
        textwrap.dedent(
            """
            from rollouts.hookspecs import hookimpl
            from rollouts.results import Response
            from rollouts.typing import AdapterSpec, WireReply, WireRequest
            import os

            class Parrot:
                service = "parrot"
                def __init__(self, options): pass
                def encode(self, conversation, settings):
                    return WireRequest("parrot:", "chat", {"messages": list(conversation.messages)}, "seed",
                                       conversation, settings.template)
                def send(self, request, number, stop):
                    return WireReply(200, {}, str(os.getpid()).encode())
                def classify(self, reply):
                    from rollouts.typing import Outcome
                    return Outcome("ok", status=200)
                def decode(self, request, reply):
                    return Response(reply.body.decode())

            class Plugin:
                @hookimpl
                def rollouts_register_adapters(self):
                    return [AdapterSpec(name="parrot", factory=Parrot, key_required=False, http=False)]
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import parrots

    client = make_client(adapter="parrot", base_url=None, api_key=None, plugins=[parrots.Plugin()])
    pids = {int(response.content) for response in client.generate("Who?", n_samples=40)}

    assert os.getpid() not in pids


def test_what_cannot_travel_is_refused_before_anything_is_sent(server, make_client):
    class Local:
        pass

    with pytest.raises(ConfigError, match="plugins= cannot be sent to worker processes"):
        make_client(plugins=[Local()]).generate("Hello")
    assert not server.requests


def test_transforms_may_be_any_function_because_they_act_here(server, make_client):
    pid = os.getpid()

    def here(conversation):
        assert os.getpid() == pid
        return conversation

    assert len(make_client(transforms=[here]).generate("Transformed", n_samples=2)) == 2


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": "2"}, {"wokers": 2}])
def test_bad_options_are_refused(make_client, options):
    with pytest.raises(ConfigError, match="executor_options"):
        make_client(executor_options=options).generate("Hello")


# ── Losing workers ──


def test_a_killed_worker_costs_no_stored_sample_and_its_shard_is_finished_elsewhere(
    server, make_client, workers, tmp_path
):
    others = set(workers())
    client = make_client()
    client.generate("First", n_samples=20)
    server.reset()
    server.hold()
    got = []
    thread = threading.Thread(target=lambda: got.append(client.generate("First", n_samples=60)))
    thread.start()
    server.wait_for(8)
    os.kill((set(workers()) - others).pop(), signal.SIGKILL)
    server.wait_for(12)  # what it had in hand is asked for again
    server.release()
    thread.join()

    assert [r.seed for r in got[0]] == list(range(60))
    assert got[0].n_cached == 20
    asked = sorted(request.json()["seed"] for request in server.requests)
    assert set(asked) == set(range(20, 60))
    assert len(asked) <= 44
    assert stored(tmp_path / "cache") == 60


def test_a_sample_that_was_stored_before_its_worker_died_is_not_asked_again(server, make_client, workers):
    others = set(workers())
    client = make_client(max_concurrency=2)
    server.reply = lambda request: (
        Reply(hang=True) if request.json()["seed"] == 1 and len(server.requests) < 3 else None
    )
    client.generate("Warm", n_samples=2, seed=10)
    server.reset()
    stream = client.as_completed("Stored", n_samples=2)
    assert next(stream).seed == 0
    for pid in set(workers()) - others:
        os.kill(pid, signal.SIGKILL)
    server.reply = None

    assert [response.seed for response in stream] == [1]
    assert [request.json()["seed"] for request in server.requests].count(0) == 1


def test_a_sample_that_kills_every_worker_fails_and_the_others_are_answered(server, make_client, tmp_path, monkeypatch):
    (tmp_path / "killers.py").write_text(
        textwrap.dedent(
            """
            import os, signal
            from rollouts.hookspecs import hookimpl
            from rollouts.results import Response
            from rollouts.typing import AdapterSpec, Outcome, WireReply, WireRequest

            class Killer:
                service = "killer"
                def __init__(self, options): pass
                def encode(self, conversation, settings):
                    return WireRequest("killer:", "chat", {"messages": list(conversation.messages)}, "seed",
                                       conversation, settings.template)
                def send(self, request, number, stop):
                    if number == 5:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return WireReply(200, {}, b"alive")
                def classify(self, reply): return Outcome("ok", status=200)
                def decode(self, request, reply): return Response(reply.body.decode())

            class Plugin:
                @hookimpl
                def rollouts_register_adapters(self):
                    return [AdapterSpec(name="killer", factory=Killer, key_required=False, http=False)]
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import killers

    client = make_client(adapter="killer", base_url=None, api_key=None, plugins=[killers.Plugin()], max_concurrency=4)
    with pytest.warns(RolloutsWarning, match="of 12 samples"):
        rollouts = client.generate("Live?", n_samples=12, on_error="keep")

    # One that was in hand beside it each time cannot be told from it; at four at once that is one other at most.
    failed = {failure.seed for failure in rollouts.failures}
    assert 5 in failed
    assert len(failed) <= 2
    assert {r.seed for r in rollouts} == set(range(12)) - failed
    assert all("3 worker processes were lost" in str(failure.error) for failure in rollouts.failures)


def test_a_worker_that_cannot_begin_is_told(server, make_client, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RolloutsError, match=r"no worker of the executor can be had.*ended with code 1"):
        make_client().generate("Hello", n_samples=3)
    assert len(CLAIMS) == 0


def test_closing_ends_the_workers(server, make_client, workers):
    before = set(workers())
    client = make_client()
    client.generate("Hello", n_samples=4)
    mine = set(workers()) - before
    assert len(mine) == 2
    client.close()

    assert not mine & set(workers())


# ── Signals, in a real program ──

PROGRAM = """
import sys, threading
from rollouts import RolloutsClient
client = RolloutsClient("test/model", adapter="openrouter", base_url={url!r}, api_key="sk-x", cache_dir={cache!r},
                        max_retries=0, progress_bar=False, max_concurrency=8, executor="processes",
                        executor_options={{"workers": 2}})
"""


def start(server, tmp_path, code):
    program = PROGRAM.format(url=server.url, cache=str(tmp_path / "cache")) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


INTERRUPTED = """
try:
    client.generate("Hello", n_samples=100)
except KeyboardInterrupt as error:
    print("interrupted", len(error.rollouts), flush=True)
"""


def test_after_ctrl_c_answers_in_flight_are_stored_and_nothing_new_starts(server, tmp_path, workers):
    server.hold()
    program = start(server, tmp_path, INTERRUPTED)
    server.wait_for(8)
    # As a terminal does it: to the whole foreground group, of which workers are no part.
    program.send_signal(signal.SIGINT)
    time.sleep(0.3)  # the stop must reach the workers before the answers do; nothing can be seen of it from outside
    server.release()
    out, err = program.communicate(timeout=20)

    assert out.split() == ["interrupted", "8"], err
    assert program.returncode == 0
    assert len(server.requests) == 8
    assert stored(tmp_path / "cache") == 8


def test_a_second_ctrl_c_ends_the_program_at_once(server, tmp_path, workers):
    server.hold()
    program = start(server, tmp_path, "client.generate('Hello', n_samples=100)")
    server.wait_for(8)
    pids = workers(program.pid)
    program.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two signals at one moment would be one
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=4)  # less than the grace

    assert program.returncode != 0
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_workers_end_with_a_killed_program(server, tmp_path, workers):
    server.reply = lambda request: Reply(hang=True) if request.json()["seed"] >= 20 else None
    program = start(server, tmp_path, "client.generate('Hello', n_samples=100)")
    server.wait_for(28)
    pids = workers(program.pid)
    assert len(pids) == 2
    program.kill()
    program.communicate(timeout=20)

    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert stored(tmp_path / "cache") == 20


def test_a_forgotten_client_does_not_keep_the_program_alive(server, tmp_path, workers):
    program = start(server, tmp_path, "client.generate('Hello', n_samples=8)\nprint(len(sys.argv), flush=True)")
    out, err = program.communicate(timeout=20)

    assert (out.strip(), err, program.returncode) == ("1", "", 0)
