"""Samples in rounds, each prompt at its own pace: what is whole goes on, whatever the others do. Knows no client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rollouts.resampling.asking import Asker, Want, ask_each, frozen, joined
from rollouts.results import Rollouts

GoOn: TypeAlias = Callable[[int, Want, Rollouts], Want | None]
"""Told the position of a want among those asked for, its round and the samples of it, once all of them are there;
gives the next round, or None."""


class _Chain:
    """The rounds of one prompt."""

    def __init__(self, position: int, want: Want) -> None:
        self.position = position
        self.want = want
        self.rounds: list[Rollouts] = []
        self._parts: dict[int, Rollouts] = {}

    def take(self, place: int, rollouts: Rollouts) -> Rollouts | None:
        """The round that these samples make whole; None while some of it are missing."""
        self._parts[place] = rollouts
        if len(self._parts) < len(self.want.runs):
            return None
        self.rounds.append(joined(self._parts[place] for place in sorted(self._parts)))
        self._parts = {}
        return self.rounds[-1]


class Rounds:
    """Several prompts on their way."""

    def __init__(self, wants: Sequence[Want], go_on: GoOn) -> None:
        """Begin with `wants`; equal ones are one."""
        self._go_on = go_on
        self._keys = [(frozen(want.prompt), repr(sorted(want.settings.items()))) for want in wants]
        self._chains: dict[Any, _Chain] = {}
        self._owners: list[_Chain] = []
        """Whose each place is, in the order in which runs were given out."""
        self.first: list[Want] = []
        """What to ask first."""
        for position, (key, want) in enumerate(zip(self._keys, wants, strict=True)):
            if key not in self._chains:
                self._chains[key] = _Chain(position, want)
                self.first += self._given(self._chains[key])

    def then(self, place: int, rollouts: Rollouts) -> list[Want]:
        """Take the samples of a run; gives what to ask besides."""
        chain = self._owners[place]
        whole = chain.take(place, rollouts)
        following = None if whole is None else self._go_on(chain.position, chain.want, whole)
        if following is None:
            return []
        chain.want = following
        return self._given(chain)

    def result(self) -> list[Rollouts]:
        """All samples of each want, rounds joined; equal wants share one `Rollouts`."""
        whole = {key: joined(chain.rounds) for key, chain in self._chains.items()}
        return [whole[key] for key in self._keys]

    def _given(self, chain: _Chain) -> list[Want]:
        runs = chain.want.runs
        self._owners += [chain] * len(runs)
        return runs


def ask_in_rounds(ask: Asker, wants: Sequence[Want], go_on: GoOn, **settings: Any) -> list[Rollouts]:
    """The samples of each want and of the rounds that follow it.

    In a `Stream` each prompt goes on as soon as its own round is whole; another asker is asked for one round of all
    prompts after the other.
    """
    rounds = Rounds(wants, go_on)
    each = getattr(ask, "each", None)
    if each is not None:
        each(rounds.first, rounds.then, **settings)
        return rounds.result()
    place, runs = 0, rounds.first
    while runs:
        following: list[Want] = []
        for rollouts in ask_each(ask, runs, **settings):
            following += rounds.then(place, rollouts)
            place += 1
        runs = following
    return rounds.result()
