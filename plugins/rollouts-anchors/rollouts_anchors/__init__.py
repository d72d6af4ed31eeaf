"""Which sentences of a chain of thought matter: tables, pictures and exports of a `rollouts.resampling.Resampling`.

from rollouts_anchors import importance, write_html

table = importance(resampling, "counterfactual", "kl", similarity="minilm")
write_html("trace.html", resampling, table)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts_anchors.effects import Effects, Link, sentence_effects
    from rollouts_anchors.exports import site_files, write_site_files
    from rollouts_anchors.figures import plot_accuracy, plot_circle, plot_effects, plot_importance, plot_sentences
    from rollouts_anchors.labels import KINDS, Label, label, label_prompt, read_labels
    from rollouts_anchors.measuring import counterfactual_pp, importance
    from rollouts_anchors.page import html_page, write_html
    from rollouts_anchors.similarity import Embedder, embedder
    from rollouts_anchors.table import ImportanceRow, ImportanceTable

__version__ = "0.2.0"

__all__ = [
    "KINDS",
    "Effects",
    "Embedder",
    "ImportanceRow",
    "ImportanceTable",
    "Label",
    "Link",
    "__version__",
    "counterfactual_pp",
    "embedder",
    "html_page",
    "importance",
    "label",
    "label_prompt",
    "plot_accuracy",
    "plot_circle",
    "plot_effects",
    "plot_importance",
    "plot_sentences",
    "read_labels",
    "sentence_effects",
    "site_files",
    "write_html",
    "write_site_files",
]

_HOMES = {
    "Effects": "rollouts_anchors.effects",
    "Embedder": "rollouts_anchors.similarity",
    "ImportanceRow": "rollouts_anchors.table",
    "ImportanceTable": "rollouts_anchors.table",
    "KINDS": "rollouts_anchors.labels",
    "Label": "rollouts_anchors.labels",
    "Link": "rollouts_anchors.effects",
    "counterfactual_pp": "rollouts_anchors.measuring",
    "embedder": "rollouts_anchors.similarity",
    "html_page": "rollouts_anchors.page",
    "importance": "rollouts_anchors.measuring",
    "label": "rollouts_anchors.labels",
    "label_prompt": "rollouts_anchors.labels",
    "plot_accuracy": "rollouts_anchors.figures",
    "plot_circle": "rollouts_anchors.figures",
    "plot_effects": "rollouts_anchors.figures",
    "plot_importance": "rollouts_anchors.figures",
    "plot_sentences": "rollouts_anchors.figures",
    "read_labels": "rollouts_anchors.labels",
    "sentence_effects": "rollouts_anchors.effects",
    "site_files": "rollouts_anchors.exports",
    "write_html": "rollouts_anchors.page",
    "write_site_files": "rollouts_anchors.exports",
}


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first used: finding the plugin loads neither numpy nor matplotlib."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'rollouts_anchors' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
