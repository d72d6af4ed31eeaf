"""Simulated intervals hold what they are intervals of at the stated rate, at extreme counts too."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollouts_anchors import importance
from rollouts_anchors.metrics import bootstrap_difference, bootstrap_distance, distance

from rollouts.resampling import Resampling, Trace

METRICS = ("kl", "tv", "js")
CONFIDENCE = 0.95
COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8).filter(
    lambda pairs: sum(a for a, _ in pairs) and sum(b for _, b in pairs)
)
FIFTEEN = np.ones(15) / 15
ZIPF = 1 / np.arange(1, 16) / (1 / np.arange(1, 16)).sum()
PAIRS = {
    "one answer": ([1], [1]),
    "disjoint": ([1, 0], [0, 1]),
    "nearly disjoint": ([0.99, 0.01], [0.01, 0.99]),
    "apart": ([0.7, 0.3], [0.5, 0.5]),
    "one of fifteen": (FIFTEEN, [0.4, *[0.6 / 14] * 14]),
}
MORE_PAIRS = {
    **PAIRS,
    "equal": ([0.5, 0.5], [0.5, 0.5]),
    "nearly one answer": ([0.99, 0.01], [0.99, 0.01]),
    "fifteen equal": (FIFTEEN, FIFTEEN),
    "fifteen turned": (ZIPF, ZIPF[::-1]),
    "fifteen apart": ([*[1 / 8] * 8, *[0] * 7], [*[0] * 8, *[1 / 7] * 7]),
    "far": ([0.9, 0.1], [0.1, 0.9]),
    "near": ([0.97, 0.03], [0.9, 0.1]),
    "half new": ([0.5, 0.5], [1, 0]),
    "half gone": ([1, 0], [0.5, 0.5]),
    "rare": ([0.9, 0.05, 0.05], [1, 0, 0]),
}


def true_distance(p, q, a, b, metric):
    """What the interval is one of; for KL over the answers that were seen, and all others as one more."""
    if metric != "kl":
        return float(distance(p, q, metric, 0))
    seen = (a + b) > 0
    p, q = (np.array([*share[seen], max(0.0, 1 - share[seen].sum())]) for share in (p, q))
    p, q = (a.sum() * p + 0.5) / (a.sum() + 0.5 * len(p)), (b.sum() * q + 0.5) / (b.sum() + 0.5 * len(q))
    return float((p * np.log(p / q)).sum())


def coverage(pair, sizes, repetitions):
    """How often each metric's interval held the true distance."""
    rng = np.random.default_rng(5)
    p, q = (np.array(shares, dtype=float) for shares in pair)
    held = dict.fromkeys(METRICS, 0)
    for _ in range(repetitions):
        a, b = rng.multinomial(sizes[0], p).astype(float), rng.multinomial(sizes[1], q).astype(float)
        for metric in METRICS:
            low, high = bootstrap_distance(a, b, metric, 0.5, CONFIDENCE, 1000, rng)
            held[metric] += low - 1e-9 <= true_distance(p, q, a, b, metric) <= high + 1e-9
    return {metric: count / repetitions for metric, count in held.items()}


def least(repetitions):
    """The stated rate less three standard errors of so many repetitions: chance falls below it once in 700 tests."""
    return CONFIDENCE - 3 * sqrt(CONFIDENCE * (1 - CONFIDENCE) / repetitions)


@pytest.mark.parametrize("n", [1, 5, 20, 100])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_interval_of_a_distance_holds_the_true_one_at_the_stated_rate(pair, n):
    assert min(coverage(pair, (n, n), 50).values()) >= least(50)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 1), (5, 5), (20, 20), (100, 100), (100, 12), (5, 100)], ids=str)
def test_the_interval_of_a_distance_holds_the_true_one_at_the_stated_rate_for_many_pairs(sizes):
    rates = {name: coverage(pair, sizes, 100) for name, pair in MORE_PAIRS.items()}
    low = {(name, m): rate for name, by_metric in rates.items() for m, rate in by_metric.items() if rate < least(100)}
    assert not low
    assert np.mean([list(by_metric.values()) for by_metric in rates.values()]) >= CONFIDENCE


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 5, 20, 100])
@pytest.mark.parametrize("counts", [([1], [1]), ([1, 0], [0, 1])], ids=["all alike", "all different"])
def test_counts_that_are_all_alike_are_not_certain(metric, n, counts):
    a, b = (n * np.array(share, dtype=float) for share in counts)
    low, high = bootstrap_distance(a, b, metric, 0.5, CONFIDENCE, 1000, np.random.default_rng(0))
    estimate = float(distance(a, b, metric, 0.5))
    assert low <= estimate <= high
    # An arm that gives something else with a chance of 1/(n + 1) shows none of it in a third of all sets of n and more.
    assert high - low > float(distance([n, 0], [n * n / (n + 1), n / (n + 1)], metric, 0.5))


@pytest.mark.parametrize("metric", METRICS)
def test_sets_that_are_clearly_apart_have_an_interval_without_zero(metric):
    rng = np.random.default_rng(0)
    for a, b in (([20.0, 0], [0, 20.0]), ([90.0, 10], [10, 90.0]), ([50.0, 30, 20], [10.0, 30, 60])):
        assert bootstrap_distance(np.array(a), np.array(b), metric, 0.5, CONFIDENCE, 1000, rng)[0] > 0


def test_the_interval_of_two_categories_is_about_that_of_their_difference():
    # Where one share is clearly greater, tv is the difference of shares: Newcombe's interval is [0.065, 0.326].
    ends = [
        bootstrap_distance(
            np.array([70.0, 30]), np.array([50.0, 50]), "tv", 0.5, CONFIDENCE, 1000, np.random.default_rng(k)
        )
        for k in range(20)
    ]
    assert np.mean(ends, axis=0) == pytest.approx([0.065, 0.326], abs=0.08)


@given(COUNTS, st.sampled_from(METRICS), st.sampled_from([0.5, 1e-9]), st.sampled_from([0.5, 0.95, 0.999]))
def test_the_interval_of_a_distance_holds_the_estimate_and_no_impossible_number(pairs, metric, smoothing, confidence):
    a, b = np.array(pairs, dtype=float).T
    low, high = bootstrap_distance(a, b, metric, smoothing, confidence, 200, np.random.default_rng(0))
    assert 0 <= low <= float(distance(a, b, metric, smoothing)) <= high
    assert high <= {"kl": np.inf, "tv": 1 + 1e-12, "js": log(2) + 1e-12}[metric]


def test_the_bootstrap_of_a_difference_agrees_with_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    one, other = np.repeat([1.0, 0.0], [60, 40]), np.repeat([1.0, 0.0], [30, 70])
    theirs = stats.bootstrap(
        (one, other),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = bootstrap_difference(60, 100, 30, 100, 0.95, 4000, np.random.default_rng(0))
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.015)


@pytest.mark.parametrize("n", [1, 5, 20, 100])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (1, 0), (0.99, 0.01), (0.99, 0.99), (0.7, 0.5), (0.5, 0.5)])
def test_the_bootstrap_of_a_difference_holds_the_true_one_at_the_stated_rate(p, q, n):
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        a, b = int(rng.binomial(n, p)), int(rng.binomial(n, q))
        low, high = bootstrap_difference(a, n, b, n, CONFIDENCE, 1000, rng)
        assert low <= a / n - b / n <= high
        assert low < high
        held += low <= p - q <= high
    assert held / 200 >= least(200)


TRACE = Trace.from_text("Q", "Start here. So three.")


@pytest.mark.parametrize("metric", ["accuracy", *METRICS])
@pytest.mark.parametrize("answers", [("3", "3"), ("3", "4")])
@pytest.mark.parametrize("n", [1, 20])
def test_no_row_of_a_table_is_certain(metric, answers, n):
    texts = {i: [f"Start here.</think>\\boxed{{{answer}}}"] * n for i, answer in enumerate(answers)}
    table = importance(Resampling.from_texts(TRACE, texts, truth="3"), metric=metric, interval="bootstrap")
    assert table[0].low < table[0].high
