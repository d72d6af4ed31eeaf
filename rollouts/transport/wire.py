"""Reads one HTTP/1.1 answer from a socket, and undoes its encodings. Knows no connection, key or deadline.

`http.client` reads through a buffered file, line by line, and builds an e-mail message of the headers; this reads
whole buffers, with one system call for a usual answer, and knows whether bytes were left over: such a connection must
not be used again (the next sample would be read from this one's rest).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

_HEAD_LIMIT = 256 * 1024
_PIECE = 65536
Receive = Callable[[int], bytes]


class WireError(Exception):
    """The bytes are not an HTTP answer, or the answer ended early; the message says which."""


class NoAnswer(WireError):
    """The connection ended before the first byte of an answer."""


class BodyTooLong(WireError):
    """The body is longer than the bound."""


class WireAnswer:
    """One answer as read.

    Attributes:
        status: HTTP status code.
        headers: Names in lower case; equal names joined by commas.
        body: After all encodings are undone.
        reusable: True where the connection may serve another request.
    """

    __slots__ = ("body", "headers", "reusable", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes, reusable: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.reusable = reusable


def read_answer(receive: Receive, max_body: int) -> WireAnswer:
    """Read one final answer (1xx are passed over).

    Args:
        receive: `socket.recv`: up to n bytes, `b""` at the end.
        max_body: Most bytes of a body, before and after decoding.

    Raises:
        WireError: See its subclasses; `OSError` comes from `receive`.
    """
    rest = b""
    while True:
        status, version, headers, rest = _read_head(receive, rest)
        if status >= 200 or status == 101:
            break
    reusable = version != b"HTTP/1.0"
    connection = headers.get("connection")
    if connection is not None:
        wishes = connection.lower()
        reusable = "close" not in wishes and (reusable or "keep-alive" in wishes)
    coding = headers.get("transfer-encoding")
    if status in (204, 304):
        body = b""
    elif coding is not None and coding.lower() != "identity":
        if coding.lower().rpartition(",")[2].strip() != "chunked":
            raise WireError(f"transfer encoding {coding[:40]!r} is not known")
        body, rest = _read_chunks(receive, rest, max_body)
    elif (length := headers.get("content-length")) is not None:
        body, rest = _read_exactly(receive, rest, _length(length), max_body)
    else:
        body, rest, reusable = _read_to_end(receive, rest, max_body), b"", False
    encoding = headers.get("content-encoding")
    if encoding is not None and body:
        body = _decode(body, encoding, max_body)
    return WireAnswer(status, headers, body, reusable and not rest)


def _read_head(receive: Receive, buffer: bytes) -> tuple[int, bytes, dict[str, str], bytes]:
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if len(buffer) > _HEAD_LIMIT:
            raise WireError(f"the headers are longer than {_HEAD_LIMIT} bytes")
        piece = receive(_PIECE)
        if not piece:
            if buffer:
                raise WireError("the connection ended within the headers")
            raise NoAnswer("the connection ended before the answer")
        buffer = buffer + piece if buffer else piece
        if not buffer.startswith(b"HTTP/"[: len(buffer)]):
            raise WireError("what came is not HTTP")
    first, _, lines = buffer[:end].decode("latin-1").partition("\r\n")
    version, _, tail = first.partition(" ")
    if not (tail[:3].isascii() and tail[:3].isdigit()):
        raise WireError(f"the status line {first[:60]!r} has no status")
    headers: dict[str, str] = {}
    name = ""
    for line in lines.split("\r\n") if lines else ():
        if line[:1] in (" ", "\t"):
            if name:
                headers[name] += " " + line.strip()
            continue
        name, _, value = line.partition(":")
        name, value = name.rstrip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(tail[:3]), version.encode("latin-1"), headers, buffer[end + 4 :]


def _length(text: str) -> int:
    lengths = {part.strip() for part in text.split(",")}
    only = lengths.pop()
    if lengths or not (only.isascii() and only.isdigit()):
        raise WireError(f"Content-Length {text[:40]!r} is no length")
    return int(only)


def _read_exactly(receive: Receive, buffer: bytes, length: int, max_body: int) -> tuple[bytes, bytes]:
    if length > max_body:
        raise BodyTooLong(f"a body of {length} bytes is announced; at most {max_body} are read")
    have = len(buffer)
    if have >= length:
        return (buffer, b"") if have == length else (buffer[:length], buffer[length:])
    pieces = [buffer]
    while have < length:
        piece = receive(min(length - have, 4 * _PIECE))
        if not piece:
            raise WireError(f"the connection ended after {have} of {length} bytes of the body")
        pieces.append(piece)
        have += len(piece)
    return b"".join(pieces), b""


def _read_to_end(receive: Receive, buffer: bytes, max_body: int) -> bytes:
    body = bytearray(buffer)
    while piece := receive(_PIECE):
        body += piece
        if len(body) > max_body:
            raise BodyTooLong(f"the body is longer than {max_body} bytes")
    return bytes(body)


def _read_chunks(receive: Receive, rest: bytes, max_body: int) -> tuple[bytes, bytes]:
    body, buffer = bytearray(), bytearray(rest)

    def line() -> bytes:
        while (end := buffer.find(b"\r\n")) < 0:
            if len(buffer) > _HEAD_LIMIT:
                raise WireError("a chunk's head is too long")
            more()
        found = bytes(buffer[:end])
        del buffer[: end + 2]
        return found

    def more() -> None:
        piece = receive(_PIECE)
        if not piece:
            raise WireError(f"the connection ended after {len(body)} bytes of a chunked body")
        buffer.extend(piece)

    while True:
        head = line().partition(b";")[0].strip()
        if not head or any(digit not in b"0123456789abcdefABCDEF" for digit in head):
            raise WireError(f"{head[:20]!r} is no length of a chunk")
        size = int(head, 16)
        if size == 0:
            break
        if len(body) + size > max_body:
            raise BodyTooLong(f"the body is longer than {max_body} bytes")
        while len(buffer) < size + 2:
            more()
        if buffer[size : size + 2] != b"\r\n":
            raise WireError("a chunk is longer than it says")
        body += buffer[:size]
        del buffer[: size + 2]
    while line():  # trailers
        pass
    return bytes(body), bytes(buffer)


def _decode(body: bytes, encoding: str, max_body: int) -> bytes:
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("gzip", "x-gzip", "deflate"):
            body = _inflate(body, max_body, raw=name == "deflate" and (len(body) < 2 or body[0] & 0x0F != 8))
        elif name not in ("identity", ""):
            raise WireError(f"content encoding {name[:40]!r} was not asked for and is not known")
    return body


def _inflate(body: bytes, max_body: int, *, raw: bool) -> bytes:
    decoded = bytearray()
    while body:
        # 47: gzip or zlib, whichever its head says; -15: deflate as some servers send it, without a head.
        inflater = zlib.decompressobj(-15 if raw else 47)
        try:
            decoded += inflater.decompress(body, max_body + 1 - len(decoded))
        except zlib.error as error:
            raise WireError(f"the compressed body is damaged ({error})") from None
        if len(decoded) > max_body:
            raise BodyTooLong(f"the body is longer than {max_body} bytes when unpacked")
        if not inflater.eof:
            raise WireError("the compressed body ended early")
        body = b"" if raw else inflater.unused_data.lstrip(b"\0")
    return bytes(decoded)
