"""Ctrl-C, early exits, closing and the interpreter's end, with real children, signals and sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollouts import RolloutsClient
from rollouts.caches import json_files
from rollouts.engine.claims import CLAIMS
from rollouts.engine.run import Run
from rollouts.engine.workers import WorkerPool
from rollouts.exceptions import CacheError, RolloutsError, TransportError
from rollouts.testing.replies import default_reply
from rollouts.testing.server import LoopbackServer, Reply


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


def late(seconds):
    """Answers as usual, but late."""
    return lambda request: dataclasses.replace(default_reply(request), delay=seconds)


def slow_above(seed):
    """Samples from `seed` on are answered after a minute, the others at once."""
    return lambda request: late(60)(request) if request.json()["seed"] >= seed else None


def client_of(server, tmp_path, **settings):
    given = {"max_retries": 0, "progress_bar": False, **settings}
    return RolloutsClient(
        "test/model", adapter="openrouter", base_url=server.url, api_key="sk-x", cache_dir=tmp_path / "cache", **given
    )


PROLOGUE = """
import signal, sys, threading, time
from rollouts import RolloutsClient
client = RolloutsClient("test/model", adapter="openrouter", base_url={url!r}, api_key="sk-x", cache_dir={cache!r},
                        max_retries={retries}, progress_bar=False, max_concurrency=64)
"""


def start(server, tmp_path: Path, code: str, *, retries: int = 0) -> subprocess.Popen[str]:
    prologue = PROLOGUE.format(url=server.url, cache=str(tmp_path / "cache"), retries=retries)
    return subprocess.Popen(
        [sys.executable, "-c", prologue + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )


GENERATE = """
    try:
        client.generate("Hello", n_samples=64)
    except KeyboardInterrupt as stop:
        print(len(stop.rollouts), stop.rollouts.n_requested, flush=True)
        raise
"""


def ended(child, within: float) -> tuple[str, str, float]:
    began = time.monotonic()
    out, err = child.communicate(timeout=within)
    return out, err, time.monotonic() - began


def test_the_first_interrupt_keeps_what_was_answered(server, tmp_path):
    server.reply = slow_above(40)
    child = start(server, tmp_path, GENERATE)
    server.wait_for(64)
    child.send_signal(signal.SIGINT)
    out, err, took = ended(child, within=20)

    assert took < 9
    assert out.split() == ["40", "64"]
    assert "KeyboardInterrupt" in err
    assert child.returncode == -signal.SIGINT
    server.reply = None
    with client_of(server, tmp_path) as client:
        assert client.generate("Hello", n_samples=64).n_cached == 40


def test_answers_in_flight_get_their_grace(server, tmp_path):
    server.reply = late(1.5)
    child = start(server, tmp_path, GENERATE)
    server.wait_for(64)
    child.send_signal(signal.SIGINT)
    out, _, _ = ended(child, within=20)

    assert out.split() == ["64", "64"]


def test_the_second_interrupt_ends_at_once(server, tmp_path):
    server.reply = late(60)
    child = start(server, tmp_path, GENERATE)
    server.wait_for(64)
    child.send_signal(signal.SIGINT)
    time.sleep(0.5)  # two signals at once would be one
    child.send_signal(signal.SIGINT)
    _, _, took = ended(child, within=20)

    assert took < 2.5


@pytest.mark.parametrize(
    ("reply", "settings"),
    [
        (None, "requests_per_minute=1"),
        (Reply(status=503, headers={"Retry-After": "50"}), "max_retries=5"),
        (Reply(status=429, headers={"Retry-After": "50"}), "max_retries=5"),
    ],
    ids=["limit", "retry", "parked"],
)
def test_a_wait_ends_with_the_interrupt(server, tmp_path, reply, settings):
    server.reply = None if reply is None else lambda request: reply
    child = start(server, tmp_path, f"client.generate('Hello', n_samples=8, {settings})")
    server.wait_for(1)
    time.sleep(0.5)  # the child must be in its wait; nothing can be seen of it from outside
    child.send_signal(signal.SIGINT)
    _, err, took = ended(child, within=30)

    assert took < 3
    assert "KeyboardInterrupt" in err


def test_a_forgotten_client_does_not_keep_the_interpreter(server, tmp_path):
    child = start(server, tmp_path, "client.generate('Hello', n_samples=3)")
    _, err, took = ended(child, within=20)

    assert (child.returncode, err) == (0, "")
    assert took < 10


def test_the_interpreter_ends_while_a_thread_is_asking(server, tmp_path):
    server.reply = late(60)
    code = """
        threading.Thread(target=client.generate, args=("Hello", 8), daemon=True).start()
        while not client._resources.engine._runs: time.sleep(0.01)
        time.sleep(0.5)
    """
    child = start(server, tmp_path, code)
    server.wait_for(8)
    _, _, took = ended(child, within=20)

    assert took < 5


def test_leaving_the_loop_early_withdraws_the_rest(server, tmp_path):
    with client_of(server, tmp_path, max_concurrency=4) as client:
        for _ in client.as_completed((f"Prompt {i}" for i in range(10_000)), n_samples=1):
            break
        sent = len(server.requests)
    assert sent < 600
    assert len(CLAIMS) == 0


def test_what_is_in_flight_when_the_loop_is_left_is_stored(server, tmp_path):
    client = client_of(server, tmp_path, max_concurrency=4)
    answered = threading.Event()

    def reply(request):
        if request.json()["seed"] == 0:
            return None
        answered.set()
        return late(0.5)(request)

    server.reply = reply
    for _ in client.as_completed("Hello", n_samples=4):
        break
    server.wait_for(4)
    files = tmp_path / "cache"
    until = time.monotonic() + 10
    while len(list(files.rglob("seed_*.json"))) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    client.close()
    assert len(list(files.rglob("seed_*.json"))) == 4


def test_closing_ends_a_run_of_another_thread(server, tmp_path):
    server.reply = late(60)
    client = client_of(server, tmp_path)
    caught = []

    def ask():
        try:
            client.generate("Hello", n_samples=4)
        except RolloutsError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for(4)
    client.close()
    thread.join(10)

    assert not thread.is_alive()
    assert "closed" in str(caught[0])
    assert caught[0].rollouts.n_requested == 4
    assert len(CLAIMS) == 0


def test_a_cancelled_task_withdraws_its_samples(server, tmp_path):
    server.reply = late(0.3)
    client = client_of(server, tmp_path, max_concurrency=2)

    async def ask():
        task = asyncio.create_task(client.agenerate("Hello", n_samples=50))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    client.close()
    assert len(server.requests) <= 4
    assert len(CLAIMS) == 0


def test_when_the_first_caller_leaves_the_second_takes_over(server, tmp_path):
    first, second = client_of(server, tmp_path, max_concurrency=1), client_of(server, tmp_path)
    server.hold()
    stream = first.as_completed("Hello", n_samples=6)
    opener = threading.Thread(target=lambda: next(stream))
    opener.start()
    server.wait_for(1)
    results = []
    waiter = threading.Thread(target=lambda: results.append(second.generate("Hello", n_samples=6)))
    waiter.start()
    while len(CLAIMS) < 6:
        time.sleep(0.01)
    server.release()
    opener.join()
    stream.close()
    waiter.join(20)
    first.close()
    second.close()

    assert len(results[0]) == 6
    assert len({request.json()["seed"] for request in server.requests}) == 6


def test_when_the_first_caller_fails_the_second_asks_itself(server, tmp_path):
    first, second = client_of(server, tmp_path), client_of(server, tmp_path)
    seen = []

    def reply(request):
        seen.append(request)
        return Reply(status=500) if len(seen) == 1 else None

    server.reply = reply
    server.hold()
    results, failures = [], []

    def ask(client):
        try:
            results.append(client.generate("Hello"))
        except RolloutsError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(client,)) for client in (first, second)]
    threads[0].start()
    server.wait_for(1)
    threads[1].start()
    time.sleep(0.2)  # the second must have parked; its place in the queue is not visible from here
    server.release()
    for thread in threads:
        thread.join(20)
    first.close()
    second.close()

    assert len(results) == len(failures) == 1
    assert len(server.requests) == 2


def test_a_server_that_is_down_is_told_soon(tmp_path):
    client = RolloutsClient("m", base_url="http://127.0.0.1:9/v1", cache_dir=tmp_path, progress_bar=False)
    with pytest.raises(TransportError, match="refused") as caught:
        client.generate("Hello", n_samples=200)
    client.close()

    assert caught.value.rollouts.n_requested == 200
    assert caught.value.rollouts.failures[-1].kind == "not_sent"


def test_a_call_goes_on_after_an_interrupt_while_workers_were_starting(server, tmp_path, monkeypatch):
    interrupts = iter([KeyboardInterrupt])
    submit = ThreadPoolExecutor.submit

    def interrupted(self, *args):
        for interrupt in interrupts:
            raise interrupt
        return submit(self, *args)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    client = client_of(server, tmp_path, max_concurrency=2)
    with pytest.raises(KeyboardInterrupt):
        client.generate("What is 2+2?", 4)

    later = []
    caller = threading.Thread(target=lambda: later.append(client.generate("What is 3+3?", 4)), daemon=True)
    caller.start()
    caller.join(20)
    client.close()

    assert [len(rollouts) for rollouts in later] == [4]
    assert len(CLAIMS) == 0


def test_a_second_interrupt_while_claims_are_given_up_leaves_none(server, tmp_path, monkeypatch):
    server.hold()
    client = client_of(server, tmp_path, max_concurrency=2)
    interrupts, lost = iter([KeyboardInterrupt]), itertools.count()
    wait, lose = Run.wait, Run._lose

    def interrupted(self, timeout=0.1):
        for interrupt in interrupts:
            raise interrupt
        wait(self, timeout)

    def interrupted_again(self, job, error):
        if next(lost) == 4:
            raise KeyboardInterrupt
        lose(self, job, error)

    monkeypatch.setattr(Run, "wait", interrupted)
    monkeypatch.setattr(Run, "_lose", interrupted_again)
    with pytest.raises(KeyboardInterrupt):
        client.generate("Hello", n_samples=50)
    server.release()
    again = client.generate("Hello", n_samples=50)  # would wait for ever for what nobody lets go
    client.close()

    assert len(again) == 50
    assert len(CLAIMS) == 0


def test_an_interrupt_while_workers_start_asks_for_nothing_twice(server, tmp_path, monkeypatch):
    server.hold()
    first, second = client_of(server, tmp_path, max_concurrency=4), client_of(server, tmp_path)
    results = []
    waiter = threading.Thread(target=lambda: results.append(second.generate("Hello", n_samples=2)))
    start = WorkerPool._start

    def interrupted(self, executor, tickets):
        start(self, executor, tickets)
        if not waiter.ident:
            server.wait_for(2)  # the workers have begun
            waiter.start()
            while CLAIMS.parked < 2:
                time.sleep(0.005)
            threading.Timer(0.2, server.release).start()
            raise KeyboardInterrupt

    monkeypatch.setattr(WorkerPool, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.generate("Hello", n_samples=2)
    waiter.join(10)
    first.close()
    second.close()

    assert [len(rollouts) for rollouts in results] == [2]
    assert len(server.requests) == 2
    assert len(CLAIMS) == 0


def test_an_interrupt_while_copies_are_handed_over_leaves_nobody_waiting(server, tmp_path, monkeypatch):
    first = client_of(server, tmp_path)
    first.generate("Hello", n_samples=3)
    second = client_of(server, tmp_path)
    results = []
    waiter = threading.Thread(target=lambda: results.append(second.generate("Hello", n_samples=3)))
    load = json_files.JsonCache.load_many

    def load_late(self, keys):
        if not waiter.ident:
            waiter.start()
            while CLAIMS.parked < 3:
                time.sleep(0.005)
        yield from load(self, keys)

    interrupts = iter([KeyboardInterrupt])

    def interrupted(*arguments, **changes):
        for interrupt in interrupts:
            raise interrupt
        return dataclasses.replace(*arguments, **changes)

    monkeypatch.setattr(json_files.JsonCache, "load_many", load_late)
    monkeypatch.setattr("rollouts.engine.handover.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.generate("Hello", n_samples=3)
    waiter.join(10)

    assert [len(rollouts) for rollouts in results] == [3]
    assert len(server.requests) == 3
    assert len(CLAIMS) == 0
    first.close()
    second.close()


class Unreadable:
    """A cache whose disk is broken."""

    location = "unreadable"

    def load_many(self, keys):
        raise OSError("the disk is gone")

    def store(self, key, response):
        raise OSError("the disk is gone")

    def close(self):
        pass


def test_an_async_call_whose_cache_cannot_be_read_lets_go_of_its_samples(server, tmp_path):
    client = client_of(server, tmp_path, use_cache=Unreadable())

    with pytest.raises(CacheError) as raised:
        asyncio.run(client.agenerate("What is 2+2?", 3))
    client.close()

    assert raised.value.rollouts.n_requested == 3
    assert len(CLAIMS) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_samples_are_under_way_asks_for_its_own(server, tmp_path):
    code = """
import os, sys, threading, warnings
from rollouts import RolloutsClient
warnings.simplefilter("ignore")
client = RolloutsClient("test/model", adapter="openrouter", base_url=sys.argv[1], api_key="sk-x",
                        cache_dir=sys.argv[2], progress_bar=False, max_concurrency=2)
caller = threading.Thread(target=client.generate, args=("What is 2+2?", 2))
caller.start()
sys.stdin.readline()
child = os.fork()
if child == 0:
    assert len(client.generate("What is 3+3?", 2)) == 2
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
caller.join()
assert len(client.generate("What is 4+4?", 2)) == 2
client.close()
"""
    server.reply = lambda request: late(1)(request) if "2+2" in request.body.decode() else None
    with subprocess.Popen(
        [sys.executable, "-c", code, server.url, str(tmp_path)], stdin=subprocess.PIPE, text=True
    ) as program:
        server.wait_for(2)
        program.communicate("go\n", timeout=30)

    assert program.returncode == 0


def test_a_client_whose_loop_never_began_is_freed_when_forgotten(server, tmp_path):
    client = client_of(server, tmp_path)
    samples = client.as_completed(["What is 2+2?"])
    alive = weakref.ref(client)
    del client, samples
    gc.collect()

    assert alive() is None


def test_a_client_that_only_a_loop_holds_lives_as_long(server, tmp_path):
    assert len(list(client_of(server, tmp_path).as_completed(["What is 2+2?"], 3))) == 3
