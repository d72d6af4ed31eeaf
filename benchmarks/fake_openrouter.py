"""A loopback stand-in for OpenRouter, cheap enough not to be what a benchmark measures.

    python fake_openrouter.py --port 8399 --latency-ms 50

HTTP/1.1 with keep-alive, one process, one event loop (uvloop when installed), a
hand-written parser for exactly what API clients send: a request line, headers, a
Content-Length or chunked body.

    POST /api/v1/chat/completions, /v1/chat/completions, /chat/completions
    GET  /stats             counters since the last reset, as JSON
    GET  /reset?k=v&...     zero the counters and set options (latency_ms=50&p_429=0.1 ...)
    GET  /healthz           204

The answer's text starts with "Sample <seed>:" when the request has a seed, so a client's
bookkeeping can be checked; its id carries the seed too. Every option below may also be given
as an environment variable FAKE_<OPTION> (FAKE_LATENCY_MS=50).
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import re
import resource
import socket
import time
from urllib.parse import parse_qsl, urlsplit

DEFAULTS = {
    "latency_ms": 0.0,  # time from the request's last byte to the answer
    "sigma": 0.0,  # > 0: lognormal latency with median latency_ms and this sigma
    "content_chars": 1200,  # length of message.content
    "reasoning_chars": 800,  # length of message.reasoning (0: a model that does not reason)
    "details": 1.0,  # 1: repeat the reasoning in reasoning_details, as OpenRouter does
    "p_429": 0.0,  # probability of 429 with Retry-After
    "p_500": 0.0,  # probability of 500
    "p_truncated": 0.0,  # probability of a body cut short, the connection then closed
    "p_error200": 0.0,  # probability of 200 with {"error": ...}, as OpenRouter does
    "retry_after_s": 1.0,  # Retry-After of a 429
    "close": 0.0,  # 1: answer every request with Connection: close
    "rng": 0.0,  # seed of the error and latency draws
}

PHRASE = (
    "the model considers each step of the problem and checks that the total agrees "
    "with what was asked before it writes the answer out in full"
)
SEED = re.compile(rb'"seed"\s*:\s*(\d+)')
MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.I)
CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.I)


def filler(chars):
    words = random.Random(chars)
    text = ""
    while len(text) < chars:
        text += words.choice(PHRASE.split()) + (".\n" if words.random() < 0.08 else " ")
    return text[:chars]


class State:
    def __init__(self, options):
        self.options = dict(options)
        self.open = 0
        self.reset({})

    def reset(self, changes):
        for key, value in changes.items():
            if key in self.options:
                self.options[key] = float(value)
        o = self.options
        self.random = random.Random(o["rng"])
        self.requests = self.connections = self.reused = self.peak = 0
        self.bytes_in = self.bytes_out = 0
        self.errors = {"429": 0, "500": 0, "truncated": 0, "error200": 0}
        self.in_flight = 0
        self.epoch = time.monotonic()
        self.cpu0 = time.process_time()
        self.faulty = any(o[k] for k in ("p_429", "p_500", "p_truncated", "p_error200"))
        self.build()

    def build(self):
        """Pre-render the answer around its three variable parts: id, model, seed text."""
        o = self.options
        reasoning = filler(int(o["reasoning_chars"]))
        message = {
            "role": "assistant",
            "content": "@SEED@" + filler(int(o["content_chars"])),
            "refusal": None,
            "reasoning": reasoning or None,
        }
        if reasoning and o["details"]:
            message["reasoning_details"] = [
                {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0}
            ]
        answer = {
            "id": "gen-@ID@",
            "provider": "Loopback",
            "model": "@MODEL@",
            "object": "chat.completion",
            "created": 1760000000,
            "choices": [
                {
                    "logprobs": None,
                    "finish_reason": "stop",
                    "native_finish_reason": "stop",
                    "index": 0,
                    "message": message,
                }
            ],
            "system_fingerprint": None,
            "usage": {
                "prompt_tokens": 24,
                "completion_tokens": 420,
                "total_tokens": 444,
                "cost": 0.000126,
                "is_byok": False,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 180},
            },
        }
        text = json.dumps(answer).encode()
        before, rest = text.split(b"@ID@")
        middle, rest = rest.split(b"@MODEL@")
        before_seed, after = rest.split(b"@SEED@")
        self.parts = before, middle, before_seed, after
        self.fixed = len(before) + len(middle) + len(before_seed) + len(after)

    def stats(self):
        return {
            "requests": self.requests,
            "connections": self.connections,
            "reused": self.reused,
            "peak_in_flight": self.peak,
            "in_flight": self.in_flight,
            "open": self.open,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "errors": self.errors,
            "server_cpu_s": round(time.process_time() - self.cpu0, 4),
            "since_reset_s": round(time.monotonic() - self.epoch, 4),
            "options": self.options,
        }

    def delay(self):
        latency = self.options["latency_ms"] / 1000
        sigma = self.options["sigma"]
        return latency * math.exp(self.random.gauss(0, sigma)) if sigma else latency

    def fault(self):
        draw = self.random.random()
        for kind in ("429", "500", "truncated", "error200"):
            draw -= self.options["p_" + kind]
            if draw < 0:
                self.errors[kind] += 1
                return kind
        return None


def simple(status, body=b"", extra=b"", content_type=b"application/json"):
    return (
        b"HTTP/1.1 "
        + status
        + b"\r\nContent-Type: "
        + content_type
        + b"\r\n"
        + extra
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )


class Connection(asyncio.Protocol):
    __slots__ = ("buffer", "loop", "served", "state", "transport")

    def __init__(self, state, loop):
        self.state, self.loop = state, loop
        self.buffer, self.served, self.transport = b"", 0, None

    def connection_made(self, transport):
        self.transport = transport
        self.state.open += 1

    def connection_lost(self, exc):
        self.transport = None
        self.state.open -= 1

    def data_received(self, data):
        buffer = self.buffer + data if self.buffer else data
        while buffer:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            head = buffer[:end]
            if head.startswith(b"POST"):
                length = LENGTH.search(head)
                if length:
                    stop = end + 4 + int(length.group(1))
                    if len(buffer) < stop:
                        break
                    body = buffer[end + 4 : stop]
                elif CHUNKED.search(head):
                    stop = buffer.find(b"0\r\n\r\n", end + 4) + 5
                    if stop < 5:
                        break
                    body = buffer[end + 4 : stop]  # framing left in: only two fields are read
                else:
                    stop, body = end + 4, b""
                self.state.bytes_in += stop
                self.post(head, body)
            else:
                stop = end + 4
                self.get(head.split(b" ", 2)[1].decode())
            buffer = buffer[stop:]
        self.buffer = buffer

    def get(self, target):
        state, url = self.state, urlsplit(target)
        if url.path == "/stats":
            reply = simple(b"200 OK", json.dumps(state.stats()).encode())
        elif url.path == "/reset":
            state.reset(dict(parse_qsl(url.query)))
            reply = simple(b"200 OK", json.dumps(state.options).encode())
        elif url.path == "/healthz":
            reply = simple(b"204 No Content")
        else:
            reply = simple(b"404 Not Found", b'{"error":{"code":404,"message":"no such path"}}')
        self.transport.write(reply)

    def post(self, head, body):
        state = self.state
        state.requests += 1
        if self.served:
            state.reused += 1
        else:
            state.connections += 1
        self.served += 1
        state.in_flight += 1
        if state.in_flight > state.peak:
            state.peak = state.in_flight
        close = bool(state.options["close"]) or CLOSE.search(head) is not None
        delay = state.delay()
        if delay > 0:
            self.loop.call_later(delay, self.answer, body, close, state.requests)
        else:
            self.answer(body, close, state.requests)

    def answer(self, body, close, number):
        state = self.state
        state.in_flight -= 1
        if self.transport is None:
            return
        fault = state.fault() if state.faulty else None
        if fault == "429":
            reply = simple(
                b"429 Too Many Requests",
                b'{"error":{"code":429,"message":"Rate limit exceeded"}}',
                b"Retry-After: %g\r\n" % state.options["retry_after_s"],
            )
        elif fault == "500":
            reply = simple(b"500 Internal Server Error", b'{"error":{"code":500,"message":"Internal error"}}')
        elif fault == "error200":
            reply = simple(b"200 OK", b'{"error":{"code":502,"message":"Provider returned error"}}')
        else:
            seed, model = SEED.search(body), MODEL.search(body)
            model = model.group(1) if model else b"unknown"
            if seed:
                seed = seed.group(1)
                ident, lead = b"%d-%s" % (number, seed), b"Sample " + seed + b": "
            else:
                ident, lead = b"%d" % number, b""
            before, middle, before_seed, after = state.parts
            length = state.fixed + len(ident) + len(model) + len(lead)
            reply = b"".join(
                (
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                    b"Connection: close\r\n" if close else b"",
                    b"Content-Length: %d\r\n\r\n" % length,
                    before,
                    ident,
                    middle,
                    model,
                    before_seed,
                    lead,
                    after,
                )
            )
            if fault == "truncated":
                reply, close = reply[: -length // 2], True
        state.bytes_out += len(reply)
        self.transport.write(reply)
        if close:
            self.transport.close()


async def serve(options, host, port, ready):
    loop = asyncio.get_running_loop()
    state = State(options)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    server = await loop.create_server(lambda: Connection(state, loop), sock=sock, backlog=4096)
    if ready:
        print(
            json.dumps({"port": sock.getsockname()[1], "pid": os.getpid(), "loop": type(loop).__module__}), flush=True
        )
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8399, help="0: any free port")
    for key, value in DEFAULTS.items():
        parser.add_argument(
            "--" + key.replace("_", "-"), type=float, default=float(os.environ.get("FAKE_" + key.upper(), value))
        )
    args = vars(parser.parse_args())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        import uvloop

        uvloop.install()
    except ImportError:
        pass
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve({k: args[k] for k in DEFAULTS}, args["host"], args["port"], True))


if __name__ == "__main__":
    main()
