"""What a request looks like on the wire, and how connections are used: real sockets, real answers."""

from __future__ import annotations

import concurrent.futures
import gc
import json
import os
import pickle
import socket
import subprocess
import sys
import threading

import pytest

from rollouts.exceptions import ConfigError, TransportError
from rollouts.outcome import classify
from rollouts.testing import LoopbackServer, Reply, chat_reply
from rollouts.transport import Auth, HttpTransport

KEY = "sk-test-0123456789abcdef"


def body(seed=0):
    return json.dumps({"model": "m", "messages": [], "seed": seed}).encode()


def chat(server):
    return server.url + "/chat/completions"


def test_headers_body_and_key_arrive_and_the_whole_answer_comes_back(transport, auth):
    with LoopbackServer() as server:
        prepared = transport.prepare(chat(server) + "?a=1", {"X-OpenRouter-Cache": "false", "accept": "x/y"}, auth)
        reply = transport.post(prepared, body(7), timeout=10)
        assert reply.status == 200
        assert reply.json()["choices"][0]["message"]["content"].startswith("Sample 7: ")
        assert reply.headers["content-type"] == "application/json"
        assert reply.latency > 0
        request = server.requests[0]
        assert request.path == "/api/v1/chat/completions?a=1"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-openrouter-cache"] == "false"
        assert request.headers["accept"] == "x/y"
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("rollouts/")
        assert "cookie" not in request.headers


def test_a_get_has_no_body_and_no_content_type(transport, auth):
    with LoopbackServer(routes={"/models": lambda request: Reply(json={"data": [1]})}) as server:
        reply = transport.get(server.url + "/models", auth=auth, timeout=10)
        assert reply.json() == {"data": [1]}
        assert server.requests[0].method == "GET"
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert "content-type" not in server.requests[0].headers


def test_connections_are_as_many_as_concurrent_requests_and_every_answer_is_its_own(make_transport, auth):
    concurrent, n = 16, 400
    transport = make_transport(max_connections=concurrent)
    with LoopbackServer() as server, concurrent_pool(concurrent) as pool:
        prepared = transport.prepare(chat(server), {}, auth)
        server.hold()
        first = [pool.submit(transport.post, prepared, body(seed), timeout=30) for seed in range(concurrent)]
        server.wait_for(concurrent)
        server.release()
        for seed, future in enumerate(first):
            assert f"Sample {seed}:" in future.result().json()["choices"][0]["message"]["content"]
        texts = pool.map(lambda seed: transport.post(prepared, body(seed), timeout=30).json(), range(n))
        for seed, answer in enumerate(texts):
            assert answer["id"] == f"gen-{seed}"
        assert server.connections == concurrent


def concurrent_pool(n):
    return concurrent.futures.ThreadPoolExecutor(n)


def test_no_cookie_is_kept(transport):
    with LoopbackServer(lambda request: Reply(json=chat_reply(), headers={"Set-Cookie": "a=b"})) as server:
        prepared = transport.prepare(chat(server), {}, None)
        for _ in range(2):
            transport.post(prepared, body(), timeout=10)
        assert all("cookie" not in request.headers for request in server.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_handed_back_and_never_followed(transport, auth, status):
    with LoopbackServer() as other:
        redirect = Reply(status=status, headers={"Location": other.url + "/chat/completions"})
        with LoopbackServer(lambda request: redirect) as server:
            reply = transport.post(transport.prepare(chat(server), {}, auth), body(), timeout=10)
            assert reply.status == status
            assert classify(reply).stops == "run"
            assert other.requests == []
            assert len(server.requests) == 1


def test_a_netrc_cannot_replace_the_key_nor_add_one(transport, auth, tmp_path, monkeypatch):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login thief password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with LoopbackServer() as server:
        transport.post(transport.prepare(chat(server), {"authorization": "Bearer other"}, auth), body(), timeout=10)
        transport.post(transport.prepare(chat(server), {}, None), body(), timeout=10)
        with_user = chat(server).replace("127.0.0.1", "thief:secret@127.0.0.1")
        transport.post(transport.prepare(with_user, {}, auth), body(), timeout=10)
        sent = [request.headers.get("authorization") for request in server.requests]
        assert sent == [f"Bearer {KEY}", None, f"Bearer {KEY}"]


@pytest.mark.parametrize(
    "options",
    [
        {"gzip": True},
        {"chunked": True},
        {"gzip": True, "chunked": True},
        {"padding": b"\n\n \n", "chunked": True},
        {"padding": b" " * 100_000},
        {"close": True},
    ],
)
def test_encodings_of_a_body(transport, options):
    answer = chat_reply(content="é" * 5000)
    with LoopbackServer(lambda request: Reply(json=answer, **options)) as server:
        prepared = transport.prepare(chat(server), {}, None)
        for _ in range(3):
            assert transport.post(prepared, body(), timeout=10).json() == answer
        assert server.connections == (3 if options.get("close") else 1)


def test_a_deflated_body_in_both_dialects_and_an_answer_that_ends_with_the_connection(transport):
    import zlib

    raw = zlib.compressobj(wbits=-15)
    packed = [zlib.compress(b'{"a": 1}'), raw.compress(b'{"a": 1}') + raw.flush()]
    with LoopbackServer(lambda request: Reply(body=packed.pop(), headers={"Content-Encoding": "deflate"})) as server:
        prepared = transport.prepare(chat(server), {}, None)
        assert [transport.post(prepared, body(), timeout=10).json() for _ in range(2)] == [{"a": 1}] * 2


def test_a_ten_megabyte_answer_and_a_long_question(transport):
    answer = chat_reply(content="x" * 10_000_000)
    with LoopbackServer(lambda request: Reply(json=answer)) as server:
        prepared = transport.prepare(chat(server), {}, None)
        question = json.dumps({"messages": "y" * 5_000_000}).encode()
        assert transport.post(prepared, question, timeout=30).json() == answer
        assert server.requests[0].body == question


def test_a_body_beyond_the_bound_is_refused_however_it_is_packed(make_transport):
    transport = make_transport(max_body=10_000)
    big = {"a": "b" * 50_000}
    for reply in (Reply(json=big), Reply(json=big, chunked=True), Reply(json=big, gzip=True), Reply(endless=True)):
        with LoopbackServer(lambda request, reply=reply: reply) as server, pytest.raises(TransportError, match="10000"):
            transport.post(transport.prepare(chat(server), {}, None), body(), timeout=10)


def test_bytes_left_over_never_reach_the_next_sample(transport):
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    replies = [Reply(body=b'{"a": 1}' + smuggled, content_length=8)]
    with LoopbackServer(lambda request: replies.pop() if replies else None) as server:
        prepared = transport.prepare(chat(server), {}, None)
        assert transport.post(prepared, body(), timeout=10).json() == {"a": 1}
        assert transport.post(prepared, body(5), timeout=10).json()["id"] == "gen-5"
        assert server.connections == 2


def test_a_connection_closed_while_idle_is_replaced_unseen(transport, monkeypatch):
    from rollouts.transport import connections

    # Ask the kernel about every kept connection, as after a second of idling.
    monkeypatch.setattr(connections, "_TRUSTED", -1.0)
    server = LoopbackServer()
    server.start()
    prepared = transport.prepare(chat(server), {}, None)
    assert transport.post(prepared, body(), timeout=10).status == 200
    server.stop()
    with pytest.raises(TransportError, match="is the server running"):
        transport.post(prepared, body(), timeout=10)
    with server:
        assert transport.post(prepared, body(), timeout=10).status == 200
        server.stop()
        server.start()
        assert transport.post(prepared, body(), timeout=10).status == 200


def test_an_answer_lost_after_sending_is_reported_and_not_sent_twice(transport):
    replies = [None, Reply(reset="before"), None]
    with LoopbackServer(lambda request: replies.pop()) as server:
        prepared = transport.prepare(chat(server), {}, None)
        transport.post(prepared, body(), timeout=10)
        with pytest.raises(TransportError) as caught:
            transport.post(prepared, body(), timeout=10)
        assert caught.value.sent
        assert len(server.requests) == 2


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_key_is_in_no_repr_pickle_or_copy(transport, auth):
    prepared = transport.prepare("http://u:p@127.0.0.1/x?token=1", {}, auth)
    shown = repr(auth) + str(auth) + repr(prepared) + repr(transport) + f"{auth:}"
    assert KEY not in shown
    assert "token" not in shown
    assert KEY.encode() not in pickle.dumps(auth)
    with pytest.raises(ConfigError, match="pickle"):
        _ = pickle.loads(pickle.dumps(auth)).value
    with pytest.raises(TypeError):
        pickle.dumps(prepared)


def test_an_error_carries_no_frame_that_holds_the_key(transport, auth):
    prepared = transport.prepare("http://127.0.0.1:1/x?token=hidden", {}, auth)
    with pytest.raises(TransportError) as caught:
        transport.post(prepared, body(), timeout=10)
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    assert "hidden" not in str(error)
    trace, files = error.__traceback__, []
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        assert KEY not in repr(trace.tb_frame.f_locals.get("message"))
        trace = trace.tb_next
    assert not [name for name in files if "requests" in name or "urllib3" in name]


@pytest.mark.parametrize("key", ["", "  ", "a b", "abc\n", "abc\r\nX: y", "schlüssel", "a\0b", None])
def test_a_key_that_cannot_stand_in_a_header_is_refused_without_being_shown(key):
    with pytest.raises(ConfigError) as caught:
        Auth(key)
    assert not key or not key.strip() or key.strip() not in str(caught.value)


def test_a_key_may_travel_in_another_header(transport):
    with LoopbackServer() as server:
        prepared = transport.prepare(chat(server), {"X-API-KEY": "user's"}, Auth(KEY, header="x-api-key", prefix=""))
        transport.post(prepared, body(), timeout=10)
        assert server.requests[0].headers["x-api-key"] == KEY


# ── Bad input, laziness, ends ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1/x", "ftp://a/b", "http://", "http://a b/", "http://a:99999/", "http://a/\n", "http://[::1"]
)
def test_a_url_that_leads_nowhere_is_refused_before_sending(transport, url):
    with pytest.raises(ConfigError):
        transport.prepare(url, {}, None)


@pytest.mark.parametrize("header", [{"A\r\nB": "c"}, {"A": "b\r\nC: d"}, {"A": "☃"}, {"": "x"}, {"A B": "c"}, {"A": 1}])
def test_a_header_that_cannot_be_sent_is_refused_before_sending(transport, header):
    with pytest.raises(ConfigError):
        transport.prepare("http://127.0.0.1/", header, None)


def test_preparing_loads_no_http_library_and_starts_nothing():
    code = (
        "import sys, threading\n"
        "from rollouts.transport import Auth, HttpTransport\n"
        "t = HttpTransport(max_connections=4)\n"
        "t.prepare('https://openrouter.ai/api/v1/chat/completions', {}, Auth('k'))\n"
        "assert threading.active_count() == 1\n"
        "print([m for m in ('requests', 'urllib3', 'ssl', 'http.client') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['ssl']")


def test_close_frees_threads_and_sockets_may_be_repeated_and_refuses_posts(auth):
    with LoopbackServer() as server:
        transport = HttpTransport(max_connections=4)
        prepared = transport.prepare(chat(server), {}, auth)
        transport.post(prepared, body(), timeout=10)
        transport.close()
        transport.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "rollouts-watchdog"]
        with pytest.raises(TransportError, match="closed"):
            transport.post(prepared, body(), timeout=10)
        assert len(server.requests) == 1


def test_a_forgotten_transport_leaves_no_socket_open():
    with LoopbackServer() as server:
        transport = HttpTransport(max_connections=4)
        for _ in range(2):
            transport.post(transport.prepare(chat(server), {}, None), body(), timeout=10)
        connection = server.requests[0].connection
        del transport
        gc.collect()  # an open socket would be a ResourceWarning, which is an error here
        assert connection == 1


def test_nothing_is_sent_once_the_run_is_stopped(transport):
    class Stopped:
        def is_set(self):
            return True

        def wait(self, timeout):
            return True

    with LoopbackServer() as server:
        with pytest.raises(TransportError, match="stopped"):
            transport.post(transport.prepare(chat(server), {}, None), body(), timeout=10, stop=Stopped())
        assert server.requests == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_uses_connections_of_its_own():
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
from rollouts.transport import HttpTransport
transport = HttpTransport(max_connections=4)
prepared = transport.prepare(sys.argv[1], {}, None)
assert transport.post(prepared, b'{"seed": 1}', timeout=10).json()["id"] == "gen-1"
child = os.fork()
seed = 2 if child == 0 else 3
assert transport.post(prepared, b'{"seed": %d}' % seed, timeout=10).json()["id"] == f"gen-{seed}"
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert transport.post(prepared, b'{"seed": 4}', timeout=10).json()["id"] == "gen-4"
transport.close()
"""
    with LoopbackServer() as server:
        subprocess.run([sys.executable, "-c", code, chat(server)], check=True, timeout=60)
        assert server.connections == 2


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="a pin needs two CPUs and Linux"
)
def test_what_a_pinned_worker_starts_is_not_pinned(transport, monkeypatch):
    allowed = os.sched_getaffinity(0)
    seen = []
    real = socket.getaddrinfo

    def look_up(host, *args, **options):
        if host != "service.invalid" or options.get("flags"):  # with flags: is it a number? Asked by the worker itself.
            return real(host, *args, **options)
        seen.append(os.sched_getaffinity(0))
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def work(url):
        os.sched_setaffinity(0, {max(allowed)})
        transport.post(transport.prepare(url, {}, None), body(), timeout=10)

    with LoopbackServer() as server:
        server.hold()
        worker = threading.Thread(target=work, args=(chat(server).replace("127.0.0.1", "service.invalid"),))
        worker.start()
        server.wait_for(1)
        watchdog = next(t for t in threading.enumerate() if t.name == "rollouts-watchdog")
        for _ in range(1000):  # it frees itself as soon as it runs
            if os.sched_getaffinity(watchdog.native_id) == allowed:
                break
            threading.Event().wait(0.01)
        assert os.sched_getaffinity(watchdog.native_id) == allowed
        server.release()
        worker.join()
    assert seen == [allowed]
