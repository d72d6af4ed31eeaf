"""Every fault that servers, networks and proxies produce: each ends in one clear error, in time, and nothing hangs."""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from rollouts.exceptions import ConfigError, DeadlineExceeded, TransportError
from rollouts.outcome import classify, classify_exception
from rollouts.testing import LoopbackServer, Reply, chat_reply
from rollouts.transport import Auth, cut_all

KEY = "sk-test-0123456789abcdef"
BODY = b'{"model": "m", "messages": [], "seed": 1}'


def post(transport, url, timeout=10.0):
    return transport.post(transport.prepare(url, {}, Auth(KEY)), BODY, timeout=timeout)


def chat(server):
    return server.url + "/chat/completions"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def error_of(transport, url, timeout=10.0, kind=TransportError):
    with pytest.raises(kind) as caught:
        post(transport, url, timeout)
    assert KEY not in str(caught.value)
    return caught.value


# ── Faults of the connection ────────────────────────────────────────────────────────────────────────────


def test_connection_refused_says_so_and_that_nothing_was_sent(transport):
    url = f"http://127.0.0.1:{free_port()}/v1/chat"
    error = error_of(transport, url)
    assert str(error) == f"connection refused by {url}: is the server running?"
    assert not error.sent
    assert classify_exception(error).kind == "retryable"


@pytest.mark.parametrize("reset", ["before", "in-body"])
def test_a_reset_is_an_error_and_the_next_request_works(transport, reset):
    replies = [None, Reply(json=chat_reply(content="x" * 100_000), reset=reset)]
    with LoopbackServer(lambda request: replies.pop()) as server:
        error = error_of(transport, chat(server))
        assert error.sent
        assert f"127.0.0.1:{server.port}" in str(error)
        assert post(transport, chat(server)).status == 200


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(json=chat_reply(), truncate=10), "of the body"),
        (Reply(json=chat_reply(), truncate=10, chunked=True), "chunked body"),
        (Reply(json=chat_reply(), truncate=10, gzip=True), "of the body"),
        (Reply(json=chat_reply(), content_length=10_000, close=True, truncate=1), "of 10000 bytes"),
        (Reply(json=chat_reply(), headers={"Content-Length": "many"}), "no length"),
        (Reply(json=chat_reply(), headers={"Content-Length": "-5"}), "no length"),
        (Reply(json=chat_reply(), headers={"Content-Encoding": "gzip"}), "damaged"),
        (Reply(json=chat_reply(), headers={"Content-Encoding": "zstd"}), "not asked for"),
        (Reply(body=b"zz\r\n", headers={"Transfer-Encoding": "chunked"}), "chunk"),
        (Reply(json=chat_reply(), headers={"Transfer-Encoding": "gzip"}), "transfer encoding"),
    ],
)
def test_an_answer_broken_on_the_way_is_an_error_and_spoils_no_other(transport, reply, words):
    replies = [None, reply]
    with LoopbackServer(lambda request: replies.pop()) as server:
        error = error_of(transport, chat(server))
        assert words in str(error)
        assert classify_exception(error).kind == "retryable"
        assert post(transport, chat(server)).json()["id"] == "gen-1"
        whole = words == "damaged"  # its bytes all came, only nobody can unpack them
        assert server.connections == (1 if whole else 2)


@pytest.mark.parametrize("raw", [b"\xff\xfe{}", b'{"choices": [', b"", b"  \n", b"<html>bad gateway</html>", b"[]"])
def test_a_whole_answer_that_makes_no_sense_is_the_classifiers_business(transport, raw):
    with LoopbackServer(lambda request: Reply(body=raw)) as server:
        reply = post(transport, chat(server))
        assert reply.body == raw
        assert classify(reply).kind in ("empty", "retryable")


@pytest.fixture
def raw_server():
    """A server that sends given bytes to each connection and closes it."""
    made = []

    def make(answer, read=True):
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            try:
                while True:
                    client, _ = listener.accept()
                    with client:
                        if read:
                            client.recv(65536)
                        client.sendall(answer)
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        made.append((listener, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/chat/completions"

    yield make
    for listener, thread in made:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "within the headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, "headers are longer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "no length"),
        (b"", "closed by the other side"),
    ],
)
def test_what_is_not_http_is_named(transport, raw_server, answer, words):
    assert words in str(error_of(transport, raw_server(answer)))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200\r\nX: a\r\n folded\r\nX: b\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nTrailer: z\r\n\r\n",
    ],
)
def test_odd_but_legal_answers_are_read(transport, raw_server, answer):
    reply = post(transport, raw_server(answer))
    assert (reply.status, reply.json()) == (200, {})
    assert reply.headers.get("x") in (None, "a folded, b")


def test_a_server_that_refuses_a_long_body_before_reading_it_is_heard(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 20):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        prepared = transport.prepare(url, {}, None)
        assert transport.post(prepared, b"x" * 10_000_000, timeout=20).status == 413
        thread.join()


def test_a_host_that_does_not_exist(transport):
    error = error_of(transport, "http://no-such-host.invalid/v1/chat")
    assert "no-such-host.invalid" in str(error)
    assert "was not found" in str(error)
    assert not error.sent


# ── Deadlines ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang=True),
        Reply(json=chat_reply(), drip=0.02),
        Reply(json=chat_reply(), drip=0.02, drip_part="headers"),
        Reply(json=chat_reply(), content_length=10_000),
        Reply(endless=True, chunked=True),
        Reply(json=chat_reply(), padding=b"\n" * 100_000, drip=0.02),
    ],
)
def test_the_deadline_holds_whatever_the_server_does(make_transport, reply):
    transport = make_transport(max_body=1 << 40)
    replies = [None, reply]
    with LoopbackServer(lambda request: replies.pop()) as server:
        error = error_of(transport, chat(server), timeout=0.3, kind=DeadlineExceeded)
        assert isinstance(error, TimeoutError)
        assert error.sent
        assert "0.3 s" in str(error)
        assert classify_exception(error).billed
        assert post(transport, chat(server)).status == 200


@pytest.fixture
def deaf_port():
    """A port whose queue of connections is full: a connect there neither succeeds nor fails."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the queue of connections is filled as Linux does it")
def test_the_deadline_covers_the_connect(transport, deaf_port):
    error = error_of(transport, f"http://127.0.0.1:{deaf_port}/", timeout=0.3, kind=DeadlineExceeded)
    assert not error.sent


def test_the_deadline_covers_the_tls_handshake(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert not error_of(transport, url, timeout=0.3, kind=DeadlineExceeded).sent


def test_the_deadline_covers_the_lookup_of_a_name(transport, monkeypatch):
    answered = threading.Event()
    real = socket.getaddrinfo

    def slow(host, *args, **kwargs):
        if host == "slow.invalid" and not kwargs.get("flags"):  # with flags: is it a number? Answered at once.
            answered.wait(30)
        return real(host, *args, **kwargs)

    # The system's resolver is not under test, and cannot be made slow otherwise.
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    error = error_of(transport, "http://slow.invalid/", timeout=0.2, kind=DeadlineExceeded)
    answered.set()
    assert not error.sent


def test_many_deadlines_of_different_lengths_each_hold(make_transport):
    transport = make_transport(max_connections=32)
    with LoopbackServer(lambda request: Reply(hang=True)) as server:
        prepared = transport.prepare(chat(server), {}, None)

        def attempt(i):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=f"{0.1 + i / 100:g} s"):
                transport.post(prepared, BODY, timeout=0.1 + i / 100)
            return time.monotonic() - began - (0.1 + i / 100)

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            early = [late for late in pool.map(attempt, reversed(range(32))) if late < -0.005]
        assert not early


# ── Cutting ─────────────────────────────────────────────────────────────────────────────────────────────


def run_and_cut(transport, url, cut, ready):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(post, transport, url, 600) for _ in range(8)]
        ready()
        cut()
        errors = [future.exception(timeout=20) for future in futures]
    for error in errors:
        assert type(error) is TransportError
        assert "cut" in str(error)
    return errors


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_cut_ends_what_waits_for_an_answer_and_the_transport_goes_on(transport, everywhere):
    replies = [Reply(hang=True)] * 8
    with LoopbackServer(lambda request: replies.pop() if replies else None) as server:
        cut = cut_all if everywhere else transport.cut
        errors = run_and_cut(transport, chat(server), cut, lambda: server.wait_for(8))
        assert all(error.sent for error in errors)
        assert post(transport, chat(server)).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="the queue of connections is filled as Linux does it")
def test_a_cut_ends_what_is_connecting(transport, deaf_port):
    def ready():
        while len([a for a in transport._watchdog._attempts if a.sock is not None]) < 8:
            threading.Event().wait(0.005)

    errors = run_and_cut(transport, f"http://127.0.0.1:{deaf_port}/", transport.cut, ready)
    assert not any(error.sent for error in errors)


def test_a_cut_ends_what_shakes_hands(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = []

        def ready():
            for _ in range(8):
                client, _ = listener.accept()
                clients.append(client)
                assert client.recv(1) == b"\x16"  # the first byte of a handshake

        run_and_cut(transport, f"https://127.0.0.1:{listener.getsockname()[1]}/", transport.cut, ready)
        for client in clients:
            client.close()


def test_a_program_that_ends_with_a_request_under_way_does_not_wait_for_it():
    code = """
import sys, threading
from rollouts.transport import HttpTransport, cut_all
transport = HttpTransport(max_connections=4)
prepared = transport.prepare(sys.argv[1], {}, None)
def work():
    try:
        transport.post(prepared, b"{}", timeout=600)
    except Exception as error:
        print(type(error).__name__, flush=True)
worker = threading.Thread(target=work)
worker.start()
sys.stdin.readline()
cut_all()
"""
    with LoopbackServer(lambda request: Reply(hang=True)) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", code, chat(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        server.wait_for(1, timeout=30)
        out, _ = child.communicate("\n", timeout=30)
        assert (out.strip(), child.returncode) == ("TransportError", 0)


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_certificate_that_is_not_trusted_is_refused_for_good(transport, certificate):
    with LoopbackServer(tls=certificate[1]) as server:
        error = error_of(transport, chat(server))
        assert "certificate" in str(error)
        assert "REQUESTS_CA_BUNDLE" in str(error)
        assert error.permanent
        assert classify_exception(error).stops == "run"
        assert server.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_named_by_the_environment_are_trusted_and_connections_reused(
    make_transport, certificate, monkeypatch, variable
):
    monkeypatch.setenv(variable, str(certificate[0]))
    transport = make_transport()
    monkeypatch.delenv(variable)  # it was read when the transport was made
    with LoopbackServer(tls=certificate[1]) as server:
        for _ in range(3):
            assert post(transport, chat(server)).json()["id"] == "gen-1"
        assert server.connections == 1


def test_a_deadline_holds_inside_tls(make_transport, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    transport = make_transport()
    with LoopbackServer(lambda request: Reply(json=chat_reply(), drip=0.02), tls=certificate[1]) as server:
        assert error_of(transport, chat(server), timeout=0.5, kind=DeadlineExceeded).sent


def test_a_missing_bundle_is_named_before_anything_is_sent(make_transport, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(ConfigError, match=r"REQUESTS_CA_BUNDLE names /no/such/bundle\.pem"):
        make_transport().prepare("https://127.0.0.1/", {}, None)


def test_https_to_a_plain_port_says_so(transport, raw_server):
    url = raw_server(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").replace("http:", "https:")
    assert "does it serve https?" in str(error_of(transport, url))


# ── Proxies ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_forwarding_proxy_gets_the_whole_url_and_its_password(make_transport, make_proxy, monkeypatch):
    proxy = make_proxy()
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:word@"))
    transport = make_transport()
    with LoopbackServer() as server:
        assert post(transport, chat(server)).json()["id"] == "gen-1"
        assert proxy.heads[0].startswith(f"POST {chat(server)} HTTP/1.1")
        assert "Proxy-Authorization: Basic" in proxy.heads[0]
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_tunnel_through_a_proxy_hides_the_key_from_it(make_transport, make_proxy, certificate, monkeypatch):
    proxy = make_proxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    transport = make_transport()
    with LoopbackServer(tls=certificate[1]) as server:
        for _ in range(2):
            assert post(transport, chat(server)).json()["id"] == "gen-1"
        assert len(proxy.heads) == server.connections == 1
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} ")
        assert KEY not in proxy.heads[0]


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "127.0.0.0/8", "*"])
def test_no_proxy_keeps_its_meaning(make_transport, make_proxy, monkeypatch, no_proxy):
    proxy = make_proxy()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    transport = make_transport()
    before = dict(os.environ)
    with LoopbackServer() as server:
        assert post(transport, chat(server)).status == 200
        assert proxy.heads == []
    assert dict(os.environ) == before


def test_a_proxy_that_is_down_is_named_without_its_password(make_transport, monkeypatch):
    port = free_port()
    monkeypatch.setenv("HTTP_PROXY", f"http://user:word@127.0.0.1:{port}")
    error = error_of(make_transport(), "http://127.0.0.1:9/v1/chat")
    assert f"proxy http://127.0.0.1:{port} refused the connection" in str(error)
    assert "HTTP_PROXY" in str(error)
    assert "word" not in str(error)


def test_a_proxy_that_refuses_the_tunnel_is_named(make_transport, make_proxy, monkeypatch):
    proxy = make_proxy(refuse="407 Proxy Authentication Required")
    monkeypatch.setenv("https_proxy", proxy.url)
    error = error_of(make_transport(), "https://127.0.0.1:9/v1/chat")
    assert "refused the tunnel (407" in str(error)


def test_a_cut_ends_what_waits_for_a_proxy(make_transport, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        transport = make_transport()
        clients = []

        def ready():
            for _ in range(8):
                clients.append(listener.accept()[0])
                assert clients[-1].recv(7) == b"CONNECT"

        run_and_cut(transport, "https://127.0.0.1:9/", transport.cut, ready)
        for client in clients:
            client.close()


# ── Limits of the machine ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_too_many_open_files_is_told_and_survived():
    code = """
import resource, sys, threading
from rollouts.exceptions import TransportError
from rollouts.transport import HttpTransport
transport = HttpTransport(max_connections=64)
prepared = transport.prepare(sys.argv[1], {}, None)
transport.post(prepared, b'{"seed": 1}', timeout=30)
print("warm", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
said, failed = [], threading.Semaphore(0)
def work():
    try:
        transport.post(prepared, b'{"seed": 1}', timeout=30)
    except TransportError as error:
        said.append(str(error))
        failed.release()
workers = [threading.Thread(target=work) for _ in range(40)]
for worker in workers: worker.start()
for _ in range(24): failed.acquire()
print("full", flush=True)
for worker in workers: worker.join()
assert all("max_concurrency" in text for text in said), said
assert transport.post(prepared, b'{"seed": 1}', timeout=30).status == 200
transport.close()
"""
    with LoopbackServer() as server:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "-c", code, chat(server)], **pipes) as child:
            assert child.stdout.readline() == "warm\n"
            server.hold()
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "full\n"
            server.release()
        assert child.returncode == 0


def test_a_storm_of_faults_loses_and_mixes_nothing(make_transport):
    """Three hundred requests, a third of them spoilt: every answer that comes is the asker's own."""
    faults = [Reply(reset="before"), Reply(json=chat_reply(), truncate=9), Reply(json=chat_reply(), reset="in-body")]

    def choose(request):
        seed = request.json()["seed"]
        return faults[seed % 9] if seed % 9 < 3 else None

    transport = make_transport(max_connections=16)
    with LoopbackServer(choose) as server, concurrent.futures.ThreadPoolExecutor(16) as pool:
        prepared = transport.prepare(chat(server), {}, None)

        def ask(seed):
            try:
                answer = transport.post(prepared, json.dumps({"seed": seed}).encode(), timeout=30)
            except TransportError:
                return None
            assert answer.json()["id"] == f"gen-{seed}"
            return seed

        got = list(pool.map(ask, range(300)))
        assert [seed for seed in range(300) if got[seed] is None] == [seed for seed in range(300) if seed % 9 < 3]
        assert len(server.requests) == 300
