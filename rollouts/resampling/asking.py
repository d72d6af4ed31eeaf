"""How this package asks a model: through a callable that is handed in. Knows no client and no engine.

`client.generate_many` fits. Whoever is asked keeps the answers; asking again for the same numbers costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rollouts.exceptions import ConfigError
from rollouts.resampling.trace import Prompt
from rollouts.results import Failure, Response, Rollouts


class Asker(Protocol):
    """Samples every prompt as one bounded stream, without waiting for one prompt before the next."""

    def __call__(self, prompts: list[Prompt], n_samples: int, *, seed: int, **settings: Any) -> list[Rollouts]:
        """The samples `seed` … `seed + n_samples - 1` of each prompt, in the order of the prompts."""


@dataclass(frozen=True, slots=True)
class Want:
    """Samples that are wanted of one prompt."""

    prompt: Prompt
    n_samples: int
    seed: int = 0
    """The first sample's number."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of this want, over those of the call."""


class Stream(Asker, Protocol):
    """An asker that also takes wants which differ in numbers and settings, as one bounded stream."""

    def each(self, wants: Sequence[Want], **settings: Any) -> list[Rollouts]:
        """The samples of each want, in their order."""


def frozen(prompt: Prompt) -> Any:
    """A key that equal prompts share."""
    return prompt if isinstance(prompt, str) else repr(prompt)


def ask_distinct(
    ask: Asker, prompts: Sequence[Prompt], n_samples: int, *, seed: int = 0, **settings: Any
) -> list[Rollouts]:
    """The samples of each prompt; equal prompts are asked once and share one `Rollouts`.

    Raises:
        ConfigError: `n_samples` is below 1.
    """
    if n_samples < 1:
        raise ConfigError(f"n_samples={n_samples}: ask for at least one sample.")
    distinct = {frozen(prompt): prompt for prompt in prompts}
    answers = ask(list(distinct.values()), n_samples, seed=seed, **settings) if distinct else []
    by_prompt = dict(zip(distinct, answers, strict=True))
    return [by_prompt[frozen(prompt)] for prompt in prompts]


def ask_each(ask: Asker, wants: Sequence[Want], **settings: Any) -> list[Rollouts]:
    """The samples of each want; equal wants are asked once and share one `Rollouts`.

    A `Stream` gets them all at once; of another asker those with the same numbers and settings travel together.

    Raises:
        ConfigError: A number of samples below 1.
    """
    for want in wants:
        if want.n_samples < 1:
            raise ConfigError(f"n_samples={want.n_samples}: ask for at least one sample.")
    distinct = {_identity(want): want for want in wants}
    each = getattr(ask, "each", None)
    if not distinct:
        return []
    if each is not None:
        got = dict(zip(distinct, each(list(distinct.values()), **settings), strict=True))
        return [got[_identity(want)] for want in wants]
    groups: dict[Any, dict[Any, Want]] = {}
    for identity, want in distinct.items():
        groups.setdefault(identity[1:], {})[identity] = want
    got = {}
    for members in groups.values():
        first = next(iter(members.values()))
        prompts = [want.prompt for want in members.values()]
        answers = ask(prompts, first.n_samples, seed=first.seed, **{**settings, **first.settings})
        got.update(zip(members, answers, strict=True))
    return [got[_identity(want)] for want in wants]


def _identity(want: Want) -> tuple[Any, int, int, str]:
    return frozen(want.prompt), want.n_samples, want.seed, repr(sorted(want.settings.items()))


def joined(parts: Iterable[Rollouts]) -> Rollouts:
    """Consecutive samples of one prompt as one `Rollouts`."""
    sets = list(parts)
    if len(sets) == 1:
        return sets[0]
    slots: list[Response | Failure] = [slot for rollouts in sets for slot in rollouts.slots]
    return replace(sets[0], slots=tuple(replace(slot, index=index) for index, slot in enumerate(slots)))
