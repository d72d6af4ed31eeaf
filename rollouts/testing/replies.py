"""What a loopback server says: OpenRouter-shaped bodies, and every way in which an answer can go wrong.

Knows no socket; `rollouts.testing.server` plays what is described here.
"""

from __future__ import annotations

import gzip as gzip_module
import itertools
import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as the server read it."""

    method: str
    path: str
    """The request's target as sent; a full URL when a proxy is spoken to."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    received: float
    """`time.monotonic()` when the last byte had been read."""
    connection: int
    """Which connection it came over, counted from 1."""

    def json(self) -> Any:
        """The parsed body.

        Raises:
            ValueError: The body is not JSON.
        """
        return json_module.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, and what goes wrong with it. All times are seconds."""

    status: int = 200
    json: Any = None
    """Sent as the body when not None."""
    body: bytes = b""
    """Sent as it is when `json` is None."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    padding: bytes = b""
    """White space before the body, as OpenRouter sends while a slow model works."""
    gzip: bool = False
    chunked: bool = False
    close: bool = False
    """Close the connection after the answer, and say so."""
    content_length: int | None = None
    """A `Content-Length` that is not true."""
    truncate: int = 0
    """So many bytes of the body are not sent; the connection is closed instead."""
    reset: Literal["before", "in-body"] | None = None
    """Reset the connection before the first byte, or halfway through the body."""
    drip: float = 0.0
    """Seconds between the bytes of the part named by `drip_part`."""
    drip_part: Literal["headers", "body"] = "body"
    hang: bool = False
    """Never answer; the connection stays open until the client leaves."""
    endless: bool = False
    """A body without end."""

    def content(self) -> bytes:
        """The body as sent, before chunking."""
        content = self.body if self.json is None else json_module.dumps(self.json).encode()
        content = self.padding + content
        return gzip_module.compress(content, compresslevel=1) if self.gzip else content

    def head(self, length: int) -> bytes:
        """The status line and the headers of a body of `length` bytes."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        headers: dict[str, str] = {"Content-Type": "application/json"}
        if self.gzip:
            headers["Content-Encoding"] = "gzip"
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif not self.endless:
            headers["Content-Length"] = str(length if self.content_length is None else self.content_length)
        if self.close:
            headers["Connection"] = "close"
        headers |= self.headers
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


_UNNUMBERED = itertools.count(1)


def chat_reply(
    content: str | None = "Four.",
    reasoning: str | None = "Two and two are four.",
    seed: int | None = None,
    finish_reason: str | None = "stop",
    model: str = "test/model",
    **fields: Any,
) -> dict[str, Any]:
    """A chat-completion body in OpenRouter's shape.

    Args:
        content: The message's content; with a `seed`, `Sample <seed>: ` stands before it.
        reasoning: The message's reasoning; None for a model that does not reason.
        seed: The sample's number, which the id carries too.
        finish_reason: Of the only choice.
        model: The model that is said to have answered.
        fields: Put over the top level of the body.
    """
    message: dict[str, Any] = {"role": "assistant", "content": _numbered(content, seed), "refusal": None}
    message["reasoning"] = reasoning
    if reasoning:
        message["reasoning_details"] = [
            {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0},
        ]
    choice = {"index": 0, "message": message, "logprobs": None}
    choice |= {"finish_reason": finish_reason, "native_finish_reason": finish_reason}
    return _envelope("chat.completion", choice, seed, model, reasoned=bool(reasoning)) | fields


def completion_reply(
    text: str = "Four.",
    seed: int | None = None,
    finish_reason: str | None = "stop",
    model: str = "test/model",
    **fields: Any,
) -> dict[str, Any]:
    """A body of the plain completions endpoint: as `chat_reply`, with `choices[0].text`."""
    choice = {"index": 0, "text": _numbered(text, seed), "logprobs": None, "finish_reason": finish_reason}
    return _envelope("text_completion", choice, seed, model, reasoned=False) | fields


def default_reply(request: ReceivedRequest) -> Reply:
    """What a server without instructions answers: the request's seed and model echoed."""
    try:
        asked = request.json()
        seed, model = asked.get("seed"), asked.get("model") or "test/model"
    except (ValueError, AttributeError):
        return Reply(status=400, json={"error": {"code": 400, "message": "the body is not a JSON object"}})
    if request.path.partition("?")[0].endswith("/chat/completions"):
        return Reply(json=chat_reply(seed=seed, model=model))
    return Reply(json=completion_reply(seed=seed, model=model))


def _numbered(text: str | None, seed: int | None) -> str | None:
    return text if seed is None or text is None else f"Sample {seed}: {text}"


def _envelope(kind: str, choice: dict[str, Any], seed: int | None, model: str, *, reasoned: bool) -> dict[str, Any]:
    return {
        # A service never says one id twice.
        "id": f"gen-{seed}" if seed is not None else f"gen-unnumbered-{next(_UNNUMBERED)}",
        "object": kind,
        "created": 1_790_000_000,
        "model": model,
        "provider": "Loopback",
        "choices": [choice],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 30,
            "cost": 0.0001,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 8 if reasoned else 0},
        },
    }
