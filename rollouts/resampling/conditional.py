"""Draws under a condition: until a predicate holds, until a sentence stays away or is said. Sends through an asker.

Similarity is a function handed in, `similar(sentence, others) -> scores`, so that no embedding is needed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

from rollouts.resampling.asking import Asker, Want, ask_each, frozen
from rollouts.resampling.checking import whole
from rollouts.resampling.resampling import first_of
from rollouts.resampling.splitters import piece, split_sentences
from rollouts.resampling.trace import Prompt, Trace
from rollouts.results import Failure, Response, Rollouts

Similar: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""How similar one sentence is to each of several: 1 for the same, about 0 for unrelated ones."""


@dataclass(frozen=True, slots=True)
class Conditional:
    """Draws of one prompt until enough satisfied a predicate. Rejected draws are kept."""

    accepted: tuple[Response, ...]
    """The first that satisfied it, in the order of their numbers."""
    rejected: tuple[Response, ...]
    """Those numbered before the last accepted one (before the end, where too few were found) that did not."""
    failures: tuple[Failure, ...]
    """Draws without an answer."""
    wanted: int
    """How many were to be accepted."""

    @property
    def complete(self) -> bool:
        """Whether enough were found."""
        return len(self.accepted) == self.wanted

    @property
    def draws(self) -> int:
        """Answers judged."""
        return len(self.accepted) + len(self.rejected)

    @property
    def rate(self) -> float | None:
        """Share accepted; None where nothing was drawn."""
        return len(self.accepted) / self.draws if self.draws else None


def draw_until(
    ask: Asker,
    prompt: Prompt,
    accept: Callable[[Response], bool],
    n_accepted: int = 1,
    *,
    max_draws: int = 1000,
    round_size: int = 10,
    seed: int = 0,
    **settings: Any,
) -> Conditional:
    """Draw samples of `prompt` until `n_accepted` satisfy `accept`, judged in the order of their numbers.

    Raises:
        ConfigError: A number below 1.
    """
    n_accepted, max_draws = whole("n_accepted", n_accepted), whole("max_draws", max_draws)
    round_size = whole("round_size", round_size)
    accepted: list[Response] = []
    rejected: list[Response] = []
    failures: list[Failure] = []
    drawn = 0
    while len(accepted) < n_accepted and drawn < max_draws:
        n = min(round_size, max_draws - drawn)
        (rollouts,) = ask([prompt], n, seed=seed + drawn, **settings)
        drawn += n
        for slot in rollouts.slots:
            if len(accepted) == n_accepted:
                break
            if isinstance(slot, Failure):
                failures.append(slot)
            else:
                (accepted if accept(slot) else rejected).append(slot)
    return Conditional(tuple(accepted), tuple(rejected), tuple(failures), n_accepted)


@dataclass(frozen=True, slots=True)
class Resilience:
    """How hard it is to keep a sentence away: it is removed wherever it comes back."""

    position: int
    threshold: float
    """Similarity from which a sentence counts as the removed one."""
    max_rounds: int
    rounds: tuple[int, ...]
    """Removals of each chain; the first one is the resampling at the sentence itself."""
    gone: tuple[bool, ...]
    """Whether the sentence stayed away; False where `max_rounds` was reached or the last draw failed."""
    finals: Rollouts
    """The last sample of each chain, in the order of the chains."""
    requests: int
    """Samples asked for in all."""

    @property
    def score(self) -> float:
        """Mean removals; a chain that never let go counts with `max_rounds`, so this is a lower bound then."""
        return sum(self.rounds) / len(self.rounds)

    @property
    def share_gone(self) -> float:
        """Share of the chains in which the sentence stayed away."""
        return sum(self.gone) / len(self.gone)

    @property
    def without(self) -> Rollouts:
        """The final samples in which the sentence never came back: the removed arm of counterfactual++."""
        slots = [slot for slot, gone in zip(self.finals.slots, self.gone, strict=True) if gone]
        return _numbered(self.finals, slots)


def resilience(
    ask: Asker,
    trace: Trace,
    i: int,
    similar: Similar,
    *,
    n_samples: int = 20,
    threshold: float = 0.8,
    max_rounds: int = 10,
    seed: int = 0,
    **settings: Any,
) -> Resilience:
    """Resample at sentence `i`; where something like it comes back, cut there and resample again, until it stays away.

    The resilience of Thought Branches (arXiv 2510.27484). All chains go on side by side, one round at a time.

    Args:
        ask: Sends and keeps.
        trace: The trace.
        i: The sentence's position.
        similar: Scores sentences against the removed one.
        n_samples: Chains.
        threshold: Similarity from which a sentence counts as the removed one.
        max_rounds: Removals after which a chain is given up.
        seed: The first sample's number.
        **settings: Settings of the call.

    Raises:
        ConfigError: A position or number out of range.
    """
    n_samples, max_rounds = whole("n_samples", n_samples), whole("max_rounds", max_rounds)
    at = trace.position(i)
    target = trace.sentence(at)
    thoughts = [trace.prefix(at)] * n_samples
    rounds, gone = [0] * n_samples, [False] * n_samples
    last: list[Response | Failure] = [Failure("not_sent")] * n_samples
    next_number: dict[Any, int] = {}
    active = list(range(n_samples))
    requests = 0
    frame = Rollouts(())
    while active:
        groups: dict[str, list[int]] = {}
        for chain in active:
            groups.setdefault(thoughts[chain], []).append(chain)
        wants = []
        for thought, chains in groups.items():
            prompt = trace.prompt_after(thought)
            first = next_number.get(frozen(prompt), seed)
            next_number[frozen(prompt)] = first + len(chains)
            wants.append(Want(prompt, len(chains), first))
        requests += len(active)
        for chains, rollouts in zip(groups.values(), ask_each(ask, wants, **settings), strict=True):
            frame = rollouts
            for chain, slot in zip(chains, rollouts.slots, strict=True):
                last[chain] = slot
                rounds[chain] += 1
        active = _cut_again(active, thoughts, last, gone, trace, target, similar, threshold)
        active = [chain for chain in active if rounds[chain] < max_rounds]
    return Resilience(at, threshold, max_rounds, tuple(rounds), tuple(gone), _numbered(frame, last), requests)


def _cut_again(
    active: list[int],
    thoughts: list[str],
    last: list[Response | Failure],
    gone: list[bool],
    trace: Trace,
    target: str,
    similar: Similar,
    threshold: float,
) -> list[int]:
    """Cut the chains in which the sentence came back before it; returns them. Scores all sentences in one call."""
    spans, bounds, written = [], [0], []
    for chain in active:
        slot = last[chain]
        text = "" if isinstance(slot, Failure) else slot.content if slot.reasoning is None else slot.reasoning
        written.append(text)
        spans += split_sentences(text, trace.style)
        bounds.append(len(spans))
    scores = similar(target, [piece(span.text, trace.style) for span in spans]) if spans else []
    again = []
    for chain, text, (start, end) in zip(active, written, pairwise(bounds), strict=True):
        back = next((k for k in range(start, end) if scores[k] >= threshold), None)
        if back is not None:
            thoughts[chain] = (thoughts[chain] + text[: spans[back].start]).rstrip()
            again.append(chain)
        else:
            gone[chain] = isinstance(last[chain], Response)
    return again


def _numbered(frame: Rollouts, slots: Sequence[Response | Failure]) -> Rollouts:
    return replace(frame, prompt=None, slots=tuple(replace(slot, index=k) for k, slot in enumerate(slots)))


@dataclass(frozen=True, slots=True)
class Steering:
    """A thought led to a sentence by choosing among what the model itself says."""

    thought: str
    """The thought up to and including what came nearest to the target; resample from `trace.prompt_after(thought)`."""
    similarity: float
    """How near the last sentence is to the target."""
    reached: bool
    """Whether the threshold was reached."""
    chosen: tuple[str, ...]
    """The sentences chosen, one a round."""
    requests: int
    """Samples asked for in all."""


def steer(
    ask: Asker,
    trace: Trace,
    i: int,
    target: str,
    similar: Similar,
    *,
    threshold: float = 0.7,
    max_rounds: int = 6,
    candidates: int = 12,
    continuations: int = 8,
    max_tokens: int = 48,
    seed: int = 0,
    **settings: Any,
) -> Steering:
    """Make the model say `target` before position `i` without pasting it (Thought Branches, on-policy intervention).

    Each round samples `candidates` next sentences and `continuations` after each, and keeps the candidate whose own
    sentence or whose continuation comes nearest to the target; it ends when a sentence of the thought itself does.

    Raises:
        ConfigError: A position or number out of range.
    """
    max_rounds, candidates = whole("max_rounds", max_rounds), whole("candidates", candidates)
    continuations = whole("continuations", continuations, 0)
    thought, chosen, requests, score = trace.prefix(i), [], 0, 0.0
    settings = {**settings, "max_tokens": max_tokens}
    for _ in range(max_rounds):
        (drawn,) = ask([trace.prompt_after(thought)], candidates, seed=seed, **settings)
        requests += candidates
        sentences = list(dict.fromkeys(s for response in drawn if (s := first_of(response, trace))))
        if not sentences:
            break
        own = list(similar(target, sentences))
        extended = [_extend(thought, sentence) for sentence in sentences]
        promise = list(own)
        if continuations and max(own) < threshold:
            after = ask([trace.prompt_after(text) for text in extended], continuations, seed=seed, **settings)
            requests += continuations * len(extended)
            for k, rollouts in enumerate(after):
                nexts = [s for response in rollouts if (s := first_of(response, trace))]
                promise[k] = max([own[k], *(similar(target, nexts) if nexts else [])])
        best = max(range(len(sentences)), key=promise.__getitem__)
        thought, score = extended[best], float(own[best])
        chosen.append(sentences[best])
        if score >= threshold:
            return Steering(thought, score, True, tuple(chosen), requests)
    return Steering(thought, score, False, tuple(chosen), requests)


def _extend(thought: str, sentence: str) -> str:
    return f"{thought} {sentence}" if thought else sentence
