"""A real HTTP/1.1 server on 127.0.0.1 with keep-alive, for tests. It knows nothing of the rest of the package.

One event loop in one daemon thread holds many hundred connections cheaply. Tests wait on events
(`wait_for`, `hold`, `release`), never on the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rollouts.testing.replies import ReceivedRequest, Reply, chat_reply, completion_reply, default_reply

__all__ = ["LoopbackServer", "ReceivedRequest", "Reply", "chat_reply", "completion_reply"]

Answer = Callable[[ReceivedRequest], Reply | None]
"""Chooses the reply to a request; runs on the server's thread and must not block. None: the default answer."""


class LoopbackServer:
    """A server that answers as OpenRouter does, or as `reply` says.

        with LoopbackServer() as server:
            client = RolloutsClient("test/model", base_url=server.url, api_key="x")

    Attributes:
        requests: Every request received, in order of arrival.
        connections: Connections accepted since the start or the last `reset()`.
        open_connections: Connections that are open now.
        in_flight: Requests received and not yet answered.
        peak_in_flight: The largest `in_flight` seen since the last `reset()`.
    """

    def __init__(
        self,
        reply: Answer | None = None,
        *,
        routes: Mapping[str, Answer] | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Set up; nothing listens before `start()` or `with`.

        Args:
            reply: Chooses the answer to each request; None, or a None from it, is the default answer.
            routes: Answers for other paths, by how the path ends: `{"/models": …}`.
            port: 0 for any free port; kept over a restart.
            tls: Serve HTTPS with this context.
        """
        self.reply = reply
        self.routes = dict(routes or {})
        self.requests: list[ReceivedRequest] = []
        self.connections = self.open_connections = self.in_flight = self.peak_in_flight = 0
        self._port = port
        self._tls = tls
        self._arrived = threading.Condition()
        self._gate = asyncio.Event()
        self._held = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL: `http://127.0.0.1:PORT/api/v1`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/api/v1"

    def __enter__(self) -> LoopbackServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; on the same port again after `stop()`.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(4096)
        self._port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener, ready), name=f"loopback-server-{self._port}", daemon=True
        )
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Cut every connection and free the port; may be called twice."""
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def reset(self) -> None:
        """Forget the requests and the counts; open connections stay open."""
        with self._arrived:
            self.requests = []
            self.connections = 0
            self.peak_in_flight = self.in_flight

    def hold(self) -> None:
        """Keep every answer back until `release()`."""
        self._held = True
        self._on_loop(self._gate.clear)

    def release(self) -> None:
        """Let the answers go that `hold()` keeps back."""
        self._held = False
        self._on_loop(self._gate.set)

    def wait_for(self, n: int, timeout: float = 10.0) -> None:
        """Wait until `n` requests have arrived since the start or the last `reset()`.

        Raises:
            TimeoutError: Fewer had arrived after `timeout` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= n, timeout):
                raise TimeoutError(f"{len(self.requests)} of {n} requests arrived within {timeout} s")

    # ── On the server's own thread ──────────────────────────────────────────────────────────────────────

    def _on_loop(self, callback: Callable[[], None]) -> None:
        if self._loop is None:
            callback()
        else:
            self._loop.call_soon_threadsafe(callback)

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        if not self._held:
            self._gate.set()
        serving = asyncio.start_server(self._serve, sock=listener, ssl=self._tls, backlog=4096)
        server = loop.run_until_complete(serving)
        # Failed TLS handshakes and clients that leave are what tests provoke, not news.
        loop.set_exception_handler(lambda loop, context: None)
        self._loop = loop
        ready.set()
        try:
            loop.run_forever()
        finally:
            # A connection that was accepted last is served some turns later. Were the server closed or its tasks
            # cancelled before that, nobody would answer it and nobody close it.
            loop.remove_reader(listener)
            loop.run_until_complete(_turns(8))
            server.close()
            while tasks := asyncio.all_tasks(loop):
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(tasks))
            loop.run_until_complete(_turns(2))  # so that aborted transports close their sockets
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        number = self.connections
        try:
            while (request := await _read_request(reader, number)) is not None:
                with self._arrived:
                    self.requests.append(request)
                    self.in_flight += 1
                    self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
                    self._arrived.notify_all()
                try:
                    keep = await self._answer(request, reader, writer)
                finally:
                    self.in_flight -= 1
                if not keep:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            with contextlib.suppress(OSError, RuntimeError):
                writer.close() if self._loop is not None else writer.transport.abort()

    async def _answer(
        self, request: ReceivedRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        reply = self._choose(request)
        if not self._gate.is_set():
            await self._gate.wait()
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.hang:
            await reader.read()
            return False
        if reply.reset == "before":
            return _reset(writer)
        return await _send(reply, writer) and request.headers.get("connection", "").lower() != "close"

    def _choose(self, request: ReceivedRequest) -> Reply:
        path = request.path.partition("?")[0]
        for ending, answer in self.routes.items():
            if path.endswith(ending):
                return answer(request) or Reply()
        if request.method == "POST" and path.endswith("/completions"):
            chosen = self.reply(request) if self.reply is not None else None
            return chosen or default_reply(request)
        return Reply(status=404, json={"error": {"code": 404, "message": f"no such path: {path}"}})


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> ReceivedRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ReceivedRequest(method, path, headers, body, time.monotonic(), connection)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> bool:
    """Send a reply; True where the connection can serve another request."""
    content = reply.content()
    head = reply.head(len(content))
    if reply.endless:
        return await _send_endless(reply, head, writer)
    if reply.chunked:
        content = b"".join(_chunk(content[at : at + 1000]) for at in range(0, len(content), 1000)) + b"0\r\n\r\n"
    if reply.truncate:
        content = content[: -reply.truncate]
    if reply.reset == "in-body":
        writer.write(head + content[: len(content) // 2])
        await writer.drain()
        return _reset(writer)
    if reply.drip:
        await _drip(reply, head, content, writer)
    else:
        writer.write(head + content)
    await writer.drain()
    return not (reply.close or reply.truncate)


async def _drip(reply: Reply, head: bytes, content: bytes, writer: asyncio.StreamWriter) -> None:
    slow, fast = (head, content) if reply.drip_part == "headers" else (content, b"")
    if reply.drip_part == "body":
        writer.write(head)
    for at in range(len(slow)):
        writer.write(slow[at : at + 1])
        await writer.drain()
        await asyncio.sleep(reply.drip)
    writer.write(fast)


async def _send_endless(reply: Reply, head: bytes, writer: asyncio.StreamWriter) -> bool:
    writer.write(head)
    piece = b" " * 65536
    while True:
        writer.write(_chunk(piece) if reply.chunked else piece)
        await writer.drain()


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with a TCP reset instead of a polite end; always False."""
    plain = writer.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
