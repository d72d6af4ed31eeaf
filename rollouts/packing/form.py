"""The form of a pack: its members, its manifest, and what the manifest tells of each request. Opens no file.

A pack is a zip file with three members: `manifest.json` (what is in it, for people and programs), `requests.jsonl` (one
request a line, by fingerprint) and `samples.jsonl` (one answer a line, raw body included, by request and number).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollouts.identity import SampleRequest, prompt_texts
from rollouts.results import Response
from rollouts.results.days import day_of

PACK_VERSION = 1
"""Version of the format."""

MANIFEST, REQUESTS, SAMPLES = "manifest.json", "requests.jsonl", "samples.jsonl"
CHUNK = 1000
"""Samples looked up and stored at once."""

Tell = Callable[[int, int], None]
"""Told of the samples done, and of how many there are."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a pack has of one request."""

    fingerprint: str
    adapter: str
    service: str
    model: str
    prompt: str
    """Its beginning."""
    numbers: str
    """`0-99,105`."""
    samples: int
    providers: Mapping[str, int]
    """Answers by who computed them; `?` for those that do not say."""
    models: Mapping[str, int]
    """Answers by the model that served."""
    dates: tuple[str, str] | None
    """First and last day (UTC); None where no answer tells."""
    tokens: int
    """Tokens that the answers state, prompts included."""
    cost: float | None
    """US dollars of the answers that state it; None where none does."""
    cost_known_for: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a pack."""

    samples: int
    requests: tuple[Contents, ...]
    written_by: str = ""
    """`rollouts 0.2.0`."""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Bytes and SHA-256 of the other members."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Entries of the cache that are no samples and were not packed, by problem."""

    @property
    def cost(self) -> float | None:
        """US dollars of all answers that state it; None where none does."""
        known = [item.cost for item in self.requests if item.cost is not None]
        return sum(known) if known else None

    @property
    def dates(self) -> tuple[str, str] | None:
        """First and last day (UTC)."""
        known = [item.dates for item in self.requests if item.dates is not None]
        return (min(d[0] for d in known), max(d[1] for d in known)) if known else None

    def total(self, name: str) -> dict[str, int]:
        """`providers` or `models` of all requests together."""
        counts: Counter[str] = Counter()
        for item in self.requests:
            counts.update(getattr(item, name))
        return dict(counts.most_common())


class Tally:
    """Sums up what is packed of one request."""

    def __init__(self, request: SampleRequest) -> None:
        self._request = request
        self._numbers: list[int] = []
        self._providers: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._days: set[str] = set()
        self._tokens = 0
        self._costs: list[float] = []

    def add(self, number: int, response: Response) -> None:
        """Count one sample."""
        self._numbers.append(number)
        self._providers[response.provider or "?"] += 1
        self._models[response.model or "?"] += 1
        day = day_of(response)
        if day is not None:
            self._days.add(day)
        self._tokens += response.usage.total_tokens or 0
        if response.usage.cost is not None:
            self._costs.append(response.usage.cost)

    def contents(self) -> Contents:
        """The sums."""
        request = self._request
        text = " ".join(" ".join(prompt_texts(request)).split())
        return Contents(
            fingerprint=request.fingerprint,
            adapter=request.adapter,
            service=request.service,
            model=request.model,
            prompt=text if len(text) <= 80 else text[:79] + "…",
            numbers=_spans(self._numbers),
            samples=len(self._numbers),
            providers=dict(sorted(self._providers.items())),
            models=dict(sorted(self._models.items())),
            dates=(min(self._days), max(self._days)) if self._days else None,
            tokens=self._tokens,
            cost=sum(self._costs) if self._costs else None,
            cost_known_for=len(self._costs),
        )


def _spans(numbers: Iterable[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
