"""The loopback server, seen from plain sockets and http.client."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import socket
import threading

import pytest

from rollouts.testing import LoopbackServer, Reply


def ask(connection, seed=None, path="/api/v1/chat/completions"):
    body = {"model": "test/model", "messages": [{"role": "user", "content": "2+2?"}]}
    if seed is not None:
        body["seed"] = seed
    connection.request("POST", path, json.dumps(body), {"Authorization": "Bearer x"})
    response = connection.getresponse()
    return response, response.read()


@contextlib.contextmanager
def connect(server, timeout=10):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        yield connection
    finally:
        connection.close()


def test_default_answer_echoes_the_seed_and_the_connection_is_kept():
    with LoopbackServer() as server:
        with connect(server) as connection:
            for seed in (3, 4):
                response, body = ask(connection, seed)
                assert response.status == 200
                answer = json.loads(body)
                assert answer["choices"][0]["message"]["content"].startswith(f"Sample {seed}: ")
                assert answer["usage"]["cost"] == 0.0001
        assert server.connections == 1
        assert [r.json()["seed"] for r in server.requests] == [3, 4]
        assert server.requests[0].headers["authorization"] == "Bearer x"
        assert {r.connection for r in server.requests} == {1}
        server.reset()
        assert server.requests == []


def test_completions_and_other_routes():
    routes = {"/models": lambda request: Reply(json={"data": []})}
    with LoopbackServer(routes=routes) as server, connect(server) as connection:
        _, body = ask(connection, 1, "/v1/completions")
        assert json.loads(body)["choices"][0]["text"].startswith("Sample 1: ")
        connection.request("GET", "/api/v1/models")
        assert json.loads(connection.getresponse().read()) == {"data": []}
        connection.request("GET", "/api/v1/nothing")
        assert connection.getresponse().status == 404


def test_held_answers_arrive_after_release_and_six_hundred_connections_are_held():
    n = 600
    with LoopbackServer() as server:
        server.hold()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        sockets = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(n)]
        for one in sockets:
            one.sendall(request)
        server.wait_for(n)
        assert server.in_flight == server.peak_in_flight == n
        server.release()
        for one in sockets:
            assert one.recv(15) == b"HTTP/1.1 200 OK"
            one.close()
        assert server.connections == n


def test_wait_for_tells_how_many_came():
    with LoopbackServer() as server, pytest.raises(TimeoutError, match="0 of 1"):
        server.wait_for(1, timeout=0.01)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(reset="before"), ConnectionResetError),
        (Reply(json={"a": "b" * 100_000}, reset="in-body"), (ConnectionResetError, http.client.IncompleteRead)),
        (Reply(json={"a": 1}, truncate=3), http.client.IncompleteRead),
        (Reply(json={"a": 1}, content_length=1000), TimeoutError),
        (Reply(hang=True), TimeoutError),
        (Reply(json={"a": 1}, drip=30), TimeoutError),
        (Reply(json={"a": 1}, drip=30, drip_part="headers"), TimeoutError),
    ],
)
def test_faults_reach_the_client(reply, error):
    server = LoopbackServer(lambda request: reply)
    with server, connect(server, timeout=0.2) as connection, pytest.raises(error):
        ask(connection)


def test_encodings_and_padding():
    replies = iter(
        [
            Reply(json=[1] * 2000, chunked=True),
            Reply(json=[2], gzip=True),
            Reply(json=[3], padding=b"\n\n ", close=True),
        ]
    )
    with LoopbackServer(lambda request: next(replies)) as server, connect(server) as connection:
        assert json.loads(ask(connection)[1]) == [1] * 2000
        assert json.loads(gzip.decompress(ask(connection)[1])) == [2]
        response, body = ask(connection)
        assert body == b"\n\n [3]"
        assert response.will_close


def test_endless_body_ends_with_the_client():
    with LoopbackServer(lambda request: Reply(endless=True)) as server, connect(server) as connection:
        connection.request("POST", "/completions", "{}")
        response = connection.getresponse()
        assert len(response.read(1_000_000)) == 1_000_000


def test_stop_is_quick_with_requests_in_flight_and_start_takes_the_same_port():
    server = LoopbackServer(lambda request: Reply(delay=3600))
    server.start()
    port, failed = server.port, []

    def client():
        with connect(server) as connection:
            try:
                ask(connection)
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(client)
        server.wait_for(4)
        server.stop()
    server.stop()
    assert len(failed) == 4
    server.reply = None
    with server:
        assert server.port == port
        with connect(server) as connection:
            assert ask(connection)[0].status == 200
    assert not [t for t in threading.enumerate() if t.name.startswith("loopback-server")]
