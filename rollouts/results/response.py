"""One sample: `Response`, or `Failure` where none came. Knows nothing of HTTP, caches or providers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from rollouts.exceptions import RolloutsError

RawSource = bytes | Callable[[], bytes] | None
"""The body as it came, or how to read it again from where it is stored."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one sample, as the provider states them. What it does not state is None, never 0."""

    prompt_tokens: int | None = None
    """Tokens of the prompt, injected text included."""
    completion_tokens: int | None = None
    """Generated tokens, reasoning included."""
    total_tokens: int | None = None
    """Their sum, as the provider counts it."""
    reasoning_tokens: int | None = None
    """Generated tokens that were reasoning."""
    cached_tokens: int | None = None
    """Prompt tokens read from the provider's own prompt cache."""
    cost: float | None = None
    """US dollars."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return {name: getattr(self, name) for name in USAGE_FIELDS}


USAGE_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Usage))
_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Response:
    """One answer of a model, fresh or from the cache.

    Text is kept as it came: nothing is trimmed. Two responses are equal when all that a provider said is equal
    (position, `cached`, `latency` and `attempts` aside).
    """

    content: str
    """The answer after the thought; everything where the model does not reason."""
    reasoning: str | None = None
    """Generated thought without the injected part; None for a model that does not reason or hides it."""
    finish_reason: str | None = None
    """Why generation ended: `stop`, `length`, `content_filter`, `tool_calls`; None where not said."""
    native_finish_reason: str | None = None
    """The same in the provider's own word."""
    completed_reasoning: bool | None = None
    """True where the thought was closed, False where it was cut, None where there was none."""
    provider: str | None = None
    """Who computed the answer, as OpenRouter calls it."""
    model: str | None = None
    """The model that served, which may differ from the one asked for."""
    response_id: str | None = None
    created: int | None = None
    """Unix time, seconds, as the service states it."""
    usage: Usage = _NO_USAGE
    logprobs: Any = None
    """Log-probabilities in the OpenAI shape, of generated tokens only; None where not given."""
    tool_calls: Any = None
    """Tool calls in the OpenAI shape; None where there are none."""
    refusal: str | None = None
    """The model's refusal where the service keeps it apart."""
    reasoning_kind: str | None = None
    """`text`, or `summary` and `encrypted` where `reasoning` is not the true thought; None without reasoning."""
    system_fingerprint: str | None = None
    continued: Literal["yes", "no", "unknown"] | None = None
    """Did the model go on from the prefill; None without one."""
    continued_reason: str | None = None
    """The evidence for `continued`, in a few words."""
    latency: float | None = None
    """Seconds of the attempt that succeeded."""
    attempts: int = 1
    """Requests that this sample took, retries included."""
    received: float | None = None
    """Unix time, seconds, by this machine's clock, at which the answer was complete."""
    pin: Mapping[str, Any] | None = None
    """Provider routing that the package itself chose for this answer; None where it chose none."""
    origin: str | None = None
    """Where a cached answer came from when not from this version's own store: `0.1.x`."""
    prefill: str | None = None
    """The partial assistant turn as sent, tag included."""
    injected: str | None = None
    """The injected thought without tags."""
    seed: int = 0
    """The sample's number: sent as seed where the service takes seeds, part of its name in the cache."""
    index: int = 0
    """Position among the samples of its prompt: `seed` less the first seed."""
    prompt_index: int = 0
    """Position of its prompt among the prompts of the call."""
    prompt: Any = None
    """The prompt as the caller gave it."""
    cached: bool = False
    """True where no request was made."""
    raw_source: RawSource = None
    """Where `raw` comes from."""

    @property
    def full(self) -> str:
        """The text after the prefill: `{reasoning}</think>{content}`, `{reasoning}` when cut, or `{content}`."""
        if self.reasoning is None:
            return self.content
        if self.completed_reasoning is False:
            return self.reasoning
        return f"{self.reasoning}</think>{self.content}"

    @property
    def whole(self) -> str:
        """The assistant's turn from its beginning: the prefill as sent, and `full`."""
        return (self.prefill or "") + self.full

    @property
    def thought(self) -> str | None:
        """Injected text and reasoning together, without tags; fit to be injected again. None without thought."""
        if self.injected is None:
            return self.reasoning
        return self.injected + (self.reasoning or "")

    @property
    def raw(self) -> Any:
        """The service's answer as parsed JSON; None where it was not kept."""
        body = self.raw_body
        return None if body is None else json.loads(body)

    @property
    def raw_body(self) -> bytes | None:
        """The service's answer as it came (cached answers: read again from the storage)."""
        source = self.raw_source
        return source() if callable(source) else source

    def to_dict(self) -> dict[str, Any]:
        """All fields and `full`, `thought` as plain JSON values, without `raw`."""
        record = {name: getattr(self, name) for name in _PUBLIC}
        record["usage"] = self.usage.to_dict()
        record["full"] = self.full
        record["thought"] = self.thought
        return record

    def _repr_html_(self) -> str:
        from rollouts.results.html import response_html

        return response_html(self)

    def __repr__(self) -> str:
        shown = {"seed": self.seed, "content": self.content, "reasoning": self.reasoning}
        texts = (f"{name}={_short(value)!r}" for name, value in shown.items())
        cached = ", cached" if self.cached else ""
        return f"Response({', '.join(texts)}, finish_reason={self.finish_reason!r}{cached})"

    def __eq__(self, other: object) -> bool:
        """Equal in all that the provider said, and in number."""
        if not isinstance(other, Response):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    def __hash__(self) -> int:
        return hash((self.seed, self.content, self.reasoning, self.response_id))


def _short(value: object) -> object:
    return value[:59] + "…" if isinstance(value, str) and len(value) > 60 else value


_PUBLIC: tuple[str, ...] = tuple(f.name for f in fields(Response) if f.name not in ("raw_source", "usage"))
_POSITION = (
    "index",
    "prompt_index",
    "prompt",
    "cached",
    "raw_source",
    "latency",
    "attempts",
    "received",
    "origin",
    "pin",
)
_COMPARED: tuple[str, ...] = tuple(f.name for f in fields(Response) if f.name not in _POSITION)


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that has no answer."""

    kind: Literal["failed", "not_sent", "cancelled"]
    """`failed`: tried and given up; `not_sent`: the run was stopped before; `cancelled`: stopped on the way."""
    error: RolloutsError | None = None
    """Why; None for a sample that was merely not sent."""
    seed: int = 0
    """The sample's number."""
    index: int = 0
    """Position among the samples of its prompt."""
    prompt_index: int = 0
    """Position of its prompt among the prompts of the call."""
    prompt: Any = None
    """The prompt as the caller gave it."""
    attempts: int = 0
    """Requests made for it."""

    def to_dict(self) -> dict[str, Any]:
        """The failure as plain JSON values."""
        return {
            "kind": self.kind,
            "error": None if self.error is None else f"{type(self.error).__name__}: {self.error}",
            "seed": self.seed,
            "index": self.index,
            "prompt_index": self.prompt_index,
            "prompt": self.prompt,
            "attempts": self.attempts,
        }


def place(response: Response, *, index: int, prompt_index: int, prompt: Any) -> Response:
    """Tell a response its position in a call, and give it back.

    Changes `response` itself: only for whoever has just made it (copying 25 fields a cached sample would cost more
    than reading it).
    """
    object.__setattr__(response, "index", index)
    object.__setattr__(response, "prompt_index", prompt_index)
    object.__setattr__(response, "prompt", prompt)
    return response


def keep_raw(response: Response, source: RawSource) -> None:
    """Let a response's `raw` come from `source` from now on; as `place`, only for whoever holds it alone."""
    object.__setattr__(response, "raw_source", source)
