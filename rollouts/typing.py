"""What a plugin must look like, and the values that pass between the parts.

One Protocol for each kind of plugin, and the frozen values they exchange. This module knows nothing of
HTTP, files, threads or pluggy: it can be imported by anything, and imports `results`, `events` and
`exceptions` for type checking only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import argparse

    from rollouts.events import SampleEvent
    from rollouts.exceptions import RolloutsError
    from rollouts.identity import SampleKey, SampleRequest
    from rollouts.results import Response, Usage

T = TypeVar("T")

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as Python reads it."""

Message: TypeAlias = Mapping[str, Any]
"""One chat message in the OpenAI form: `{"role": "user", "content": "…"}` and whatever else belongs to it."""

Clock: TypeAlias = Callable[[], float]
"""Seconds since some fixed moment, never running backwards: `time.monotonic` or a test's own."""


# ── Values ──────────────────────────────────────────────────────────────────────────────────────────────


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
    """The answer, marked as cached, its raw body read when asked for; None where there is a problem (save `ambiguous`)."""
    problem: Literal["damaged", "foreign", "newer", "other", "0.1.x", "ambiguous"] | None = None
    """Why there is no answer: unreadable, no sample at all, of a later version, in another sample's place, or of
    rollouts 0.1.x, which stored no whole request. `ambiguous` is an answer of 0.1.x to what may be another request."""
    detail: str = ""
    """The problem in words, where more is known."""


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


# ── What the client hands to factories ──────────────────────────────────────────────────────────────────


class Settings(Protocol):
    """The merged settings of one call, as far as an adapter needs them. Values are validated."""

    @property
    def model(self) -> str:
        """The model's name as the service wants it (an adapter prefix such as `vllm/` is taken off)."""

    @property
    def sampling(self) -> JsonObject:
        """The sampling settings that were given, by wire name; what was not given is absent."""

    @property
    def extra_body(self) -> JsonObject:
        """Further body fields, passed through untouched."""

    @property
    def extra_headers(self) -> Mapping[str, str]:
        """Further headers of the user's; part of the identity."""

    @property
    def template(self) -> ThinkTemplate:
        """The think template chosen for this model."""

    @property
    def require_prefill(self) -> bool:
        """True where an answer that does not continue the prefill is an error."""


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """What an adapter's factory gets."""

    base_url: str
    """Where requests go: without user, query and trailing slash. Empty where the adapter serves itself."""
    options: JsonObject = field(default_factory=dict)
    """The client's `adapter_options`."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """What a cache's factory gets. Constructing a cache touches no file: the first load or store does."""

    cache_dir: Path
    """The client's or call's `cache_dir`."""
    options: JsonObject = field(default_factory=dict)
    """The client's or call's `cache_options`."""


@dataclass(frozen=True, slots=True)
class LimiterOptions:
    """What a limiter's factory gets."""

    scope: Scope
    """Whom the limit is for; the owner of state shared in this process."""
    max_concurrency: int
    """Parallel requests that the caller allows."""
    requests_per_minute: float | None
    tokens_per_minute: float | None
    clock: Clock
    """Seconds; the limiter reads no other clock."""
    options: JsonObject = field(default_factory=dict)
    """The client's `limiter_options`."""


@dataclass(frozen=True, slots=True)
class ProgressOptions:
    """What a progress reporter's factory gets."""

    description: str
    """A few words for the bar: the model's name."""
    n_prompts: int | None
    """How many prompts the run has; None where they are read lazily."""


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """What an executor's factory gets."""

    max_concurrency: int
    """Worker loops wanted, in all."""
    options: JsonObject = field(default_factory=dict)
    """The client's `executor_options`."""


class Scope(Protocol):
    """Those requests that share a service's limits: one base URL with one key. The key cannot be read."""

    @property
    def label(self) -> str:
        """The base URL without user and query, for messages."""

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """The process-wide object of this scope called `name`; made once, by whoever asks first."""


class Stop(Protocol):
    """A wait that a stop ends at once. Limiters and retries wait on it and never sleep.

    Optional: `waiter() -> Waiter`, for those who also wait for something that another thread does.
    """

    def is_set(self) -> bool:
        """True once the run must not start anything new."""

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True as soon as the run must stop."""


class Waiter(Protocol):
    """One thread's wait that the stop ends, and another thread too."""

    def wait(self, timeout: float | None) -> bool:
        """Wait until woken, stopped, or `timeout` seconds are over (None: no end); True when the run must stop."""

    def wake(self) -> None:
        """End the present wait, or the next one if none is under way."""


# ── Kinds of plugin ─────────────────────────────────────────────────────────────────────────────────────


@runtime_checkable
class ProviderAdapter(Protocol):
    """Speaks one service's API. Used by many threads at once.

    Optional methods and attributes, looked up by name:

    - `classify(reply) -> Outcome | None`: the service's own signs; None leaves it to the common rules.
    - `service: str | None`: who answers, for the identity (`openrouter`); None means the base URL.
    - `open()`: called once before the first unsent sample; `close()`: when the client closes.
    - `url(request) -> str`: where to send, asked after `open()`, for an adapter that starts its own server.
    - `send(request, number, stop) -> WireReply`: for an adapter that wants no HTTP of ours.
    - `supports_logprobs`, and what else `AdapterSpec` lets it declare.
    """

    def encode(self, conversation: Conversation, settings: Settings) -> WireRequest:
        """Build the wire request; called once per prompt, sends nothing.

        Raises:
            PrefillUnsupported: The model cannot continue the prefill.
            ConfigError: A setting that this service does not take.
        """

    def decode(self, request: WireRequest, reply: WireReply) -> Response:
        """Read an answer that was classified as one.

        Raises:
            MalformedResponse: The body has not the documented shape.
        """


@runtime_checkable
class CacheBackend(Protocol):
    """Keeps answers. Used by many threads at once, and its storage by many processes.

    Optional: `store_many(pairs)`, durable on return, where a batch is cheaper than its parts;
    `location: str`, equal for two backends on one storage; `entries()`, as `CacheInventory`; `set_aside` and
    `remove`, as `CacheUpkeep`; `old_entries()`, what an earlier version's cache of that name left in `cache_dir`;
    `place(key) -> str`, the file or row of a sample, for `client.explain`.
    """

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """Yield the hits, in any order, in one round trip a chunk. Never writes."""

    def store(self, key: SampleKey, response: Response) -> None:
        """Keep an answer; durable (survives `kill -9`) on return.

        Raises:
            CacheError: The storage cannot be written.
        """

    def close(self) -> None:
        """Free files and connections; may be called twice."""


@runtime_checkable
class CacheInventory(Protocol):
    """A cache that can list what it holds, for packs, `plan` and `rollouts cache`.

    To put an entry into another cache, store it: `cache.store(SampleKey(entry.request, entry.number), entry.response)`.
    """

    def entries(self) -> Iterator[StoredEntry]:
        """Yield everything stored, in an order that two equal storages share; one entry in memory at a time.

        Never writes and never warns: what cannot be used is an entry with a `problem`.
        """


@runtime_checkable
class CacheUpkeep(CacheInventory, Protocol):
    """A cache whose entries can be moved aside and deleted, for `rollouts cache verify --repair` and `clear`."""

    def set_aside(self, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
        """Move entries that `entries()` gave to where no sample is looked for; yield each with its new place.

        Deletes nothing and overwrites nothing. An entry that is gone, or has been replaced by a sound one, stays.

        Raises:
            CacheError: The storage cannot be written.
        """

    def remove(self, entries: Iterable[StoredEntry]) -> int:
        """Delete entries that `entries()` gave, raw bodies too; how many were there.

        Raises:
            CacheError: The storage cannot be written.
        """


@runtime_checkable
class Permit(Protocol):
    """Leave to send one request.

    Optional: `cancel()`, called in place of `settle` when the request was not sent after all. A permit without it
    is settled with an `Outcome` of kind `empty` and the message `not sent`.
    """

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        """Tell how it went; called exactly once, `usage` None where it is not known."""


@runtime_checkable
class Limiter(Protocol):
    """Decides when a request may start. Used by many threads at once."""

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """Wait (on `stop`, never asleep) until the request may start; None when stopped before that."""


@runtime_checkable
class ThinkTemplate(Protocol):
    """How a model family marks thought. Stateless."""

    def open(self, thought: str) -> str:
        """The prefill that puts `thought` at the beginning of the model's reasoning, left open."""

    def split(self, text: str, prefill: str | None) -> Parts:
        """Take apart `text`, which the model wrote after `prefill`."""


@runtime_checkable
class Progress(Protocol):
    """Shows a run. Touched by the coordinating thread alone, never before `start` or after `close`."""

    def start(self, total: int | None, cached: int) -> None:
        """The run begins: samples in all (None: not known) and how many of them the cache had."""

    def advance(self, event: SampleEvent) -> None:
        """One sample is done (a cached one too, where it was not in `cached`)."""

    def close(self) -> None:
        """The run is over, well or not."""


class Channel(Protocol):
    """Messages to and from one worker process, in order; any picklable object. Sent and received by one thread each."""

    def send(self, message: Any) -> None:
        """Send a message; may wait while the other side is slow.

        Raises:
            OSError: The worker is lost.
        """

    def recv(self) -> Any:
        """Wait for the next message.

        Raises:
            EOFError: The worker is lost, or the channel was closed.
        """

    def close(self) -> None:
        """End the channel, and with it the worker: a `recv` under way ends at once. May be called twice."""


@runtime_checkable
class ShardExecutor(Protocol):
    """An executor whose workers are other processes: they are given shards of a run over channels.

    A `concurrent.futures.Executor` too, so that it fits wherever executors do. Making one starts nothing.
    """

    workers: int
    """Worker processes wanted; asked whenever none is at work."""
    carries_key: bool
    """True where `environment` reaches the worker; else each worker reads the key from its own environment."""
    patience: float | None
    """Seconds after which idle workers are dismissed; None keeps them until the client closes.

    Optional: `spread`, True where workers are on several machines.
    """

    def hire(self, entry: str, environment: Mapping[str, str]) -> Channel:
        """Start a worker that calls `entry` (as for `pkgutil.resolve_name`) with its end of the channel.

        Called on a thread of its own, which it may keep waiting.

        Raises:
            Exception: No worker can be had.
        """

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Free everything; the channels were closed before."""


PromptTransform: TypeAlias = Callable[[Conversation], Conversation]
"""Changes a prompt before its identity is taken."""
ResponseTransform: TypeAlias = Callable[["Response"], "Response"]
"""Changes an answer after loading; never stored."""
Splitter: TypeAlias = Callable[[str], Sequence[Span]]
"""Cuts a text without loss: the spans' texts joined are the text."""
ExecutorFactory: TypeAlias = Callable[[ExecutorOptions], Executor]
"""Makes what runs the workers; the client shuts it down."""
Command: TypeAlias = Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None]
"""Adds a sub-command to `rollouts …`; the parser's default `run` is called with the parsed arguments."""


# ── What registration hooks return ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A named thing that a plugin offers."""

    name: str
    """What users write: `use_cache="json"`."""
    factory: Callable[..., Any]
    """Makes the thing; imports what it needs when called, not before."""
    description: str = ""
    """One line for `rollouts plugins`."""
    override: bool = False
    """True where this is meant to replace another plugin's thing of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec(Spec):
    """An adapter: `factory(AdapterOptions) -> ProviderAdapter`, and what must be known before it exists."""

    base_url: str = ""
    """The service's own base URL; empty where the user must give one or the adapter serves itself."""
    needs_base_url: bool = False
    """True where a base URL must be given."""
    key_variable: str | None = None
    """Environment variable of the key (`OPENROUTER_API_KEY`); None where there is no key."""
    key_required: bool = True
    """False for servers that answer without a key."""
    key_header: str = "Authorization"
    """Header that carries the key."""
    key_prefix: str = "Bearer "
    """What stands before the key in that header."""
    hosts: tuple[str, ...] = ()
    """Hosts of the service itself, to which a key from the environment may go; also choose by base URL."""
    model_prefixes: tuple[str, ...] = ()
    """`("vllm/",)`: a model so named chooses this adapter, and the prefix is taken off."""
    http: bool = True
    """False for an adapter with its own `send`."""
    states_cost: bool = False
    """True where answers state their cost in US dollars, so that `max_cost` can be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSpec(Spec):
    """A think template: `factory() -> ThinkTemplate`."""

    models: tuple[str, ...] = ()
    """Patterns (as `fnmatch`, lower case) of the models that write thought this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSpec(Spec):
    """A transform: `factory(**options) -> PromptTransform | ResponseTransform`."""

    acts_on: Literal["prompt", "response"] = "prompt"
    order: int = 0
    """Transforms are folded from the lowest to the highest."""
