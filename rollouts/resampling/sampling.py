"""Resamples a trace before any of its sentences, and forces answers there. Sends through the asker it is given."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from rollouts.exceptions import ConfigError, RolloutsWarning
from rollouts.resampling.answers import Answer, Policies, Where
from rollouts.resampling.asking import Asker, Want, ask_each
from rollouts.resampling.checking import whole
from rollouts.resampling.equality import Grade, normalize
from rollouts.resampling.extracting import Extract
from rollouts.resampling.judging import Judging
from rollouts.resampling.resampling import Resampling
from rollouts.resampling.rounds import ask_in_rounds
from rollouts.resampling.stopping import Rule, width_below
from rollouts.resampling.trace import FORCED_LEAD, Positions, Trace
from rollouts.resampling.wanted import FORCED_SETTINGS, Wanted, wanted
from rollouts.results import Rollouts

ROUND = 10
"""Samples of each position in one round of an adaptive run."""


def resample(
    ask: Asker,
    trace: Trace,
    n_samples: int = 100,
    positions: Positions = "all",
    *,
    forced: bool = False,
    seed: int = 0,
    until: Rule | float | None = None,
    round_size: int = ROUND,
    truth: Grade | None = None,
    extract: Extract = "boxed",
    where: Where = "answer",
    policy: Policies = "drop",
    normalise: Callable[[str], str] = normalize,
    forced_samples: int | None = None,
    forced_lead: str = FORCED_LEAD,
    forced_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Resampling:
    r"""Sample `n_samples` continuations before each position, in one stream; equal prefixes are asked once.

    Where a position's prompt is the one that the trace's own sample was asked (one that opened the thought), that
    sample's number is left out and one more is drawn: the trace has every sentence, and was chosen, not drawn.

    Args:
        ask: Sends and keeps: `client.generate_many`. (`client.resample` has one that takes all kinds in one stream.)
        trace: What to resample.
        n_samples: Samples of each position; with `until` at most so many.
        positions: `"all"` (before every sentence), a number or numbers; the number of sentences itself means after the
            last one, and gives that one its kept arm.
        forced: Also force the answer at each position.
        seed: The first sample's number.
        until: A rule, or the width of the accuracy's interval: a position gets rounds of `round_size` samples until the
            rule is content. Rounds are judged whole, so quick answers do not count first; no position waits for
            another. The forced answers are not judged.
        round_size: Samples of a position in one round.
        truth: The true answer, or a function that judges one.
        extract: How the answer is found.
        where: Where it is looked for.
        policy: What becomes of samples without an answer.
        normalise: What makes equal answers equal strings.
        forced_samples: Forced answers of each position; `n_samples` when None.
        forced_lead: What a forced answer begins with; the default ends in `\boxed{`. After one that opens no box the
            answer is looked for in all that the model wrote.
        forced_settings: Sampling settings of the forced answers, over `FORCED_SETTINGS` and those of the call.
        **settings: Settings of the call, as for `client.generate`.

    Raises:
        ConfigError: A position or number out of range, or another option that cannot be; nothing was sent.
    """
    judging = Judging(truth, extract, where, policy, normalise)
    rule, size = rule_of(until, judging), whole("round_size", round_size)
    todo = wanted(
        trace,
        n_samples,
        positions,
        seed=seed,
        forced=forced,
        forced_samples=forced_samples,
        forced_lead=forced_lead,
        forced_settings=forced_settings,
    )
    if rule is None:
        got = ask_each(ask, [*todo.arms, *todo.forced], **settings)
    else:
        got = _in_rounds(ask, todo, rule, judging, size, settings)
    arms = dict(zip(todo.positions, got, strict=False))
    by_position = dict(zip(todo.positions, got[len(arms) :], strict=True)) if forced else {}
    result = Resampling(trace, arms, by_position, judging, forced_lead)
    if result.restarted:
        warnings.warn(
            f"{result.restarted} of {sum(map(len, result.distinct_arms))} samples began anew instead of going on from "
            "their prefix, so they say nothing about the sentences: use another provider, or leave them out with "
            "`resampling.continuing()`.",
            RolloutsWarning,
            stacklevel=2,
        )
    return result


def plan_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part options of `resample`: those that decide what is asked, and the settings of the call.

    How answers are judged, and when enough are there, is looked at and left out.

    Raises:
        ConfigError: It cannot be.
    """
    judging = Judging(**{name: options[name] for name in Judging.__dataclass_fields__ if name in options})
    rule_of(options.get("until"), judging)
    whole("round_size", options.get("round_size", ROUND))
    asking = {"seed", "forced_samples", "forced_lead", "forced_settings"}
    judged = {*Judging.__dataclass_fields__, "until", "round_size"}
    asked = {name: value for name, value in options.items() if name in asking}
    return asked, {name: value for name, value in options.items() if name not in asking | judged}


def rule_of(until: Rule | float | None, judging: Judging) -> Rule | None:
    """The rule that `until` stands for: a width is that of the accuracy, or of the majority where no truth is known.

    Raises:
        ConfigError: It is no rule.
    """
    if isinstance(until, Real) and not isinstance(until, bool):
        of = "majority" if judging.truth is None else "accuracy"
        return width_below(float(until), of=of, policy=judging.policy)
    if until is not None and not callable(until):
        raise ConfigError(f"until={until!r}: give a width between 0 and 1, or a rule.")
    return until


def _in_rounds(
    ask: Asker, todo: Wanted, rule: Rule, judging: Judging, size: int, settings: Mapping[str, Any]
) -> list[Rollouts]:
    """Each position in rounds of its own, the forced answers beside them."""
    seen: dict[int, list[Answer]] = {}

    def go_on(k: int, want: Want, came: Rollouts) -> Want | None:
        if k >= len(todo.arms):
            return None
        answers = seen.setdefault(k, [])
        answers += judging.answers(came)
        left = todo.arms[k].n_samples - len(answers)
        if rule(answers, judging.correct(answers)) or left < 1:
            return None
        return replace(want, n_samples=min(size, left), seed=want.after)

    first = [replace(want, n_samples=min(size, want.n_samples)) for want in todo.arms]
    return ask_in_rounds(ask, [*first, *todo.forced], go_on, **settings)


def force_answers(
    ask: Asker,
    trace: Trace,
    n_samples: int = 100,
    positions: Positions = "all",
    *,
    lead: str = FORCED_LEAD,
    seed: int = 0,
    **settings: Any,
) -> dict[int, Rollouts]:
    r"""Close the thought before each position and ask for the answer at once, with few tokens and a stop.

    Args:
        ask: Sends and keeps.
        trace: The trace.
        n_samples: Samples of each position.
        positions: Where to force; as for `resample`.
        lead: What the answer begins with; the default ends in `\boxed{`.
        seed: The first sample's number.
        **settings: Settings of the call, over `FORCED_SETTINGS`.

    Raises:
        ConfigError: A position or number out of range.
    """
    todo = wanted(trace, n_samples, positions, seed=seed, forced=True, forced_lead=lead)
    merged = {**FORCED_SETTINGS, **settings}
    arms = ask_each(ask, [replace(want, settings={}) for want in todo.forced], **merged)
    return dict(zip(todo.positions, arms, strict=True))


def force_answer(ask: Asker, trace: Trace, i: int | None = None, n_samples: int = 1, **options: Any) -> Rollouts:
    """The answers forced before sentence `i`; after the whole thought when None. Options: as for `force_answers`."""
    at = len(trace) if i is None else trace.position(i, end=True)
    return force_answers(ask, trace, n_samples, at, **options)[at]
