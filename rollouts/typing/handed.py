"""What the client hands to the factories of plugins, and what it lets them wait on and share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from rollouts.typing.values import Clock, JsonObject

if TYPE_CHECKING:
    from rollouts.typing.kinds import ThinkTemplate

T = TypeVar("T")


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
