"""A real cluster of two worker processes, begun once for these tests; some of which are killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from rollouts import RolloutsClient
from rollouts.exceptions import AuthenticationError, ConfigError
from rollouts.testing import LoopbackServer, Reply

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")
KEY = "sk-or-v1-read-on-the-worker"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    # The key is in the workers' environment, that of replaced ones too, and nowhere else.
    environment = {"OPENROUTER_API_KEY": KEY}
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", env=environment
    )
    with cluster:
        yield cluster


@pytest.fixture(scope="module")
def running() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def server(running: LoopbackServer) -> Iterator[LoopbackServer]:
    running.reset()
    running.reply = None
    yield running
    running.release()


@pytest.fixture
def client(server: LoopbackServer, cluster: LocalCluster, tmp_path: Path) -> Iterator[RolloutsClient]:
    with make_client(server, tmp_path, {"address": cluster.scheduler_address}) as client:
        yield client


def make_client(server: LoopbackServer, tmp_path: Path, options: dict[str, Any], **settings: Any) -> RolloutsClient:
    return RolloutsClient(
        "test/model",
        adapter="openrouter",
        base_url=server.url,
        executor="dask",
        executor_options=options,
        cache_dir=tmp_path / "cache",
        progress_bar=False,
        max_concurrency=8,
        max_retries=0,
        **settings,
    )


def test_samples_come_from_workers_which_read_the_key_themselves(
    server: LoopbackServer, client: RolloutsClient
) -> None:
    rollouts = client.generate("Hello", n_samples=50)

    assert [r.seed for r in rollouts] == list(range(50))
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert client.generate("Hello", n_samples=60).n_cached == 50
    assert len(server.requests) == 60


def test_concurrency_is_a_total_and_samples_stream(server: LoopbackServer, client: RolloutsClient) -> None:
    server.hold()
    stream = client.as_completed("Stream", n_samples=40)
    threading.Thread(target=lambda: (server.wait_for(8), server.release())).start()

    assert sorted(response.seed for response in stream) == list(range(40))
    assert server.peak_in_flight == 8


def test_a_rate_limit_is_one_for_all_workers(server: LoopbackServer, client: RolloutsClient) -> None:
    server.hold()
    stream = client.as_completed("Limited", n_samples=40, requests_per_minute=40, use_cache=False)
    first = threading.Thread(target=lambda: next(stream))
    first.start()
    server.wait_for(4)
    server.release()
    first.join()
    stream.close()

    # The burst of 40 a minute is 4; two workers on their own would have started 8.
    assert len(server.requests) < 8


def test_a_killed_worker_costs_no_stored_sample_and_its_shard_is_finished_elsewhere(
    server: LoopbackServer, client: RolloutsClient, cluster: LocalCluster
) -> None:
    client.generate("Kill", n_samples=20)
    server.reset()
    server.hold()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(client.generate("Kill", n_samples=60)))
    thread.start()
    server.wait_for(8)
    with Client(cluster, set_as_default=False) as dask:
        pids = list(dask.run(os.getpid).values())
    os.kill(pids[0], signal.SIGKILL)
    server.wait_for(9, timeout=60)  # what it had in hand is asked for again
    server.release()
    thread.join()

    assert [r.seed for r in got[0]] == list(range(60))
    assert got[0].n_cached == 20
    asked = [request.json()["seed"] for request in server.requests]
    assert set(asked) == set(range(20, 60))
    assert len(asked) <= 44


def test_an_error_that_stops_the_run_is_raised_as_itself(server: LoopbackServer, client: RolloutsClient) -> None:
    server.reply = lambda request: Reply(status=401, json={"error": {"code": 401, "message": "No auth"}})
    with pytest.raises(AuthenticationError):
        client.generate("Refused", n_samples=100)
    assert len(server.requests) < 30


def test_a_client_of_the_caller_is_used_and_left_open(
    server: LoopbackServer, cluster: LocalCluster, tmp_path: Path
) -> None:
    with Client(cluster, set_as_default=False) as dask:
        with make_client(server, tmp_path, {"client": dask}) as client:
            assert len(client.generate("Mine", n_samples=4)) == 4
        assert dask.status == "running"


def test_an_executor_of_dask_works_as_it_is(server: LoopbackServer, cluster: LocalCluster, tmp_path: Path) -> None:
    with (
        Client(cluster, set_as_default=False) as dask,
        RolloutsClient(
            "test/model",
            adapter="openrouter",
            base_url=server.url,
            executor=dask.get_executor(),
            executor_options={"workers": 2},
            cache_dir=tmp_path / "cache",
            progress_bar=False,
            max_concurrency=8,
        ) as client,
    ):
        assert len(client.generate("As it is", n_samples=30)) == 30
    assert len(server.requests) == 30


def test_a_cluster_of_its_own_ends_with_the_client(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with make_client(server, tmp_path, {"workers": 1}) as client:
        assert len(client.generate("Own", n_samples=3)) == 3
        (pid,) = client._resources.engine.shards(8)._executor.client.run(os.getpid).values()

    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_without_a_key_says_so(server: LoopbackServer, tmp_path: Path) -> None:
    with (
        make_client(server, tmp_path, {"workers": 1}) as client,
        pytest.raises(ConfigError, match=r"no API key for openrouter.*in worker process"),
    ):
        client.generate("Keyless")
    assert not server.requests


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"adress": "x"}, {}, "'dask' knows address"),
        ({"address": "tcp://127.0.0.1:1", "workers": 2}, {}, "yours has its own"),
        ({"workers": 0}, {}, "whole number"),
        ({"workers": 1}, {"api_key": "sk-x"}, "api_key= does not travel"),
        ({"address": "tcp://127.0.0.1:1", "timeout": 0.5}, {}, "no Dask scheduler answers"),
    ],
)
def test_what_cannot_work_is_refused(
    server: LoopbackServer, tmp_path: Path, options: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with make_client(server, tmp_path, options, **settings) as client, pytest.raises(ConfigError, match=message):
        client.generate("Hello")
    assert not server.requests
