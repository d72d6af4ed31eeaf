"""What came back from resampling a trace: its samples by position, their answers, how they are judged. Sends nothing.

One set of samples serves every measure: what is sampled before sentence i+1 keeps sentence i, what is sampled before
sentence i leaves it out. So the kept arm of a sentence is the removed arm of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.resampling.answers import Answer
from rollouts.resampling.braces import closed
from rollouts.resampling.extracting import Extract, InBox
from rollouts.resampling.judging import Judging
from rollouts.resampling.splitters import first_sentence
from rollouts.resampling.trace import FORCED_LEAD, Trace
from rollouts.results import Failure, Response, Rollouts


@dataclass(frozen=True, slots=True)
class Resampling:
    """What came back: one arm of samples for each position, and the answers that were forced there."""

    trace: Trace
    arms: Mapping[int, Rollouts]
    """The samples that go on before sentence i; equal prefixes share one `Rollouts`."""
    forced: Mapping[int, Rollouts] = field(default_factory=dict)
    """The answers forced before sentence i."""
    judging: Judging = field(default_factory=Judging)
    """How answers are found and judged."""
    forced_lead: str = FORCED_LEAD
    """What the forced answers begin with; whether it opens a box decides where they are looked for."""
    _firsts: dict[int, list[str]] = field(default_factory=dict, repr=False, compare=False)
    """First sentences already cut, by position; the same for every way of judging."""
    _answers: dict[tuple[int, bool], list[Answer]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Answers already found, by position and whether forced."""

    def __repr__(self) -> str:
        n = sum(len(r) for r in self.arms.values())
        forced = f", {sum(len(r) for r in self.forced.values())} forced" if self.forced else ""
        return f"Resampling({len(self.trace)} sentences, {len(self.arms)} positions, {n} samples{forced})"

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions that were sampled, in order."""
        return tuple(sorted(self.arms))

    def removed(self, i: int) -> Rollouts | None:
        """The samples that leave sentence `i` out; None where there are none."""
        return self.arms.get(self.trace.position(i, end=True))

    def kept(self, i: int) -> Rollouts | None:
        """The samples that keep sentence `i`: those sampled before the next one; None where there are none."""
        return self.arms.get(self.trace.position(i) + 1)

    def first_sentences(self, i: int) -> list[str]:
        """What each sample of arm `i` wrote in the place of sentence `i`, without white space around it.

        Where the model ended its thought there, the first sentence of its answer; empty where it wrote nothing.
        """
        at = self.trace.position(i, end=True)
        if at not in self._firsts:
            self._firsts[at] = [first_of(response, self.trace) for response in self.arms.get(at, ())]
        return list(self._firsts[at])

    def answers(self, i: int, *, forced: bool = False) -> list[Answer]:
        """The answers of arm `i`, one for each sample asked for, in the order of their numbers."""
        at = self.trace.position(i, end=True)
        if (at, forced) not in self._answers:
            arm = (self.forced if forced else self.arms).get(at)
            judging = self._forced_judging() if forced else self.judging
            self._answers[at, forced] = [] if arm is None else judging.answers(arm)
        return list(self._answers[at, forced])

    def correct(self, i: int, *, forced: bool = False) -> list[bool | None]:
        """Whether each answer of arm `i` is right; None where it is left out."""
        return self.judging.correct(self.answers(i, forced=forced))

    def accuracy(self, i: int, *, forced: bool = False) -> float | None:
        """Share of right answers among the counted ones of arm `i`; None where nothing is counted."""
        judged = [c for c in self.correct(i, forced=forced) if c is not None]
        return sum(judged) / len(judged) if judged else None

    def judged(self, **changes: Any) -> Resampling:
        """The same samples judged otherwise: `truth`, `extract`, `where`, `policy`, `normalise`. Sends nothing.

        Raises:
            ConfigError: No such field.
        """
        known = Judging.__dataclass_fields__
        if unknown := sorted(set(changes) - set(known)):
            raise ConfigError(f"{', '.join(unknown)}: judging has the fields {', '.join(known)}.")
        now = {name: getattr(self.judging, name) for name in known}
        return replace(self, judging=Judging(**{**now, **changes}))

    @property
    def distinct_arms(self) -> list[Rollouts]:
        """The arms, each once where equal prefixes share one."""
        return list({id(arm): arm for arm in self.arms.values()}.values())

    @property
    def restarted(self) -> int:
        """Samples that began anew instead of going on from their prefix: they say nothing about the sentences."""
        return sum(r.continued == "no" for arm in self.distinct_arms for r in arm)

    def continuing(self) -> Resampling:
        """The same resampling without the samples that began anew. Sends nothing."""
        done: dict[int, Rollouts] = {}

        def kept(arm: Rollouts) -> Rollouts:
            if id(arm) not in done:
                slots = (s for s in arm.slots if isinstance(s, Failure) or s.continued != "no")
                done[id(arm)] = replace(arm, slots=tuple(slots))
            return done[id(arm)]

        arms = {i: kept(arm) for i, arm in self.arms.items()}
        forced = {i: kept(arm) for i, arm in self.forced.items()}
        return replace(self, arms=arms, forced=forced, _firsts={})

    @property
    def cost(self) -> float | None:
        """US dollars of all samples whose cost is known, cached ones included; None where none is."""
        distinct = {id(r): r for r in (*self.arms.values(), *self.forced.values())}
        known = [r.cost for r in distinct.values() if r.cost is not None]
        return sum(known) if known else None

    def _forced_judging(self) -> Judging:
        j = self.judging
        in_box = closed(self.forced_lead) != self.forced_lead
        how: Extract = InBox(j.extract) if in_box and not callable(j.extract) else j.extract
        return Judging(j.truth, how, "anywhere", j.policy, j.normalise)

    @classmethod
    def from_texts(
        cls,
        trace: Trace,
        arms: Mapping[int, Sequence[str]],
        *,
        forced: Mapping[int, Sequence[str]] | None = None,
        **judging: Any,
    ) -> Resampling:
        """A resampling of texts that were sampled elsewhere: what the model wrote after each prefix.

        A text with the closing tag is thought and answer; one without it is an answer. `judging`: as for `judged`.
        """
        closing = trace.marks.mark

        def response(text: str, index: int) -> Response:
            thought, tag, content = text.partition(closing) if closing else ("", "", text)
            if not tag:
                return Response(text, finish_reason="stop", seed=index, index=index)
            return Response(content, thought, "stop", completed_reasoning=True, seed=index, index=index)

        def arm(texts: Sequence[str]) -> Rollouts:
            return Rollouts(tuple(response(text, index) for index, text in enumerate(texts)))

        made = cls(
            trace,
            {trace.position(i, end=True): arm(texts) for i, texts in arms.items()},
            {trace.position(i, end=True): arm(texts) for i, texts in (forced or {}).items()},
        )
        return made.judged(**judging) if judging else made


def first_of(response: Response, trace: Trace) -> str:
    """The first sentence that a sample wrote, cut as the trace is."""
    thought = response.reasoning
    text = thought if thought is not None and thought.strip() else response.content
    return first_sentence(text, trace.style)
