"""Reads one answer through http.client and urllib3, bounded, and tells whether its connection may serve again.

Imports both; imported when the first request is sent.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import threading
from typing import Any

from rollouts.transport.watchdog import Attempt

_HEADS = 1 << 20
"""Bytes beyond the body's bound that an answer may have: headers, and what chunking adds."""
_PIECE = 1 << 20
"""Bytes asked for at once: nothing is made ready for what a server only announces."""
_CODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class Broken(Exception):
    """The answer is none; the message says why."""


class BodyTooLong(Exception):
    """The body is longer than the bound."""


_turn = threading.Lock()
_PATIENCE = 1.0
"""Seconds after which a thread goes on without its turn: it is there for speed alone."""


class Exchange(Attempt):
    """One request and its answer: what the watchdog must know, and what happened to the connection on the way.

    Attributes:
        connected: A connection was made, or taken from the idle ones.
        reused: The connection had served before.
        refused: The other side closed before it had read the whole request.
        sent: The whole request was given to the kernel.
        left_over: More bytes came than the answer has.
        received: Bytes of the answer so far.
        max_body: Most bytes of a body, before and after decoding.
    """

    __slots__ = ("_has_turn", "connected", "left_over", "max_body", "received", "refused", "resolver", "reused", "sent")

    def __init__(self, deadline: float, owner: object, resolver: Any, max_body: int) -> None:
        """Begin."""
        super().__init__(deadline, owner)
        self.resolver = resolver
        self.max_body = max_body
        self._has_turn = False
        self.start_again()

    def enter(self) -> None:
        """Wait for the turn to work on what has come.

        Hundreds of threads whose answers are there would all wait for the interpreter's lock, and each wakes up every
        5 ms to ask for it: with 512, that took half of all CPU time. Here they wait asleep.
        """
        self._has_turn = True  # first: an interrupt in between must not leave the turn with nobody
        self._has_turn = _turn.acquire(timeout=_PATIENCE)

    def leave(self) -> None:
        """Give the turn on: before waiting for anything, and at the end."""
        if self._has_turn:
            self._has_turn = False
            with contextlib.suppress(RuntimeError):
                _turn.release()

    def start_again(self) -> None:
        """Nothing is connected, sent or received."""
        self.connected = self.reused = self.refused = self.sent = self.left_over = False
        self.received = 0


class _Counted(io.RawIOBase):
    """What comes from a socket, counted; ended by its bound."""

    def __init__(self, raw: Any, exchange: Exchange) -> None:
        self._raw = raw
        self._receive = raw.readinto
        self._most = exchange.received + exchange.max_body + _HEADS
        self._exchange = exchange
        self.ended = False
        self.finished = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.finished:
            return None  # nothing more is asked of the socket
        exchange = self._exchange
        exchange.leave()
        n: int = self._receive(buffer)
        exchange.enter()
        exchange.received += n
        if n == 0:
            self.ended = True
        elif exchange.received > self._most:
            raise BodyTooLong(f"more than {exchange.max_body} bytes came")
        return n

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


class _Reader(io.BufferedReader):
    """The file that http.client reads an answer from, and closes when the answer is whole: what is left is too much."""

    raw: _Counted

    def close(self) -> None:
        if not self.closed:
            self.raw.finished = True
            if self.peek(1):
                self.raw._exchange.left_over = True
            super().close()


class Answer(http.client.HTTPResponse):
    """An answer as http.client reads it, over a counted file."""

    exchange: Exchange

    def __init__(self, sock: Any, exchange: Exchange, **options: Any) -> None:
        """As http.client makes it; `exchange` gets to know what comes."""
        super().__init__(sock, **options)
        plain: Any = self.fp
        self._counted = _Counted(plain.detach(), exchange)
        self.fp = _Reader(self._counted)

    def begin(self) -> None:
        """Read the status and the headers of the final answer."""
        super().begin()
        while 100 < self.status < 200 and self.status != 101:
            self.headers = self.msg = None  # type: ignore[assignment]  # http.client passes over 100 alone
            super().begin()
        if self._counted.ended:
            raise Broken("the connection ended within the headers")


def read_body(response: Any, max_body: int) -> bytes:
    """The decoded body of a urllib3 response whose headers were read.

    Raises:
        BodyTooLong: It is longer than `max_body`, before or after decoding.
        Broken: Its headers say nothing that can be read.
    """
    headers = response.headers
    length = response.length_remaining
    # http.client reads to the end of the connection where it understands no length: with a server that keeps it open
    # that is the deadline.
    coding = headers.get("transfer-encoding", "").lower()
    if coding not in ("", "identity", "chunked"):
        raise Broken(f"transfer encoding {coding[:40]!r} is not known")
    if length is None and not coding and "content-length" in headers:
        raise Broken(f"Content-Length {headers['content-length'][:40]!r} is no length")
    if length is not None and length > max_body:
        raise BodyTooLong(f"a body of {length} bytes is announced; at most {max_body} are read")
    encoding = headers.get("content-encoding")
    decode = encoding is not None
    if encoding is not None and not {part.strip() for part in encoding.lower().split(",")} <= _CODINGS:
        raise Broken(f"content encoding {encoding[:40]!r} was not asked for and is not known")
    pieces: list[bytes] = []
    have = 0
    while True:
        piece = response.read(min(max_body + 1 - have, _PIECE), decode_content=decode)
        if not piece:
            break
        pieces.append(piece)
        have += len(piece)
        if have > max_body:
            raise BodyTooLong(f"the body is longer than {max_body} bytes")
        if not decode and response.length_remaining == 0:
            break
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
