"""How much a run may spend: each sample reserves an estimate before it is sent and settles what it cost.

Knows no provider: a price, where there is one, is handed in. Nothing is admitted beyond the budget; where estimates
were too low the overshoot is at most what was in flight.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollouts.engine.stopping import StopSignal
from rollouts.exceptions import ConfigError

if TYPE_CHECKING:
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage
    from rollouts.typing import Stop, Waiter

__all__ = ["Budget", "Estimate", "Price", "Reservation", "check_priceable"]

_GUESS = 1000
"""Completion tokens assumed where neither `max_tokens` nor any answer tells."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a service charges, in US dollars."""

    prompt: float
    """Per prompt token."""
    completion: float
    """Per generated token."""
    request: float = 0.0
    """Per request."""

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """US dollars of one request."""
        return self.request + prompt_tokens * self.prompt + completion_tokens * self.completion


def check_priceable(max_cost: float | None, *, price: Price | None, states_cost: bool, service: str) -> None:
    """Refuse a budget in dollars that nobody could keep.

    Args:
        max_cost: US dollars; None for no such budget.
        price: The model's price, where known.
        states_cost: True where the service states the cost with its answers.
        service: Its name, for the message.

    Raises:
        ConfigError: Neither a price nor a stated cost is known.
    """
    if max_cost is not None and price is None and not states_cost:
        raise ConfigError(
            f"max_cost={max_cost:g} cannot be kept: {service} states no cost with its answers and no price of the "
            "model is known. Where the service has a price list, client.prices(refresh=True) asks for it; else use "
            "max_total_tokens=..., or a service that states costs (OpenRouter)."
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one sample is expected to take."""

    tokens: float
    cost: float | None
    """US dollars; None while nobody knows."""


class Reservation:
    """A sample's share of the budget until it is known what it took. Exactly one of its methods is called."""

    __slots__ = ("_budget", "_open", "estimate")

    def __init__(self, budget: Budget, estimate: Estimate) -> None:
        """Hold `estimate` of `budget`."""
        self._budget = budget
        self._open = True
        self.estimate = estimate

    def settle(self, usage: Usage | None, *, lost: int = 0) -> None:
        """Put what was spent in place of the estimate.

        Args:
            usage: Of the answer; None where none came.
            lost: Attempts without an answer that the service may charge all the same; each counts as the estimate.
        """
        self._close(usage, lost)

    def cancel(self) -> None:
        """Nothing was sent, or nothing that costs."""
        self._close(None, 0)

    def _close(self, usage: Usage | None, lost: int) -> None:
        if self._open:
            self._open = False
            self._budget.close_reservation(self.estimate, usage, lost)


class Budget:
    """The budget of one run, used by all its workers.

    An estimate is the prompt (its characters by four) and the mean completion seen so far, at most `max_tokens`; before
    the first answer `max_tokens` itself. Dollars come from `price`, else from the mean cost that the service stated;
    until it stated one, samples are sent one at a time.
    """

    def __init__(
        self, max_cost: float | None = None, max_total_tokens: int | None = None, *, price: Price | None = None
    ) -> None:
        """Begin unspent.

        Args:
            max_cost: US dollars; None for no limit.
            max_total_tokens: Prompt and completion tokens together; None for no limit.
            price: The model's price, where known.
        """
        self.max_cost = max_cost
        self.max_total_tokens = max_total_tokens
        self._price = price
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self._in_flight = 0
        self._answers = self._stated = 0
        self._completions = 0
        self._stated_sum = 0.0
        self._reserved_tokens = self._reserved_cost = 0.0
        self._refused: str | None = None
        self.spent_tokens = 0.0
        """Tokens of settled samples."""
        self.spent_cost = 0.0
        """US dollars of settled samples."""

    @property
    def exhausted(self) -> bool:
        """True once a sample was refused; from then on every one is."""
        return self._refused is not None

    def reserve(self, request: SampleRequest, stop: Stop | None = None) -> Reservation | None:
        """Take a sample's estimate from the budget.

        Waits while the estimate does not fit and samples in flight may yet turn out cheaper.

        Args:
            request: What is to be sent.
            stop: Ends the wait.

        Returns:
            The reservation; None when nothing more is admitted, or when stopped (`exhausted` tells which).
        """
        waiter: Waiter | None = None
        try:
            while stop is None or not stop.is_set():
                with self._lock:
                    if self._refused is not None:
                        return None
                    estimate = self._estimate(request)
                    reason = self._objection(estimate)
                    if reason is None:
                        return self._admit(estimate)
                    if not self._in_flight:
                        self._refused = reason
                        break
                    if waiter is None:
                        waiter = _waiter(stop)
                        self._waiters.add(waiter)
                waiter.wait(None)
            return None
        finally:
            self._leave(waiter)

    def close_reservation(self, estimate: Estimate, usage: Usage | None, lost: int) -> None:
        """Take an estimate back and count what it became. Called by `Reservation`."""
        with self._lock:
            self._in_flight -= 1
            self._reserved_tokens -= estimate.tokens
            self._reserved_cost -= estimate.cost or 0.0
            if usage is not None:
                self._count(estimate, usage)
            self.spent_tokens += lost * estimate.tokens
            self.spent_cost += lost * (estimate.cost if estimate.cost is not None else self._mean_cost() or 0.0)
            waiters = list(self._waiters)
        for waiter in waiters:
            waiter.wake()

    def describe(self) -> str:
        """Why nothing more is admitted, and what to do."""
        reason = self._refused or "the budget is spent"
        return f"{reason}. What was answered is stored; raise the limit and ask again for the rest."

    # ── Under the lock ──

    def _admit(self, estimate: Estimate) -> Reservation:
        self._in_flight += 1
        self._reserved_tokens += estimate.tokens
        self._reserved_cost += estimate.cost or 0.0
        return Reservation(self, estimate)

    def _objection(self, estimate: Estimate) -> str | None:
        """Why a sample may not be sent now; None where it may."""
        if self.max_total_tokens is not None:
            taken = self.spent_tokens + self._reserved_tokens
            if taken + estimate.tokens > self.max_total_tokens:
                return (
                    f"max_total_tokens={self.max_total_tokens:,} admits nothing more: {self.spent_tokens:,.0f} tokens "
                    f"are spent and the next sample may take {estimate.tokens:,.0f}"
                )
        if self.max_cost is None:
            return None
        if estimate.cost is None:
            if self._answers:
                return f"max_cost=${self.max_cost:g} cannot be kept: the service states no cost with its answers"
            return "the first cost is awaited" if self._in_flight else None
        # The tolerance is for sums of floats: 100 samples of 0.000126 are 0.0126.
        if self.spent_cost + self._reserved_cost + estimate.cost > self.max_cost * (1 + 1e-9):
            return (
                f"max_cost=${self.max_cost:g} admits nothing more: ${self.spent_cost:.4g} are spent and the next "
                f"sample may cost ${estimate.cost:.4g}"
            )
        return None

    def _estimate(self, request: SampleRequest) -> Estimate:
        body = request.wire.body
        allowed = body.get("max_completion_tokens", body.get("max_tokens"))
        prompt = len(request.canonical) / 4
        completion: float = (
            self._completions / self._answers if self._answers else _GUESS if allowed is None else allowed
        )
        if allowed is not None:
            completion = min(completion, allowed)
        cost = self._mean_cost() if self._price is None else self._price.of(prompt, completion)
        return Estimate(prompt + completion, cost)

    def _mean_cost(self) -> float | None:
        return self._stated_sum / self._stated if self._stated else None

    def _count(self, estimate: Estimate, usage: Usage) -> None:
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        tokens: float | None = usage.total_tokens
        if tokens is None and prompt is not None and completion is not None:
            tokens = prompt + completion
        if tokens is None:
            tokens = estimate.tokens
        self.spent_tokens += tokens
        self._answers += 1
        self._completions += completion if completion is not None else max(0, round(tokens - (prompt or 0)))
        if usage.cost is not None:
            self._stated += 1
            self._stated_sum += usage.cost
            self.spent_cost += usage.cost
        elif self._price is not None and prompt is not None and completion is not None:
            self.spent_cost += self._price.of(prompt, completion)
        else:
            self.spent_cost += estimate.cost or 0.0

    def _leave(self, waiter: Waiter | None) -> None:
        if waiter is not None:
            with self._lock:
                self._waiters.discard(waiter)


def _waiter(stop: Stop | None) -> Waiter:
    if stop is None:
        stop = StopSignal()
    waiter: Waiter = stop.waiter()  # type: ignore[attr-defined]
    return waiter
