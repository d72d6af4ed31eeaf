"""Executors of the caller whose workers are other processes: a process pool, and loky."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from rollouts.exceptions import ConfigError, RolloutsError

KEY = "sk-of-the-environment"


@pytest.fixture
def environment(monkeypatch):
    """Workers inherit the environment, with the key."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)


def process_pool():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


def loky_pool():
    loky = pytest.importorskip("loky")
    return loky.ProcessPoolExecutor(2)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("make", [process_pool, loky_pool])
def test_its_workers_send_and_store_and_it_can_be_used_again(server, make_client, tmp_path, make):
    with make() as pool:
        client = make_client(executor=pool, api_key=None)
        assert [r.seed for r in client.generate("Hello", n_samples=30)] == list(range(30))
        assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
        assert client.generate("Hello", n_samples=40).n_cached == 30
        # Our tasks end by themselves, with the client still open.
        assert pool.submit(os.getpid).result(20) != os.getpid()
    assert len(list((tmp_path / "cache").rglob("seed_*.json"))) == 40


@pytest.mark.usefixtures("environment")
def test_a_pool_that_breaks_is_told_and_costs_no_stored_sample(server, make_client):
    with process_pool() as pool:
        client = make_client(executor=pool, api_key=None)
        client.generate("Break", n_samples=10)
        server.reset()
        server.hold()
        raised = []

        def ask():
            try:
                client.generate("Break", n_samples=40)
            except RolloutsError as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        server.wait_for(8)
        os.kill(next(iter(pool._processes)), signal.SIGKILL)
        thread.join()

    assert "no worker of the executor can be had" in str(raised[0])
    assert len(raised[0].rollouts) == 10


@pytest.mark.usefixtures("environment")
def test_a_password_among_options_is_refused_and_not_shown(server, make_client):
    options = {"backend": "redis", "password": "hunter2"}
    with process_pool() as pool, pytest.raises(ConfigError, match=r"'password'.*not travel") as caught:
        make_client(executor=pool, api_key=None, use_cache="requests-cache", cache_options=options).generate("Hello")
    assert "hunter2" not in str(caught.value)
    assert server.connections == 0


def test_a_key_given_as_a_setting_is_refused(server, make_client):
    with process_pool() as pool, pytest.raises(ConfigError, match="api_key= does not travel"):
        make_client(executor=pool).generate("Hello")


def test_the_name_of_the_part_for_objects_is_not_for_users(make_client):
    with pytest.raises(ConfigError, match="give the executor itself"):
        make_client(executor="elsewhere", executor_options={}).generate("Hello")
