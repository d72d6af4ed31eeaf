"""Files for others: the JSON files that the public visualiser of Thought Anchors reads. Asks no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling
from rollouts_anchors.effects import Effects, sentence_effects
from rollouts_anchors.files import write_text
from rollouts_anchors.labels import Label, check_labels, question_text
from rollouts_anchors.measuring import PUBLISHED, Kind, importance
from rollouts_anchors.metrics import Metric
from rollouts_anchors.similarity import Embed, Embedder, embedder

_COLUMNS: tuple[tuple[Kind, Metric], ...] = (
    ("resampling", "accuracy"),
    ("resampling", "kl"),
    ("counterfactual", "accuracy"),
    ("counterfactual", "kl"),
    ("forced", "accuracy"),
    ("forced", "kl"),
)


def site_files(
    resampling: Resampling,
    similarity: Embed | Embedder | str,
    *,
    labels: Sequence[Label] | None = None,
    effects: Effects | None = None,
) -> dict[str, Any]:
    """The contents of the visualiser's files, by file name.

    `chunks_labeled.json`, `chunks_resampled.json` and `step_importance.json` hold the results. Without `summary.json`
    the visualiser shows no effects, and from `problem.json` it has the question and a short name.

    The numbers are those of the published code (`compat="thought-anchors"`), with its signs, and with its 0.0 where
    something is missing: for analysis use `importance`, for viewers this.

    Raises:
        ConfigError: No true answer is known, nothing was sampled, or the labels do not fit.
    """
    trace = resampling.trace
    check_labels(labels, len(trace))
    embed = embedder(similarity)
    columns: dict[str, list[float]] = {}
    for kind, metric in _COLUMNS:
        name = f"{kind}_importance_{metric}"
        if kind == "forced" and not resampling.forced:
            columns[name] = [0.0] * len(trace)
            continue
        table = importance(resampling, kind, metric, similarity=embed, interval="none", compat=PUBLISHED)
        columns[name] = [row.value or 0.0 for row in table]
        if (kind, metric) == ("resampling", "accuracy"):
            columns["different_trajectories_fraction"] = [row.different_fraction or 0.0 for row in table]
            columns["overdeterminedness"] = [row.overdeterminedness or 0.0 for row in table]
            columns["accuracy"] = [row.accuracy_removed or 0.0 for row in table]
    found = effects if effects is not None else sentence_effects(resampling, embed)
    pieces = trace.pieces
    chunks = [
        {
            "chunk": pieces[i],
            "chunk_idx": i,
            "function_tags": list(labels[i].tags or (labels[i].kind,)) if labels else ["unknown"],
            "depends_on": [str(k) for k in labels[i].depends_on] if labels else [],
            **{name: values[i] for name, values in columns.items()},
            "summary": " ".join(pieces[i].split()[:8]),
        }
        for i in range(len(trace))
    ]
    steps = [
        {
            "source_chunk_idx": i,
            "source_chunk_text": pieces[i],
            "target_impacts": [
                {"target_chunk_idx": j, "importance_score": score}
                for j in range(i + 1, len(trace))
                if (score := found.get(i, j)) is not None
            ],
        }
        for i in range(len(trace))
    ]
    return {
        "chunks_labeled.json": chunks,
        "chunks_resampled.json": {str(i): resampling.first_sentences(i) for i in range(len(trace))},
        "step_importance.json": steps,
        "summary.json": summary(chunks, steps),
        "problem.json": _problem(resampling),
    }


def summary(chunks: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]], top: int = 5) -> dict[str, Any]:
    """What `summary.json` says of the contents of `chunks_labeled.json` and `step_importance.json`.

    As in the published files the average is over all pairs of sentences, an effect that there is not counting as 0.
    """
    n = len(chunks)
    effects = np.zeros((n, n))
    going: dict[int, list[float]] = {}
    coming: dict[int, list[float]] = {}
    for step in steps:
        for impact in step["target_impacts"]:
            source, target, score = step["source_chunk_idx"], impact["target_chunk_idx"], impact["importance_score"]
            effects[source, target] = score
            going.setdefault(source, []).append(score)
            coming.setdefault(target, []).append(score)
    return {
        "problem_idx": None,
        "num_chunks": n,
        "avg_importance": float(effects.mean()),
        "max_importance": float(effects.max()),
        "min_importance": float(effects.min()),
        "top_influential_steps": _top(chunks, going, "avg_outgoing_importance", top),
        "top_dependent_steps": _top(chunks, coming, "avg_incoming_importance", top),
    }


def _top(chunks: Sequence[dict[str, Any]], scores: dict[int, list[float]], name: str, top: int) -> list[dict[str, Any]]:
    means = {i: sum(many) / len(many) for i, many in scores.items()}
    order = sorted(means, key=lambda i: (-means[i], i))[:top]
    return [{"step_idx": i, "step_text": chunks[i], name: means[i]} for i in order]


def _problem(resampling: Resampling) -> dict[str, str]:
    question = question_text(resampling.trace)
    truth = resampling.judging.truth
    return {
        "problem": question,
        "level": "",
        "type": "",
        "gt_solution": "",
        "gt_answer": "" if truth is None or callable(truth) else str(truth),
        "nickname": " ".join(question.split()[:6]),
    }


def write_site_files(folder: str | Path, files: dict[str, Any]) -> list[Path]:
    """Write what `site_files` gave into `folder`, which is made where it is missing.

    Raises:
        ConfigError: A name that is no plain file name.
    """
    for name in files:
        if Path(name).name != name:
            raise ConfigError(f"{name!r} is no file name.")
    texts = {
        name: json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) for name, content in files.items()
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    return [write_text(target / name, text) for name, text in texts.items()]
