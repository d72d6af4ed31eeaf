"""Files for others: the three JSON files that the public visualiser of Thought Anchors reads. Asks no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling
from rollouts_anchors.effects import Effects, sentence_effects
from rollouts_anchors.labels import Label, check_labels
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
    """The contents of `chunks_labeled.json`, `chunks_resampled.json` and `step_importance.json`, by file name.

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
    return {
        "chunks_labeled.json": [
            {
                "chunk": pieces[i],
                "chunk_idx": i,
                "function_tags": list(labels[i].tags or (labels[i].kind,)) if labels else ["unknown"],
                "depends_on": [str(k) for k in labels[i].depends_on] if labels else [],
                **{name: values[i] for name, values in columns.items()},
                "summary": " ".join(pieces[i].split()[:8]),
            }
            for i in range(len(trace))
        ],
        "chunks_resampled.json": {str(i): resampling.first_sentences(i) for i in range(len(trace))},
        "step_importance.json": [
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
        ],
    }


def write_site_files(folder: str | Path, files: dict[str, Any]) -> list[Path]:
    """Write what `site_files` gave into `folder`, which is made where it is missing.

    Raises:
        ConfigError: A name that is no plain file name.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in files.items():
        if Path(name).name != name:
            raise ConfigError(f"{name!r} is no file name.")
        path = target / name
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False), encoding="utf-8")
        written.append(path)
    return written
