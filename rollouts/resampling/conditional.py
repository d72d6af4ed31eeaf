"""Draws under a condition: until a predicate holds, until a sentence stays away or is said. Sends through an asker.

Similarity is a function handed in, `similar(sentence, others) -> scores`, so that no embedding is needed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, TypeAlias

from rollouts.resampling.asking import Asker, Want, ask_each
from rollouts.resampling.checking import whole
from rollouts.resampling.splitters import piece, split_sentences
from rollouts.resampling.trace import Prompt, Trace
from rollouts.results import Failure, Response, Rollouts

Similar: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""How similar one sentence is to each of several: 1 for the same, about 0 for unrelated ones."""


@dataclass(frozen=True, slots=True)
class Conditional:
    """Draws of one prompt until enough satisfied a predicate. All of them are kept."""

    accepted: tuple[Response, ...]
    """The first that satisfied it, in the order of their numbers."""
    rejected: tuple[Response, ...]
    """Those numbered before the last accepted one (before the end, where too few were found) that did not."""
    failures: tuple[Failure, ...]
    """Draws without an answer."""
    wanted: int
    """How many were to be accepted."""
    unjudged: tuple[Response, ...] = ()
    """Those of the last round that are numbered after the last accepted one."""

    @property
    def complete(self) -> bool:
        """Whether enough were found."""
        return len(self.accepted) == self.wanted

    @property
    def draws(self) -> int:
        """Answers judged."""
        return len(self.accepted) + len(self.rejected)

    @property
    def requests(self) -> int:
        """Samples asked for in all."""
        return self.draws + len(self.unjudged) + len(self.failures)

    @property
    def rate(self) -> float | None:
        """How often the predicate holds, without bias (Haldane 1945; Girshick, Mosteller and Savage 1946).

        Drawing ends with an accepted sample, so the share accepted is too high: where it ended at the r-th of n draws
        this is (r - 1) / (n - 1), and None where it ended at the first accepted one, which tells no rate. Where
        `max_draws` ended it, the share accepted. None where nothing was judged.
        """
        if not self.draws:
            return None
        if not self.complete:
            return len(self.accepted) / self.draws
        return (self.wanted - 1) / (self.draws - 1) if self.wanted > 1 else None


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

    Draws come in rounds of `round_size`; the last round is judged up to the last accepted sample.

    Raises:
        ConfigError: A number below 1.
    """
    n_accepted, max_draws = whole("n_accepted", n_accepted), whole("max_draws", max_draws)
    round_size = whole("round_size", round_size)
    accepted: list[Response] = []
    rejected: list[Response] = []
    unjudged: list[Response] = []
    failures: list[Failure] = []
    drawn = 0
    while len(accepted) < n_accepted and drawn < max_draws:
        n = min(round_size, max_draws - drawn)
        (rollouts,) = ask([prompt], n, seed=seed + drawn, **settings)
        drawn += n
        for slot in rollouts.slots:
            if isinstance(slot, Failure):
                failures.append(slot)
            elif len(accepted) == n_accepted:
                unjudged.append(slot)
            else:
                (accepted if accept(slot) else rejected).append(slot)
    return Conditional(tuple(accepted), tuple(rejected), tuple(failures), n_accepted, tuple(unjudged))


STRIDE = 1_000_000
"""How far apart the numbers of a chain are that draws from one prompt again; chain c has those that are c apart from
the multiples, so that no other chain has them."""


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

    The resilience of Thought Branches (arXiv 2510.27484). All chains go on side by side, one round at a time. What a
    chain draws does not depend on how many there are: 20 after 10 go on with the first ten as they were.

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
    drawn: Counter[tuple[str, int]] = Counter()
    active = list(range(n_samples))
    requests = 0
    frame = Rollouts(())
    while active:
        draws = _draws(active, thoughts, drawn, trace, seed)
        requests += len(active)
        for (_, chains), rollouts in zip(draws, ask_each(ask, [w for w, _ in draws], **settings), strict=True):
            frame = rollouts
            for chain, slot in zip(chains, rollouts.slots, strict=True):
                last[chain] = slot
                rounds[chain] += 1
        active = _cut_again(active, thoughts, last, gone, trace, target, similar, threshold)
        active = [chain for chain in active if rounds[chain] < max_rounds]
    return Resilience(at, threshold, max_rounds, tuple(rounds), tuple(gone), _numbered(frame, last), requests)


def _draws(
    active: Sequence[int], thoughts: Sequence[str], drawn: Counter[tuple[str, int]], trace: Trace, seed: int
) -> list[tuple[Want, list[int]]]:
    """The next draw of each chain: wants, and the chains that each one's samples belong to."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for chain in active:
        thought = thoughts[chain]
        number = seed + drawn[thought, chain] * STRIDE + chain
        own = trace.own_number(trace.prompt_after(thought))
        drawn[thought, chain] += 1
        groups.setdefault(thought, []).append((number + (own is not None and seed <= own <= number), chain))
    out = []
    for thought, numbers in groups.items():
        for _, run in groupby(enumerate(sorted(numbers)), key=lambda item: item[1][0] - item[0]):
            members = [member for _, member in run]
            want = Want(trace.prompt_after(thought), len(members), members[0][0])
            out.append((want, [chain for _, chain in members]))
    return out


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
        found: dict[str, str] = {}
        for said in (_said(response, trace) for response in drawn):
            if said is not None:
                found.setdefault(*said)
        if not found:
            break
        sentences, extended = list(found), [thought + text for text in found.values()]
        own = list(similar(target, sentences))
        promise = list(own)
        if continuations and max(own) < threshold:
            after = ask([trace.prompt_after(text) for text in extended], continuations, seed=seed, **settings)
            requests += continuations * len(extended)
            for k, rollouts in enumerate(after):
                nexts = [following[0] for response in rollouts if (following := _said(response, trace))]
                promise[k] = max([own[k], *(similar(target, nexts) if nexts else [])])
        best = max(range(len(sentences)), key=promise.__getitem__)
        thought, score = extended[best], float(own[best])
        chosen.append(sentences[best])
        if score >= threshold:
            return Steering(thought, score, True, tuple(chosen), requests)
    return Steering(thought, score, False, tuple(chosen), requests)


def _said(response: Response, trace: Trace) -> tuple[str, str] | None:
    """The first sentence that goes on with the thought, and the text up to its end as the model wrote it.

    None where the model ended its thought at once: what it said then is no thought.
    """
    text = response.content if response.reasoning is None else response.reasoning
    for span in split_sentences(text, trace.style):
        if span.text.strip():
            return piece(span.text, trace.style), text[: span.end].rstrip()
    return None
