"""One Protocol for each kind of plugin. A product of a plugin fits its Protocol; it need not inherit from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from rollouts.typing.handed import ExecutorOptions, Settings, Stop
from rollouts.typing.values import Conversation, Outcome, Parts, Span, StoredEntry, WireReply, WireRequest

if TYPE_CHECKING:
    import argparse

    from rollouts.events import SampleEvent
    from rollouts.identity import SampleKey, SampleRequest
    from rollouts.results import Response, Usage


@runtime_checkable
class ProviderAdapter(Protocol):
    """Speaks one service's API. Used by many threads at once.

    Optional methods and attributes, looked up by name:

    - `classify(reply) -> Outcome | None`: the service's own signs; None leaves it to the common rules.
    - `service: str | None`: who answers, for the identity (`openrouter`); None means the base URL.
    - `open()`: called once before the first unsent sample; `close()`: when the client closes.
    - `url(request) -> str`: where to send, asked after `open()`, for an adapter that starts its own server.
    - `direct: bool`: True where that server is this machine's own, so that no proxy of the environment is used.
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

    Optional: `store_many(pairs)`, durable on return, where a batch is cheaper than its parts; it gives a mapping of
    those samples that were there already to their answers (or None, as `store`);
    `location: str`, equal for two backends on one storage; `entries()`, as `CacheInventory`; `set_aside` and
    `remove`, as `CacheUpkeep`; `old_entries()`, what an earlier version's cache of that name left in `cache_dir`;
    `place(key) -> str`, the file or row of a sample, for `client.explain`.
    """

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """Yield the hits, in any order, in one round trip a chunk. Never writes."""

    def store(self, key: SampleKey, response: Response) -> Response | None:
        """Keep an answer; durable (survives `kill -9`) on return.

        Returns:
            The answer that was there already, of another process perhaps, and stays: the caller is shown that one,
            so that what he works with is what the cache gives later. None where this one is kept, or where a
            storage cannot tell.

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
    """How a model family marks thought. Stateless.

    Optional attributes, looked up by name:

    - `closing: str`: the mark that ends a thought, for prompts that hold a closed one and for forced answers. A family
      that marks no thought (`open("")` is empty) needs none; of any other without it no answer can be forced.
    - `opening: str`: the mark that begins a thought, where `open` writes white space after it.
    - `render(messages, prefill) -> str`: the whole prompt as text, for servers that take no messages.
    """

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

    Optional: `spread`, True where workers are on several machines; `round_trip`, seconds within which a worker that
    has told something hears from us (0.02 unless said), for which it is given samples in advance.
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
