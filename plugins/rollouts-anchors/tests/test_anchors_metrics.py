"""Distances and closed intervals against closed forms and scipy."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts_anchors.metrics import js, kl, newcombe, tv

from rollouts.resampling import wilson

COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8).filter(
    lambda pairs: sum(a for a, _ in pairs) and sum(b for _, b in pairs)
)


def test_closed_forms_of_two_categories():
    a, b = [3, 1], [1, 1]
    assert float(tv(a, b)) == pytest.approx(0.25, abs=1e-15)
    assert float(kl(a, b, 0)) == pytest.approx(0.75 * log(1.5) + 0.25 * log(0.5), abs=1e-15)
    expected = (
        0.75 * log(0.75 / 0.625) + 0.25 * log(0.25 / 0.375) + 0.5 * log(0.5 / 0.625) + 0.5 * log(0.5 / 0.375)
    ) / 2
    assert float(js(a, b)) == pytest.approx(expected, abs=1e-15)


def test_disjoint_answers_have_the_greatest_distance():
    assert float(tv([5, 0], [0, 7])) == 1
    assert float(js([5, 0], [0, 7])) == pytest.approx(log(2))


def test_kl_with_the_published_smoothing_gives_the_published_extreme():
    # 100 forced answers "20" against 100 others: 21.02 in the published data is 98–100 of 100 unseen.
    assert float(kl([100, 0], [0, 100], 1e-9)) == pytest.approx(log(1e11), rel=1e-6)
    assert float(kl([1, 99], [0, 100], 1e-9)) == pytest.approx(0.01 * log(1e9) + 0.99 * log(0.99), rel=1e-6)


def test_categories_that_neither_has_change_nothing():
    assert float(kl([3, 1, 0], [1, 1, 0], 0.5)) == float(kl([3, 1], [1, 1], 0.5))


@settings(deadline=None)  # the first example imports scipy
@given(COUNTS)
def test_distances_equal_those_of_scipy(pairs):
    stats = pytest.importorskip("scipy.stats")
    distance = pytest.importorskip("scipy.spatial.distance")
    a, b = np.array(pairs, dtype=float).T
    seen = (a + b) > 0
    p, q = (a[seen] + 0.5) / (a[seen] + 0.5).sum(), (b[seen] + 0.5) / (b[seen] + 0.5).sum()
    assert float(kl(a, b, 0.5)) == pytest.approx(float(stats.entropy(p, q)), abs=1e-12)
    assert sqrt(float(js(a, b))) == pytest.approx(float(distance.jensenshannon(a, b)), abs=1e-7)
    assert float(tv(a, b)) == pytest.approx(np.abs(a / a.sum() - b / b.sum()).sum() / 2, abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (55, 100)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_equals_that_of_scipy(hits, n, confidence):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert wilson(hits, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_newcombe_gives_his_published_examples():
    # Newcombe 1998, Statistics in Medicine 17, table II, method 10, examples (a), (c), (e), (g).
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert newcombe(5, 56, 0, 29) == pytest.approx((-0.0381, 0.1926), abs=5e-5)
    assert newcombe(10, 10, 0, 20) == pytest.approx((0.6791, 1.0), abs=5e-5)
