"""When to ask again, and after how long. Pure: it neither waits nor sends, and the caller gives the randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollouts.exceptions import ConfigError, DeadlineExceeded
from rollouts.typing import Outcome


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter (Brooker, "Exponential Backoff and Jitter", AWS, 2015), over a floor."""

    max_retries: int = 10
    """Tries after the first."""
    max_deadline_retries: int = 1
    """Tries after a timed-out one, which is charged for all the same."""
    base: float = 0.5
    """Seconds: upper end of the first wait; it doubles with each try."""
    cap: float = 60.0
    """Seconds: no wait of our own is longer."""
    floor: float = 0.05
    """Seconds: no wait is shorter, so that no error is answered with a hot loop."""
    retry_after_cap: float = 120.0
    """Seconds: a wait that the service asks for is cut to this…"""
    hopeless_after: float = 600.0
    """…unless it is longer than this: then it is no use to ask again, and the sample fails with the time named."""

    def __post_init__(self) -> None:
        if self.max_retries < 0 or self.max_deadline_retries < 0:
            raise ConfigError("max_retries cannot be negative; 0 asks once")
        if not 0 <= self.floor <= self.base <= self.cap or self.retry_after_cap < 0:
            raise ConfigError("a retry policy needs 0 <= floor <= base <= cap, in seconds")

    def decide(
        self, outcome: Outcome, attempt: int, deadline_attempts: int, random: Callable[[], float]
    ) -> float | None:
        """Seconds to wait before the next try; None to give up.

        Args:
            outcome: The verdict on the try just made.
            attempt: How many tries were made, that one included: 1 after the first.
            deadline_attempts: How many of them ran into their deadline, that one included.
            random: Uniform in [0, 1).
        """
        if outcome.kind not in ("retryable", "empty") or attempt > self.max_retries:
            return None
        timed_out = outcome.billed or (outcome.error is not None and issubclass(outcome.error, DeadlineExceeded))
        if timed_out and deadline_attempts > self.max_deadline_retries:
            return None
        if outcome.retry_after is not None and outcome.retry_after > self.hopeless_after:
            return None
        # 2 ** attempt overflows a float long before anybody waits for it.
        ceiling = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        wait = max(self.floor, ceiling * random())
        if outcome.retry_after is not None:
            # Asked-for waits are spread too: all who were told "in 10 s" would come back in the same instant.
            wait = max(wait, min(outcome.retry_after, self.retry_after_cap) * (1.0 + 0.1 * random()))
        return wait
