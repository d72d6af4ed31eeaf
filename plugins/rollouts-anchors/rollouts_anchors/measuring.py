"""How much each sentence matters: resampling, counterfactual and forced-answer importance. Asks no model.

The definitions are those of Bogdan, Macar, Nanda and Conmy, Thought Anchors (arXiv 2506.19143). For sentence i, D_i are
the samples that leave it out and D_{i+1} those that keep it. Our signs are the same for all kinds: an accuracy is kept
minus removed, so that a positive value means that keeping the sentence helps; a divergence is KL(removed || kept).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, TypeAlias

import numpy as np

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling, Resilience, normalize_latex
from rollouts.results import Response
from rollouts_anchors.arms import Arm, arm_of, counted, shared_counts
from rollouts_anchors.metrics import Metric, bootstrap_difference, bootstrap_distance, distance, newcombe
from rollouts_anchors.similarity import ROUNDING, Embed, Embedder, check_threshold, embedder
from rollouts_anchors.table import ImportanceRow, ImportanceTable

Kind: TypeAlias = Literal["resampling", "counterfactual", "forced"]
LEAST_DRAWS = 200
AnyKind: TypeAlias = Literal["resampling", "counterfactual", "forced", "counterfactual++"]
PUBLISHED = "thought-anchors"

_ACCURACY = {
    "resampling": "accuracy with the sentence minus without it; positive: keeping it helps",
    "counterfactual": "accuracy with the sentence minus where a different one stands; positive: keeping it helps",
    "forced": "forced-answer accuracy with the sentence minus without it; positive: keeping it helps",
    "counterfactual++": "accuracy with the sentence minus where it never comes back; positive: keeping it helps",
}
_DISTANCE = {
    "resampling": "{m}(without the sentence || with it)",
    "counterfactual": "{m}(where a different sentence stands || with the sentence)",
    "forced": "{m}(forced without the sentence || forced with it)",
    "counterfactual++": "{m}(where it never comes back || with the sentence)",
}


@dataclass(frozen=True, slots=True)
class _How:
    kind: AnyKind
    metric: Metric
    threshold: float
    smoothing: float
    min_different: int
    interval: str
    confidence: float
    n_boot: int
    union: bool
    published: bool
    rng: np.random.Generator


def importance(
    resampling: Resampling,
    kind: Kind = "resampling",
    metric: Metric = "accuracy",
    *,
    similarity: Embed | Embedder | str | None = None,
    threshold: float = 0.8,
    smoothing: float = 0.5,
    min_different: int = 5,
    union: bool = False,
    interval: Literal["auto", "newcombe", "bootstrap", "none"] = "auto",
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    compat: str | None = None,
) -> ImportanceTable:
    r"""The importance of every sentence, with an interval and the size of each arm.

    Args:
        resampling: What was sampled; `resampling.judged(…)` changes how its answers are found and judged.
        kind: `resampling`: kept against removed. `counterfactual`: kept against those of the removed whose first
            sentence differs. `forced`: the same as `resampling` with forced answers.
        metric: `accuracy` (needs a truth), `kl`, `tv` or `js` of the answers' distributions, in nats.
        similarity: Sentences to vectors: a function, `"minilm"` (extra `embeddings`) or `"words"`. Needed for
            `counterfactual`; where given, the share of different sentences is in every table.
        threshold: Cosine below which a sentence is a different one, between -1 and 1.
        smoothing: Added to every count before KL.
        min_different: Fewer counted different samples than this give no value; at least 1.
        union: Compare the different samples with the kept and the similar ones together (the published code's KL).
        interval: `newcombe` (accuracy only), `bootstrap` (simulation from smoothed shares, `metrics` has the method) or
            `none`; `auto`: newcombe for accuracy, else bootstrap.
        confidence: The interval's level.
        n_boot: Draws of the bootstrap, 200 at least.
        seed: Seed of the bootstrap.
        compat: `"thought-anchors"` computes as the published code does: first box anywhere, its rule for equal
            texts, samples without an answer dropped, smoothing 1e-9, the union arm for KL, **the opposite sign for
            counterfactual accuracy**, and 0.0 for what is missing and for the last sentence. One step is left out:
            where the texts differ the published grader also lets sympy say whether both are the same number (`0.5`
            and `\frac{1}{2}`); for that give a function as truth.

    Returns:
        One row for each sentence; None, with a note, where there is no arm to measure.

    Raises:
        ConfigError: An unknown kind or metric; accuracy without a truth; no similarity; nothing sampled or forced;
            a number out of range.
    """
    if compat not in (None, PUBLISHED):
        raise ConfigError(f"compat={compat!r}: the one known is {PUBLISHED!r}.")
    published = compat == PUBLISHED
    if kind not in ("resampling", "counterfactual", "forced"):
        raise ConfigError(f"kind={kind!r}: give resampling, counterfactual or forced.")
    if kind == "counterfactual" and similarity is None:
        raise ConfigError('counterfactual importance needs similarity=: "minilm", "words" or a function to vectors.')
    if published:
        extract = resampling.judging.extract if callable(resampling.judging.extract) else "boxed-first"
        resampling = resampling.judged(extract=extract, where="anywhere", policy="drop", normalise=normalize_latex)
        smoothing, min_different, union = 1e-9, 1, True
    check_threshold(threshold)
    _check(resampling, metric, interval, confidence, smoothing, n_boot, min_different)
    chosen = interval if interval != "auto" else "newcombe" if metric == "accuracy" else "bootstrap"
    rng = np.random.default_rng(seed)
    how = _How(kind, metric, threshold, smoothing, min_different, chosen, confidence, n_boot, union, published, rng)
    sets = resampling.forced if kind == "forced" else resampling.arms
    if not sets:
        raise ConfigError(
            "no answers were forced: call resample(…, forced=True)." if kind == "forced" else "nothing was sampled."
        )
    arms = {i: arm_of(resampling, i, forced=kind == "forced") for i in sets}
    embed = None if similarity is None else embedder(similarity)
    rows = [_row(resampling, i, arms, how, embed) for i in range(len(resampling.trace))]
    return _table(rows, how, resampling, compat, similarity is not None)


def counterfactual_pp(
    resampling: Resampling,
    resiliences: Sequence[Resilience],
    metric: Metric = "accuracy",
    *,
    smoothing: float = 0.5,
    min_different: int = 5,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ImportanceTable:
    """Counterfactual++ importance (Thought Branches, arXiv 2510.27484): the sentence stays away for good.

    Compares the kept arm with the final samples in which nothing like the sentence came back; a row for each of
    `resiliences` (from `rollouts.resampling.resilience`).

    Raises:
        ConfigError: An unknown metric, accuracy without a truth, or a number out of range.
    """
    interval = "newcombe" if metric == "accuracy" else "bootstrap"
    _check(resampling, metric, interval, confidence, smoothing, n_boot, min_different)
    rng = np.random.default_rng(seed)
    how = _How(
        "counterfactual++", metric, 0.0, smoothing, min_different, interval, confidence, n_boot, False, False, rng
    )
    rows = []
    for result in resiliences:
        kept = arm_of(resampling, result.position + 1) if result.position + 1 in resampling.arms else None
        gone = counted(resampling, result.without)
        rows.append(_measured(resampling, result.position, kept, gone, how, gone.n))
    return _table(rows, how, resampling, None, False)


def _check(
    resampling: Resampling,
    metric: str,
    interval: str,
    confidence: float,
    smoothing: float,
    n_boot: int,
    min_different: int,
) -> None:
    if metric not in ("accuracy", "kl", "tv", "js"):
        raise ConfigError(f"metric={metric!r}: give accuracy, kl, tv or js.")
    if metric == "accuracy" and resampling.judging.truth is None:
        raise ConfigError(
            "accuracy needs the true answer: resampling.judged(truth=…), or use metric='kl', 'tv' or 'js'."
        )
    if interval not in ("auto", "newcombe", "bootstrap", "none") or (interval == "newcombe" and metric != "accuracy"):
        raise ConfigError(
            f"interval={interval!r} for {metric}: give auto, bootstrap or none (newcombe for accuracy only)."
        )
    if not 0 < confidence < 1 or not 0 <= smoothing < inf:
        raise ConfigError("confidence lies between 0 and 1, and smoothing is not negative.")
    if n_boot < LEAST_DRAWS:
        raise ConfigError(f"n_boot={n_boot}: {LEAST_DRAWS} draws at least, or the ends of the interval are chance.")
    if min_different < 1:
        raise ConfigError(f"min_different={min_different}: at least one different sample is needed for a value.")
    if metric == "kl" and smoothing == 0:
        raise ConfigError(
            "smoothing=0 makes KL infinite where an answer is in one arm only: give a small number, or use js."
        )


def _row(resampling: Resampling, i: int, arms: dict[int, Arm], how: _How, embed: Embedder | None) -> ImportanceRow:
    removed, kept = arms.get(i), arms.get(i + 1)
    sampled = resampling.removed(i)
    over = fraction = different = n_different = None
    if sampled is not None:
        firsts = resampling.first_sentences(i)
        places = np.array([isinstance(slot, Response) for slot in sampled.slots], dtype=bool)
        has = places & np.array([n is not None for n in _arm_names(resampling, i, arms, how)], dtype=bool)
        shown = [s for s, k in zip(firsts, np.flatnonzero(places), strict=True) if has[k]] if how.published else firsts
        over = 1 - len(set(shown)) / len(shown) if shown else None
        if embed is not None and firsts:
            scores = embed(firsts) @ embed([resampling.trace.sentence(i)])[0]
            different = np.zeros(len(sampled.slots), dtype=bool)
            different[places] = scores < how.threshold - ROUNDING
            base = has if how.published else places
            fraction = float((different & base).sum() / base.sum()) if base.any() else None
            n_different = int((different & has).sum())
    if how.published and i == len(resampling.trace) - 1:
        over, fraction, kept = 0.0, None if embed is None else 0.0, None
    n_removed = 0 if removed is None else removed.n
    if how.kind == "counterfactual" and removed is not None and different is not None:
        similar = removed.part(~different)
        removed = removed.part(different)
        if how.union and how.metric != "accuracy" and kept is not None:
            kept = kept.plus(similar)
    return _measured(resampling, i, kept, removed, how, n_removed, n_different, fraction, over)


def _arm_names(resampling: Resampling, i: int, arms: dict[int, Arm], how: _How) -> list[str | None]:
    """Categories of the continuations, which a table of forced answers has not counted yet."""
    return (arm_of(resampling, i) if how.kind == "forced" else arms[i]).names


def _measured(
    resampling: Resampling,
    i: int,
    kept: Arm | None,
    removed: Arm | None,
    how: _How,
    n_removed: int,
    n_different: int | None = None,
    fraction: float | None = None,
    over: float | None = None,
) -> ImportanceRow:
    value = low = high = None
    note = _missing(i, kept, removed, how, len(resampling.trace))
    if not note and kept is not None and removed is not None:
        value, low, high = _value(kept, removed, how)
    elif how.published:
        value = 0.0
    both = [arm for arm in (kept, removed) if arm is not None]
    return ImportanceRow(
        position=i,
        sentence=resampling.trace.sentence(i),
        value=value,
        low=low,
        high=high,
        accuracy_kept=None if kept is None or resampling.judging.truth is None else kept.accuracy,
        accuracy_removed=None if removed is None or resampling.judging.truth is None else removed.accuracy,
        n_kept=0 if kept is None else kept.n,
        n_removed=n_removed,
        n_different=n_different,
        n_uncounted=sum(len(arm.names) - arm.n for arm in both),
        different_fraction=fraction,
        overdeterminedness=over,
        note=note,
    )


def _missing(i: int, kept: Arm | None, removed: Arm | None, how: _How, n: int) -> str:
    if removed is None:
        return "not sampled here"
    if kept is None:
        return "last sentence: nothing sampled after it" if i == n - 1 else "not sampled before the next sentence"
    if how.kind in ("counterfactual", "counterfactual++") and removed.n < how.min_different:
        return f"{removed.n} of the {how.min_different} different samples needed"
    if not removed.n:
        return "no counted answer without the sentence"
    return "" if kept.n else "no counted answer with the sentence"


def _value(kept: Arm, removed: Arm, how: _How) -> tuple[float, float | None, float | None]:
    if how.metric == "accuracy":
        first, second = kept, removed
        if how.published and how.kind == "counterfactual":
            first, second = removed, kept
        pair = (first.hits, first.n, second.hits, second.n)
        value = first.hits / first.n - second.hits / second.n
        if how.interval == "newcombe":
            return value, *newcombe(*pair, how.confidence)
        if how.interval == "bootstrap":
            return value, *bootstrap_difference(*pair, how.confidence, how.n_boot, how.rng)
        return value, None, None
    a, b = shared_counts(removed, kept)
    value = float(distance(a, b, how.metric, how.smoothing))
    if how.interval == "none":
        return value, None, None
    return value, *bootstrap_distance(a, b, how.metric, how.smoothing, how.confidence, how.n_boot, how.rng)


def _table(
    rows: Sequence[ImportanceRow], how: _How, resampling: Resampling, compat: str | None, similar: bool
) -> ImportanceTable:
    meaning = _ACCURACY[how.kind] if how.metric == "accuracy" else _DISTANCE[how.kind].format(m=how.metric.upper())
    if how.published and how.kind == "counterfactual":
        meaning = (
            "accuracy where a different sentence stands minus with it (the published sign: positive means harm)"
            if how.metric == "accuracy"
            else f"{how.metric.upper()}(where a different sentence stands || with it, similar ones included)"
        )
    policy: Any = resampling.judging.policy
    return ImportanceTable(
        rows=tuple(rows),
        kind=how.kind,
        metric=how.metric,
        meaning=meaning,
        smoothing=how.smoothing if how.metric == "kl" else None,
        threshold=how.threshold if similar else None,
        min_different=how.min_different if how.kind.startswith("counterfactual") else None,
        interval=how.interval,
        confidence=how.confidence,
        policy=policy if isinstance(policy, str) else str(dict(policy)),
        compat=compat,
    )
