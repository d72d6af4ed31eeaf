"""Colours and short names of the kinds of sentences, shared by figures and the page."""

from __future__ import annotations

from collections.abc import Sequence

from rollouts_anchors.labels import Label

# As on thought-anchors.com, so that pictures can be compared.
COLOURS: dict[str, str] = {
    "problem_setup": "#4285F4",
    "plan_generation": "#EA4335",
    "fact_retrieval": "#FBBC05",
    "active_computation": "#34A853",
    "uncertainty_management": "#9C27B0",
    "self_checking": "#FF9800",
    "result_consolidation": "#00BCD4",
    "final_answer_emission": "#795548",
    "unknown": "#78909C",
}
POSITIVE, NEGATIVE, NEUTRAL = "#1B7F79", "#B3402E", "#78909C"
RESAMPLED, FORCED = "#2F5D9B", "#C77700"


def colour(labels: Sequence[Label] | None, i: int) -> str:
    """A sentence's colour by its kind."""
    return COLOURS["unknown"] if labels is None else COLOURS.get(labels[i].kind, COLOURS["unknown"])


def signed(value: float | None, divergence: bool) -> str:
    """A value's colour: by its sign, or one colour for divergences, which have none."""
    if value is None:
        return NEUTRAL
    return POSITIVE if divergence or value >= 0 else NEGATIVE
