"""How this package asks a model: through a callable that is handed in. Knows no client and no engine.

`client.generate_many` fits. Whoever is asked keeps the answers; asking again for the same numbers costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
    """The samples of each want; wants with the same numbers travel together in one call."""
    answers: list[Rollouts | None] = [None] * len(wants)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, want in enumerate(wants):
        groups.setdefault((want.seed, want.n_samples), []).append(index)
    for (seed, n_samples), members in groups.items():
        got = ask_distinct(ask, [wants[i].prompt for i in members], n_samples, seed=seed, **settings)
        for index, rollouts in zip(members, got, strict=True):
            answers[index] = rollouts
    return [rollouts for rollouts in answers if rollouts is not None]


def joined(parts: Iterable[Rollouts]) -> Rollouts:
    """Consecutive samples of one prompt as one `Rollouts`."""
    sets = list(parts)
    if len(sets) == 1:
        return sets[0]
    slots: list[Response | Failure] = [slot for rollouts in sets for slot in rollouts.slots]
    return replace(sets[0], slots=tuple(replace(slot, index=index) for index, slot in enumerate(slots)))
