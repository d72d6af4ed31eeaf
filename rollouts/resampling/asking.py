"""How this package asks a model: through a callable that is handed in. Knows no client and no engine.

`client.generate_many` fits. Whoever is asked keeps the answers; asking again for the same numbers costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from rollouts.resampling.checking import whole
from rollouts.resampling.trace import Prompt
from rollouts.results import Failure, Response, Rollouts


class Asker(Protocol):
    """Samples every prompt as one bounded stream, without waiting for one prompt before the next."""

    def __call__(self, prompts: list[Prompt], n_samples: int, *, seed: int, **settings: Any) -> list[Rollouts]:
        """The samples `seed` … `seed + n_samples - 1` of each prompt, in the order of the prompts."""


@dataclass(frozen=True, slots=True)
class Want:
    """Samples that are wanted of one prompt: those of the next `n_samples` numbers."""

    prompt: Prompt
    n_samples: int
    seed: int = 0
    """The first sample's number."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of this want, over those of the call."""
    without: int | None = None
    """A number that is left out; one more is drawn in its place."""

    @property
    def after(self) -> int:
        """The number after the last one."""
        return self.seed + self.n_samples + (self._before() is not None)

    @property
    def runs(self) -> list[Want]:
        """The same as wants of consecutive numbers."""
        before = self._before()
        if before is None:
            return [replace(self, without=None)]
        parts = ((self.seed, before), (self.seed + before + 1, self.n_samples - before))
        return [replace(self, seed=seed, n_samples=n, without=None) for seed, n in parts if n]

    def _before(self) -> int | None:
        """How many numbers come before the one that is left out; None where it is none of these."""
        if self.without is None or not 0 <= self.without - self.seed < self.n_samples:
            return None
        return self.without - self.seed


Then: TypeAlias = Callable[[int, Rollouts], Sequence[Want]]
"""Told the place of a want and its samples once they are all there; gives what is wanted besides, which has the next
places."""


class Stream(Asker, Protocol):
    """An asker that also takes wants which differ in numbers and settings, as one bounded stream."""

    def each(self, wants: Sequence[Want], then: Then | None = None, **settings: Any) -> list[Rollouts]:
        """The samples of each want (of consecutive numbers), in their order, and of those that `then` adds."""


def frozen(prompt: Prompt) -> Any:
    """A key that equal prompts share."""
    return prompt if isinstance(prompt, str) else repr(prompt)


def ask_each(ask: Asker, wants: Sequence[Want], **settings: Any) -> list[Rollouts]:
    """The samples of each want; equal wants are asked once and share one `Rollouts`.

    A `Stream` gets them all at once; of another asker those with the same numbers and settings travel together.

    Raises:
        ConfigError: A number of samples below 1.
    """
    for want in wants:
        whole("n_samples", want.n_samples)
    distinct = {_identity(want): want for want in wants}
    parts = {identity: want.runs for identity, want in distinct.items()}
    runs = [run for its in parts.values() for run in its]
    if not runs:
        return []
    each = getattr(ask, "each", None)
    answers = iter(_by_groups(ask, runs, settings) if each is None else each(runs, **settings))
    got = {identity: joined([next(answers) for _ in its]) for identity, its in parts.items()}
    return [got[_identity(want)] for want in wants]


def _by_groups(ask: Asker, runs: Sequence[Want], settings: Mapping[str, Any]) -> list[Rollouts]:
    groups: dict[Any, dict[int, Want]] = {}
    for place, want in enumerate(runs):
        groups.setdefault(_identity(want)[1:], {})[place] = want
    got: dict[int, Rollouts] = {}
    for members in groups.values():
        first = next(iter(members.values()))
        prompts = [want.prompt for want in members.values()]
        answers = ask(prompts, first.n_samples, seed=first.seed, **{**settings, **first.settings})
        got.update(zip(members, answers, strict=True))
    return [got[place] for place in range(len(runs))]


def _identity(want: Want) -> tuple[Any, int, int, int | None, str]:
    kind = repr(sorted(want.settings.items()))
    return frozen(want.prompt), want.n_samples, want.seed, want.without, kind


def joined(parts: Iterable[Rollouts]) -> Rollouts:
    """Samples of one prompt that were asked for one after the other, as one `Rollouts`."""
    sets = list(parts)
    if len(sets) == 1:
        return sets[0]
    slots: list[Response | Failure] = [slot for rollouts in sets for slot in rollouts.slots]
    return replace(sets[0], slots=tuple(replace(slot, index=index) for index, slot in enumerate(slots)))
