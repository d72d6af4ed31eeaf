"""Whether the answers of a call are of one kind: one provider, one served model, no replays. Knows no service.

A set that is mixed is a sample of no one distribution. OpenRouter spreads requests over providers unless one is named,
and providers differ in precision, templates and defaults. Fingerprints and dates do not count: a provider answers with
several fingerprints on one day, nothing that is asked for makes them one, and a set that grows has many days.
`rollouts.provenance` tells them.
"""

from __future__ import annotations

import operator
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rollouts.exceptions import RolloutsWarning
from rollouts.results import Response, Rollouts

LONG = 200
"""Characters from which on equal answers are no chance: at temperature 1 even the surest models differ within that."""


_kind = operator.attrgetter("provider", "model")


class Mixture:
    """Counts who computed the answers of one call, and what served."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._counts: Counter[tuple[str | None, str | None]] = Counter()

    def add(self, responses: Iterable[Response]) -> None:
        """Count answers."""
        self._counts.update(map(_kind, responses))

    def describe(self) -> str | None:
        """What is mixed: `providers DeepInfra (30), Together (20)`; None where all is of one kind."""
        if len(self._counts) < 2:
            return None
        parts = []
        for position, word in enumerate(("providers", "served models")):
            counts: Counter[str | None] = Counter()
            for kind, n in self._counts.items():
                counts[kind[position]] += n
            if len(counts) > 1:
                most = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))[:5]
                named = (f"{name or 'not stated'} ({n:,})" for name, n in most)
                parts.append(f"{word} {', '.join(named)}")
        return "; ".join(parts)


class Watch:
    """What one client has told its user already. Used by many threads."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def mixed(self, mixture: Mixture, routing: Mapping[str, Any] | None) -> None:
        """Warn once of a mixed set, unless the routing names one provider."""
        what = mixture.describe()
        if what is not None and not is_pinned(routing) and self._first("mixed"):
            _warn(
                f"the samples are not of one kind: {what}. Providers differ in precision and templates: name one "
                "(provider={'only': ['…']}), or see `rollouts.provenance`; strict=True makes this an error. Said once."
            )

    def duplicates(self, everything: Iterable[Rollouts], settings: Mapping[str, Any]) -> None:
        """Warn once of answers that are equal byte for byte though they were sampled."""
        if "duplicates" in self._told or settings.get("temperature") == 0 or settings.get("top_k") == 1:
            return
        for rollouts in everything:
            count = replayed(rollouts)
            if count and self._first("duplicates"):
                _warn(
                    f"{count:,} of {len(rollouts):,} answers to one prompt repeat another one byte for byte although "
                    "they were sampled: a cache between here and the model, or a seed that is not taken. They are no "
                    "independent samples; see `rollouts.duplicates`. Said once."
                )
                return

    def _first(self, what: str) -> bool:
        with self._lock:
            new = what not in self._told
            self._told.add(what)
            return new


def replayed(rollouts: Rollouts) -> int:
    """How many answers repeat an earlier one in a way that is no chance: a long text, or the same response id."""
    if len({hash((r.reasoning, r.content)) for r in rollouts.responses}) == len(rollouts):
        return 0  # nearly always, and found in a fifth of the time
    seen: dict[tuple[str | None, str], set[str | None]] = {}
    count = 0
    for response in rollouts.responses:
        text = (response.reasoning, response.content)
        ids = seen.get(text)
        if ids is None:
            seen[text] = {response.response_id}
            continue
        long = len(response.content) + len(response.reasoning or "") >= LONG
        count += long or (response.response_id is not None and response.response_id in ids)
        ids.add(response.response_id)
    return count


def is_pinned(routing: Mapping[str, Any] | None) -> bool:
    """Whether routing preferences (OpenRouter's `provider={…}`) name one provider and no other may step in."""
    if not isinstance(routing, Mapping):  # out of extra_body it may be anything
        return False
    only, order = routing.get("only") or (), routing.get("order") or ()
    return len(only) == 1 or (len(order) == 1 and routing.get("allow_fallbacks") is False)


def _warn(message: str) -> None:
    warnings.warn(message, RolloutsWarning, stacklevel=5)
