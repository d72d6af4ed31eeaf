"""Distances between two sets of counted answers, and their intervals. Knows no samples and no traces.

Counts are vectors over the same categories; all functions work along the last axis. Logarithms are natural.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal, TypeAlias

import numpy as np
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
    seen = _seen(a, b)
    p, q = shares(a, seen, smoothing), shares(b, seen, smoothing)
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
    """Percentile interval of a difference of shares, both sets drawn again."""
    drawn = rng.binomial(n, hits / n, n_boot) / n - rng.binomial(other_n, other_hits / other_n, n_boot) / other_n
    return _percentiles(drawn, confidence)


def bootstrap_distance(
    first: Array,
    second: Array,
    metric: Metric,
    smoothing: float,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Interval of a distance by drawing both sets again, corrected for bias; it always holds the estimate.

    A distance cannot be negative, so sets that are small or alike look too far apart, and draws of them once more so:
    the plain percentile interval of two equal arms never held 0 when tried. So the percentiles are moved by twice
    the bias that the draws show, and the low end is 0 where draws from one common set are as far apart as the estimate.
    """
    seen = _seen(first, second)
    a, b = first[seen], second[seen]
    n_a, n_b = int(a.sum()), int(b.sum())
    estimate = float(distance(a, b, metric, smoothing))
    drawn_a, drawn_b = rng.multinomial(n_a, shares(a), n_boot), rng.multinomial(n_b, shares(b), n_boot)
    drawn = distance(drawn_a, drawn_b, metric, smoothing)
    bias = float(drawn.mean()) - estimate
    low, high = _percentiles(drawn, confidence)
    alike = shares(a + b)
    null = distance(rng.multinomial(n_a, alike, n_boot), rng.multinomial(n_b, alike, n_boot), metric, smoothing)
    if estimate <= np.quantile(null, (1 + confidence) / 2):
        return 0.0, max(high - 2 * bias, estimate)
    return max(0.0, min(low - 2 * bias, estimate)), max(high - 2 * bias, estimate)


def _seen(a: Array, b: Array) -> NDArray[np.bool_]:
    """Categories that one of the two sets has; of many draws at once, those that any draw has."""
    return np.asarray((a + b).reshape(-1, a.shape[-1]).sum(axis=0) > 0)


def _percentiles(drawn: Array, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
