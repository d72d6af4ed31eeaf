"""What a call would ask: what the cache has, what is missing, and what that may cost. Sends nothing, needs no key."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rollouts.asking import Asking
from rollouts.engine.jobs import shorten
from rollouts.identity import SampleKey, SampleRequest, prompt_texts
from rollouts.planning.estimate import Estimate, Seen, estimate
from rollouts.planning.notes import collected
from rollouts.prices import PriceList
from rollouts.resources import Resolved, Resources
from rollouts.settings import Settings
from rollouts.typing import CacheInventory

MOST_LOOKED_AT = 2000
"""Entries of the cache that are looked at for the service's answers to other prompts."""


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """What would be asked of one prompt."""

    prompt: Any
    asked: int
    """Samples."""
    cached: int
    """Samples that the cache has."""
    repeated: int
    """Samples that another prompt of the plan, equal to this one, asks for already."""
    missing: int
    """Samples that would be sent for."""
    estimate: Estimate
    """What the missing ones may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would ask. Printed, it is a summary."""

    model: str
    service: str
    prompts: tuple[PromptPlan, ...]
    cache: str | None
    """Where answers are kept; None without a cache."""
    tokens_basis: str
    """What the expected tokens come from."""
    cost_basis: str
    """What the expected cost comes from."""
    warnings: tuple[str, ...] = ()
    """What the call would warn of."""

    @property
    def asked(self) -> int:
        """Samples in all."""
        return sum(item.asked for item in self.prompts)

    @property
    def cached(self) -> int:
        """Samples that the cache has."""
        return sum(item.cached for item in self.prompts)

    @property
    def missing(self) -> int:
        """Samples that would be sent for: requests, retries aside."""
        return sum(item.missing for item in self.prompts)

    @property
    def estimate(self) -> Estimate:
        """What the missing samples may take."""
        return sum((item.estimate for item in self.prompts), Estimate())

    @property
    def prompt_tokens(self) -> float:
        """Expected, of the missing samples."""
        return self.estimate.prompt_tokens

    @property
    def completion_tokens(self) -> float | None:
        """Expected, of the missing samples; None where nothing tells."""
        return self.estimate.completion_tokens

    @property
    def most_completion_tokens(self) -> float | None:
        """What `max_tokens` allows for the missing samples; None where it is not given."""
        return self.estimate.most_completion_tokens

    @property
    def cost(self) -> float | None:
        """Expected US dollars of the missing samples; None where nothing tells, never 0 for that."""
        return self.estimate.cost

    @property
    def most_cost(self) -> float | None:
        """US dollars if every missing sample is as long as `max_tokens` allows; None where it cannot be told."""
        return self.estimate.most_cost

    def __str__(self) -> str:
        total = self.estimate
        most = total.most_completion_tokens
        most_tokens = "no max_tokens" if most is None else f"at most {_number(most)}"
        most_cost = "" if total.most_cost is None else f", at most {_dollars(total.most_cost)}"
        repeated = sum(item.repeated for item in self.prompts)
        twice = f", {repeated:,} more are asked for by equal prompts" if repeated else ""
        asked = f"{_counted(self.asked, 'sample')} of {_counted(len(self.prompts), 'prompt')}"
        lines = [
            f"{self.model} at {self.service}: {asked}",
            f"  cached    {self.cached:,} ({self.cache or 'no cache'})",
            f"  missing   {self.missing:,}{twice}" + (", which may take:" if self.missing else ""),
        ]
        if self.missing:
            lines += [
                f"    prompts   {_number(total.prompt_tokens)} tokens",
                f"    answers   {_number(total.completion_tokens)} tokens, {most_tokens} ({self.tokens_basis})",
                f"    cost      {_dollars(total.cost)}{most_cost} ({self.cost_basis})",
            ]
        unfinished = [item for item in self.prompts if item.missing]
        if len(self.prompts) > 1:
            lines += [f'    {item.missing:,} of {item.asked:,}  "{shorten(item.prompt)}"' for item in unfinished[:10]]
        if len(unfinished) > 10 and len(self.prompts) > 1:
            lines.append(f"    … and {len(unfinished) - 10:,} more prompts")
        return "\n".join([*lines, *(f"  warning: {text}" for text in self.warnings)])


def make_plan(resources: Resources, settings: Settings, prompts: Iterable[Any], n: int) -> Plan:
    """Look up `n` samples of each prompt and estimate the rest.

    Raises:
        ConfigError: What the call would raise before it sends: a bad prompt, or a setting that is not taken.
        CacheError: The cache cannot be read.
    """
    with collected() as notes:
        resolved = resources.resolve(settings)
        planner = _Planner(resources, resolved, n)
        for prompt in prompts:
            planner.look_up(prompt)
        planner.look_around()
    return planner.plan(tuple(notes))


class _Planner:
    def __init__(self, resources: Resources, resolved: Resolved, n: int) -> None:
        self._resolved = resolved
        self._n = n
        self._store = resources.store(resolved.settings)
        self._asking = Asking(resources, resolved, None)
        self._prices: PriceList | None = resources.prices(resolved)
        self._price = resources.price(resolved)
        self._rows: list[tuple[Any, SampleRequest, Seen, int]] = []  # with how many are repeated
        self._known: dict[str, int] = {}  # samples that are missing, by fingerprint
        self._of_model = Seen()
        self._elsewhere = 0

    def look_up(self, prompt: Any) -> None:
        request = self._asking.request(prompt)
        seen, repeated = Seen(), 0
        if self._store is not None:
            first = self._resolved.settings.seed
            for _, response in self._store.load_many(SampleKey(request, first + i) for i in range(self._n)):
                seen.add(response.usage)
            repeated = self._known.get(request.fingerprint, 0)
            self._known[request.fingerprint] = self._n - seen.answers
        if not repeated:
            self._of_model.include(seen)
        self._rows.append((prompt, request, seen, repeated))

    def look_around(self) -> None:
        """Where the cache has nothing of these prompts: what it has of the model at this service.

        The same name elsewhere says nothing of the cost: a model on one's own machine has none.
        """
        backend = None if self._store is None else self._store.backend
        if self._of_model.answers or not isinstance(backend, CacheInventory):
            return
        asked = (self._resolved.spec.name, self._resolved.identity, self._resolved.model)
        for entry in itertools.islice(backend.entries(), MOST_LOOKED_AT):
            if entry.response is not None and entry.request is not None and _source(entry.request) == asked:
                self._of_model.add(entry.response.usage)
        self._elsewhere = self._of_model.answers

    def plan(self, notes: tuple[str, ...]) -> Plan:
        settings = self._resolved.settings
        return Plan(
            model=self._resolved.model,
            service=self._resolved.identity,
            prompts=tuple(self._prompt_plan(*row) for row in self._rows),
            cache=None if self._store is None else f"{self._store.label}, {settings.cache_dir}",
            tokens_basis=self._tokens_basis(),
            cost_basis=self._cost_basis(),
            warnings=notes,
        )

    def _prompt_plan(self, prompt: Any, request: SampleRequest, seen: Seen, repeated: int) -> PromptPlan:
        missing = self._n - seen.answers - repeated
        body = request.document["body"]
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        expected = estimate(
            missing,
            sum(map(len, prompt_texts(request))),
            most if isinstance(most, int) else None,
            of_prompt=seen,
            of_model=self._of_model,
            price=None if self._price is None else self._price.of,
        )
        return PromptPlan(prompt, self._n, seen.answers, repeated, missing, expected)

    def _tokens_basis(self) -> str:
        if self._of_model.completion_tokens is None:
            return "the cache has no answer of this model at this service; prompts by their characters"
        if self._elsewhere:
            return (
                f"mean of {_answers(self._elsewhere)} of this model at this service in the cache; "
                "prompts by their characters"
            )
        return f"mean of {_answers(self._of_model.answers)} in the cache"

    def _cost_basis(self) -> str:
        if self._price is not None and self._prices is not None:
            return f"price list of {self._prices.url}, {self._prices.date}"
        if self._of_model.cost_known_for:
            return f"by tokens, from what {_answers(self._of_model.cost_known_for)} in the cache cost"
        if getattr(self._resolved.service.adapter, "prices_url", None) is None:
            return "no answer with a cost is known, and the service has no price list"
        return "no price and no answer with a cost is known; client.prices(refresh=True) asks for prices"


def _source(request: SampleRequest) -> tuple[str, str, str]:
    return request.adapter, request.service, request.model


def _answers(n: int) -> str:
    return _counted(n, "answer")


def _counted(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"


def _dollars(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.2g}"
