"""The values that pass between the parts. Imports no part, and nothing but the standard library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from rollouts.exceptions import RolloutsError
    from rollouts.identity import SampleRequest
    from rollouts.results import Response
    from rollouts.typing.kinds import ThinkTemplate

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as Python reads it."""

Message: TypeAlias = Mapping[str, Any]
"""One chat message in the OpenAI form: `{"role": "user", "content": "…"}` and whatever else belongs to it."""

Clock: TypeAlias = Callable[[], float]
"""Seconds since some fixed moment, never running backwards: `time.monotonic` or a test's own."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A prompt after parsing: the finished messages, and the text that the model must go on from."""

    messages: tuple[Message, ...]
    """The finished turns, in order; never includes the partial assistant turn."""
    prefill: str | None = None
    """The partial assistant turn exactly as sent, tag included; None where there is none."""
    thought: str | None = None
    """The part of `prefill` that is thought, without tags; None where the prefill opens no thought."""
    partial: Message = field(default_factory=dict)
    """Further fields of the partial assistant message, when it was given as a message."""


@dataclass(frozen=True, slots=True)
class Parts:
    """One model text taken apart by a think template. No part contains a tag."""

    reasoning: str | None
    """Generated thought, without the injected text; None where there is none."""
    content: str
    """Generated answer after the thought."""
    completed: bool
    """True where the thought was closed by the model (or nothing was open)."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: `text == whole[start:end]`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What goes over the wire for one prompt: everything except the key, the seed and the number."""

    url: str
    """The full URL of the request; empty where the adapter knows it only once it is open (its `url(request)`)."""
    endpoint: str
    """Path below the base URL (`chat/completions`); part of the identity, unlike host and port."""
    body: JsonObject
    """The JSON body without seed and without `pin`."""
    seed_field: str | None
    """Name of the body's field that takes the sample's number; None for a service without seeds."""
    conversation: Conversation
    """The conversation that `body` encodes."""
    template: ThinkTemplate
    """How the answer is split."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The adapter's own headers, never a key; no part of the identity."""
    pin: JsonObject = field(default_factory=dict)
    """Routing that the package itself chose: merged into the body when sent, no part of the identity."""


class WireReply:
    """One HTTP answer as it came, with its JSON parsed at most once.

    Attributes:
        status: HTTP status code.
        headers: Response headers, names in lower case.
        body: The body after content decoding.
        latency: Seconds from the first byte sent to the last byte read.
    """

    __slots__ = ("_json", "body", "headers", "latency", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, latency: float = 0.0) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.latency = latency
        self._json: Any = _UNPARSED

    def json(self) -> Any:
        """The parsed body (leading white space allowed).

        Raises:
            ValueError: The body is not JSON, or not UTF-8.
        """
        if self._json is _UNPARSED:
            self._json = json.loads(self.body)
        return self._json


_UNPARSED = object()


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry of a cache: a sample, or what lies in a sample's place and is none."""

    place: str
    """Where it is: the file relative to `cache_dir`, or the table and row."""
    size: int
    """Bytes that it takes (of text where the storage tells no more)."""
    request: SampleRequest | None = None
    """The request, rebuilt by `SampleRequest.stored`; None where it cannot be read."""
    number: int | None = None
    """The sample's number; None where it cannot be read."""
    response: Response | None = None
    """The answer, marked as cached, its raw body read when asked for.

    None where there is a problem (save `ambiguous`, `error` and `unreached`)."""
    problem: (
        Literal["damaged", "foreign", "newer", "other", "0.1.x", "ambiguous", "error", "unreadable", "unreached"] | None
    ) = None
    """Why there is no answer: spoilt, no sample at all, of a later version, in another sample's place, or of
    rollouts 0.1.x, which stored no whole request. `ambiguous` is an answer of 0.1.x to what may be another request;
    `error` (set for whoever lists a response with that `finish_reason`) is an error stored as an answer.
    `unreadable` is what we have no right to read: it may be sound, and is never moved. `unreached` is a sound answer
    under a name that no reader comes to; `set_aside` gives it the right one."""
    detail: str = ""
    """The problem in words, where more is known."""

    def __post_init__(self) -> None:
        if self.problem is None and self.response is not None and self.response.finish_reason == "error":
            object.__setattr__(self, "problem", "error")


OutcomeKind: TypeAlias = Literal["ok", "truncated", "refused", "empty", "retryable", "fatal"]
"""What became of a request; see `Outcome`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one reply; the same value feeds retry, cache, limiter and the user's error.

    `ok`, `truncated` (cut by a length limit) and `refused` (by the model or a filter, with a finished body)
    are answers: returned and stored. `empty` and `retryable` are asked again; `fatal` is not.
    """

    kind: OutcomeKind
    error: type[RolloutsError] | None = None
    """What to raise when this verdict is the last word; None for an answer."""
    stops: Literal["sample", "prompt", "run"] = "sample"
    """How far a fatal verdict reaches: this sample, every sample of the prompt, or every request."""
    message: str = ""
    """What the service said, short, without secrets."""
    status: int | None = None
    """HTTP status, or the code found in the body when that is more telling; None when no answer came."""
    code: str | None = None
    """The service's own error type (`rate_limit_exceeded`, …)."""
    retry_after: float | None = None
    """Seconds that the service asks us to wait."""
    parks: bool = False
    """True where the service announced a limit: every request of the same scope waits."""
    billed: bool = False
    """True where the service may charge although we have no answer (a timed-out call)."""

    @property
    def is_answer(self) -> bool:
        """True for what is returned and stored."""
        return self.kind in ("ok", "truncated", "refused")
