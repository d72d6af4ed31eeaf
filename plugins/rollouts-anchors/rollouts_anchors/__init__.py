"""Which sentences of a chain of thought matter: tables, pictures and exports of a `rollouts.resampling.Resampling`.

from rollouts_anchors import importance, write_html

table = importance(resampling, "counterfactual", "kl", similarity="minilm")
write_html("trace.html", resampling, table)
"""

from rollouts_anchors.effects import Effects, Link, sentence_effects
from rollouts_anchors.exports import site_files, write_site_files
from rollouts_anchors.figures import plot_accuracy, plot_circle, plot_effects, plot_importance
from rollouts_anchors.importance import counterfactual_pp, importance
from rollouts_anchors.labels import KINDS, Label, label, label_prompt, read_labels
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
    "read_labels",
    "sentence_effects",
    "site_files",
    "write_html",
    "write_site_files",
]
