"""Distances between two sets of counted answers, and their intervals. Knows no samples and no traces.

Counts are vectors over the same categories; all functions work along the last axis. Logarithms are natural.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from rollouts.exceptions import ConfigError
from rollouts.resampling import wilson

Metric: TypeAlias = Literal["accuracy", "kl", "tv", "js"]
Array: TypeAlias = NDArray[np.float64]


def shares(counts: ArrayLike, seen: ArrayLike | None = None, smoothing: float = 0.0) -> Array:
    """Counts as shares: (n_a + smoothing) / (n + smoothing |V|) over the `seen` categories V (all when None)."""
    n = np.asarray(counts, dtype=np.float64)
    mask = np.ones(n.shape[-1], dtype=bool) if seen is None else np.asarray(seen, dtype=bool)
    raised = (n + smoothing) * mask
    total = raised.sum(axis=-1, keepdims=True)
    return np.asarray(raised / np.where(total == 0, 1, total))


def kl(first: ArrayLike, second: ArrayLike, smoothing: float = 0.5) -> Array:
    """KL(first || second) of smoothed shares over the categories seen in either; never below 0.

    The smaller the smoothing, the more an answer weighs that only the first set has: with 1e-9 one of a hundred adds
    about 0.2, all of them about 21.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return _kl_over(a, b, _seen(a, b), smoothing)


def _kl_over(a: Array, b: Array, categories: NDArray[np.bool_], smoothing: float) -> Array:
    p, q = shares(a, categories, smoothing), shares(b, categories, smoothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / q), 0.0)
    return np.asarray(np.maximum(terms.sum(axis=-1), 0.0))


def tv(first: ArrayLike, second: ArrayLike) -> Array:
    """Total variation distance: half the sum of the differences of shares, between 0 and 1."""
    return np.asarray(np.abs(shares(first) - shares(second)).sum(axis=-1) / 2)


def js(first: ArrayLike, second: ArrayLike) -> Array:
    """Jensen–Shannon divergence (not its root), between 0 and log 2."""
    p, q = shares(first), shares(second)
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log(p / m), 0.0).sum(axis=-1)
        right = np.where(q > 0, q * np.log(q / m), 0.0).sum(axis=-1)
    return np.asarray(np.maximum((left + right) / 2, 0.0))


def distance(first: ArrayLike, second: ArrayLike, metric: Metric, smoothing: float) -> Array:
    """`kl`, `tv` or `js` of two sets of counts."""
    if metric == "kl":
        return kl(first, second, smoothing)
    if metric == "tv":
        return tv(first, second)
    if metric == "js":
        return js(first, second)
    raise ConfigError(f"metric={metric!r}: give accuracy, kl, tv or js.")


def newcombe(hits: int, n: int, other_hits: int, other_n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of `hits / n - other_hits / other_n` for independent samples (Newcombe 1998, method 10).

    Built of two Wilson intervals; honest for shares of 0 and 1 and for n = 1.
    """
    p, q = hits / n, other_hits / other_n
    low_p, high_p = wilson(hits, n, confidence)
    low_q, high_q = wilson(other_hits, other_n, confidence)
    below = sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    above = sqrt((high_p - p) ** 2 + (q - low_q) ** 2)
    return max(-1.0, p - q - below), min(1.0, p - q + above)


def bootstrap_difference(
    hits: int, n: int, other_hits: int, other_n: int, confidence: float, n_boot: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of a difference of shares; it always holds the estimate.

    The shares are drawn from what the counts leave possible, Beta(hits + 1/2, misses + 1/2) (Jeffreys), and not by
    drawing the answers again: that gives one point wherever all answers are alike, a single one among them.
    """
    drawn = rng.beta(hits + 0.5, n - hits + 0.5, n_boot) - rng.beta(
        other_hits + 0.5, other_n - other_hits + 0.5, n_boot
    )
    estimate = hits / n - other_hits / other_n
    low, high = _percentiles(drawn, confidence)
    return min(low, estimate), max(high, estimate)


def bootstrap_distance(
    first: Array,
    second: Array,
    metric: Metric,
    smoothing: float,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Interval of a distance, by simulation; it always holds the estimate.

    What it is an interval of: for `tv` and `js` the distance of the true shares. For `kl` the number that the same
    formula, smoothing and all, gives for n times the true shares in place of the counts, over the answers that either
    set has and all others together as one more. The KL of the true shares themselves has no upper end that a sample
    could show: it is infinite where one set never gives what the other gives.

    A distance cannot be negative, so sets that are small or alike look too far apart, and draws of them once more so;
    and draws of counts that are all alike have no spread at all. Intervals of draws, corrected for bias or not, held
    the true distance in 0 to 90 % of tries at such counts. So a test is inverted by simulation: `n_boot` pairs of
    shares that might be the true ones are drawn and sorted by their distance, and each is sampled with as many answers
    as there are. Along the sorted pairs, the true distances are kept at which the estimate lies in the central part of
    the simulated ones. The low end is 0 where a permutation test does not tell the sets apart. Tried, that held 92
    to 100 % at a confidence of 95 % (1 to 100 answers, 1 to 26 categories, equal and disjoint sets among them).
    """
    seen = _seen(first, second)
    a, b = first[seen], second[seen]
    n_a, n_b = int(a.sum()), int(b.sum())
    estimate = float(distance(a, b, metric, smoothing))
    p, q = _possible(a, b, n_boot, rng)
    again = distance(rng.multinomial(n_a, p), rng.multinomial(n_b, q), metric, smoothing)
    true = _true_distance(n_a * p, n_b * q, metric, smoothing)
    low, high = _not_surprising(true, again, estimate, confidence, 1 if metric == "tv" else 2)
    if _alike(a, b, estimate, metric, smoothing, (1 - confidence) / 2, n_boot, rng):
        low = 0.0
    return min(low, estimate), max(high, estimate)


TINY = 1e-12
"""Sums of the same shares in another order differ by less."""


def _not_surprising(
    true: Array, simulated: Array, estimate: float, confidence: float, power: int
) -> tuple[float, float]:
    """Ends of the true distances at which simulated ones are about the estimate.

    Roots are compared where a distance grows with the square of the shares' difference (`power` 2), so that the spread
    is about the same everywhere. A window of neighbours stands for the distance in its middle; where the window at
    either end is kept, all beyond is. The quantiles of some hundred draws are uncertain, and those of the windows that
    happen to be narrow would decide: half of the tails is left out, and one window more at each end is kept.
    """
    order = np.argsort(true, kind="stable")
    true, simulated, at = true[order] ** (1 / power), simulated[order] ** (1 / power), estimate ** (1 / power)
    window, step = len(true) // 10, len(true) // 20
    levels = sliding_window_view(true, window)[::step]
    middles = np.median(levels, axis=1)
    moved = sliding_window_view(simulated, window)[::step] - levels + middles[:, np.newaxis]
    tail = (1 - confidence) / 4
    least, most = np.quantile(moved, [tail, 1 - tail], axis=1)
    reached, passed = np.flatnonzero(most >= at - TINY), np.flatnonzero(least <= at + TINY)
    lowest = reached[0] - 1 if len(reached) else -1
    highest = passed[-1] + 1 if len(passed) else len(middles)
    low = true[0] if lowest < 0 else middles[lowest]
    high = true[-1] if highest >= len(middles) else middles[highest]
    return float(low**power), float(high**power)


def _possible(a: Array, b: Array, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Pairs of shares that might be the true ones, from equal to further apart than the counts.

    Dirichlet draws about the counts with one pseudo-count in all (Perks), a part of it for an answer that this set
    alone would give and none gave yet: the last two columns. They are wider than a posterior (each takes some of the
    counts only), and are then moved to their common mean or away from it, so that every distance is among them. The
    first pair is that of the counts.
    """
    share, none = 1 / (len(a) + 1), np.zeros(2)
    weight = rng.uniform(0.1, 1.0, (size, 1))
    prior = np.full(len(a), share)
    p = _dirichlet(np.concatenate([a, none]) * weight + np.concatenate([prior, [share, 0]]), rng)
    q = _dirichlet(np.concatenate([b, none]) * weight + np.concatenate([prior, [0, share]]), rng)
    middle = (a.sum() * p + b.sum() * q) / (a.sum() + b.sum())
    apart = np.maximum(rng.uniform(-0.1, 1.5, (size, 1)), 0.0)
    p, q = (np.maximum(middle + apart * (one - middle), 0.0) for one in (p, q))
    p[0], q[0] = np.concatenate([a, none]), np.concatenate([b, none])
    return shares(p), shares(q)


def _dirichlet(parameters: Array, rng: np.random.Generator) -> Array:
    return shares(rng.standard_gamma(parameters))


def _true_distance(first: Array, second: Array, metric: Metric, smoothing: float) -> Array:
    """The distance of expected counts, the last two columns being those of answers that nobody gave.

    For `kl` these are one category, and that is always counted as one, so that the distance has no jump where it is
    empty.
    """
    if metric != "kl":
        return distance(first, second, metric, smoothing)
    a, b = (np.concatenate([x[:, :-2], x[:, -2:].sum(axis=1, keepdims=True)], axis=1) for x in (first, second))
    return _kl_over(a, b, np.ones(a.shape[-1], dtype=bool), smoothing)


def _alike(
    a: Array,
    b: Array,
    estimate: float,
    metric: Metric,
    smoothing: float,
    level: float,
    n_boot: int,
    rng: np.random.Generator,
) -> bool:
    """Whether dealing out the same answers at random gives sets as far apart more often than `level`."""
    both = (a + b).astype(np.int64)
    dealt = rng.multivariate_hypergeometric(both, int(a.sum()), size=n_boot, method="marginals")
    further = distance(dealt, both - dealt, metric, smoothing) >= estimate - TINY
    return bool((1 + further.sum()) / (1 + n_boot) > level)


def _seen(a: Array, b: Array) -> NDArray[np.bool_]:
    """Categories that one of the two sets has, draw by draw."""
    return np.asarray((a + b) > 0)


def _percentiles(drawn: Array, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
