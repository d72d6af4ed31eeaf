"""What observers are told. Each event is one frozen value; observers own nothing and return nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollouts.results import Failure, Response
    from rollouts.typing import Outcome

__all__ = ["RetryEvent", "RunEnd", "RunStart", "SampleEvent"]


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run begins: once per `generate`, `generate_many`, `agenerate`, `as_completed`."""

    run_id: str
    """Unique in this process; the same in all events of the run."""
    model: str
    adapter: str
    total: int | None
    """Samples asked for; None where prompts are read lazily."""
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class SampleEvent:
    """One sample is done: answered, found in the cache, or failed. Sent after it is durable."""

    run_id: str
    result: Response | Failure
    in_flight: int
    """Requests under way in this run when the event was made."""
    waited: float = 0.0
    """Seconds that this sample waited for limits and retries."""

    @property
    def cached(self) -> bool:
        """True where the cache had it."""
        return bool(getattr(self.result, "cached", False))

    @property
    def failed(self) -> bool:
        """True for a `Failure`."""
        return not hasattr(self.result, "content")


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A request failed and will be tried again. Sent from the worker's thread, before the wait."""

    run_id: str
    seed: int
    """The sample's number."""
    prompt_index: int
    attempt: int
    """Which attempt failed, counted from 1."""
    outcome: Outcome
    wait: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run is over, well or not."""

    run_id: str
    answered: int
    """Samples with a fresh answer."""
    cached: int
    failed: int
    """Samples without an answer, the unsent ones included."""
    requests: int
    """Requests made, retries included."""
    retries: int
    elapsed: float
    """Seconds of wall time."""
    waited_for_limit: float
    """Seconds that workers waited for limits, summed over workers."""
    waited_for_retry: float
    """Seconds that workers waited before retries, summed over workers."""
    cost: float | None
    """US dollars of the fresh answers whose cost is known; None where none is."""
    cost_known_for: int
    """Fresh answers whose cost is known."""
    error: str | None
    """Name of the exception that ended the run; None where it ended well."""
