"""Pictures of a resampling as matplotlib figures. Made of `Figure` objects: no window, no global state."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin
from typing import TYPE_CHECKING

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling, wilson
from rollouts_anchors.colours import COLOURS, FORCED, RESAMPLED, colour, signed
from rollouts_anchors.effects import Effects
from rollouts_anchors.files import printable
from rollouts_anchors.labels import Label, check_labels, labels_of_rows
from rollouts_anchors.table import ImportanceTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def plot_importance(table: ImportanceTable, labels: Sequence[Label] | None = None) -> Figure:
    """Importance along the trace: a bar a sentence with its interval; a cross where there is no value."""
    shown = labels_of_rows(labels, [row.position for row in table])
    figure, axes = _figure(max(6.0, min(16.0, 2 + 0.14 * len(table))), 3.4)
    divergence = table.metric != "accuracy"
    for k, row in enumerate(table):
        if row.value is None:
            axes.plot([row.position], [0], marker="x", color="#9E9E9E", markersize=4)
            continue
        shade = colour(shown, k) if shown is not None else signed(row.value, divergence)
        axes.bar([row.position], [row.value], color=shade, width=0.8)
        if row.low is not None and row.high is not None:
            axes.plot([row.position] * 2, [row.low, row.high], color="#37474F", linewidth=0.8)
    axes.axhline(0, color="#37474F", linewidth=0.8)
    axes.set_xlabel("sentence")
    axes.set_ylabel(f"{table.kind} importance ({_unit(table)})")
    axes.set_title(table.meaning, fontsize=9)
    if shown is not None:
        _legend(axes, shown)
    return figure


def plot_sentences(table: ImportanceTable, labels: Sequence[Label] | None = None, *, most: int = 40) -> Figure:
    """The sentences themselves, one below the other, with a bar and an interval each: for short traces.

    Args:
        table: From `importance`.
        labels: From `label`; the bars have the kinds' colours.
        most: Sentences shown, from the first on.
    """
    rows = list(table)[:most]
    shown = labels_of_rows(labels, [row.position for row in rows])
    figure, axes = _figure(10.0, 1.1 + 0.42 * len(rows))
    for k, row in enumerate(rows):
        if row.value is None:
            axes.plot([0], [k], marker="x", color="#9E9E9E", markersize=5)
            continue
        shade = colour(shown, k) if shown is not None else signed(row.value, table.metric != "accuracy")
        axes.barh([k], [row.value], color=shade, height=0.62)
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [k, k], color="#37474F", linewidth=0.9)
    axes.axvline(0, color="#37474F", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [_line(row.position, row.sentence) for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(f"{table.kind} importance ({_unit(table)})")
    axes.set_title(table.meaning, fontsize=9)
    if shown is not None:
        _legend(axes, shown)
    return figure


def _line(position: int, sentence: str, width: int = 62) -> str:
    """A sentence on one line; a dollar sign is no formula."""
    text = printable(" ".join(sentence.split()))
    short = text if len(text) <= width else text[: width - 1] + "…"
    return f"{short.replace('$', chr(92) + '$')}  {position}"


def plot_accuracy(resampling: Resampling, *, confidence: float = 0.95) -> Figure:
    """Accuracy by position, resampled and (where it was sampled) forced, with Wilson intervals.

    Raises:
        ConfigError: No true answer is known.
    """
    if resampling.judging.truth is None:
        raise ConfigError("accuracy needs the true answer: resampling.judged(truth=…).")
    figure, axes = _figure(7.5, 3.4)
    for forced, name, shade in ((False, "resampled", RESAMPLED), (True, "forced answer", FORCED)):
        points = accuracy_points(resampling, forced=forced, confidence=confidence)
        if points:
            at = [p[0] for p in points]
            axes.fill_between(at, [p[2] for p in points], [p[3] for p in points], color=shade, alpha=0.15, linewidth=0)
            axes.plot(at, [p[1] for p in points], color=shade, marker="o", markersize=3, linewidth=1.2, label=name)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("sampled before sentence")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False, fontsize=8)
    return figure


def accuracy_points(
    resampling: Resampling, *, forced: bool = False, confidence: float = 0.95
) -> list[tuple[int, float, float, float, int]]:
    """Position, accuracy, both ends of Wilson's interval and counted answers; positions without any are left out."""
    points = []
    for i in sorted(resampling.forced if forced else resampling.arms):
        judged = [c for c in resampling.correct(i, forced=forced) if c is not None]
        if judged:
            low, high = wilson(sum(judged), len(judged), confidence)
            points.append((i, sum(judged) / len(judged), low, high, len(judged)))
    return points


def circle_places(n: int) -> list[tuple[float, float]]:
    """Where the sentences stand on the circle: the first at the top, then clockwise."""
    return [(sin(2 * pi * k / n), cos(2 * pi * k / n)) for k in range(n)]


def plot_circle(
    effects: Effects, table: ImportanceTable | None = None, labels: Sequence[Label] | None = None, *, top: int = 3
) -> Figure:
    """The sentences on a circle, larger where they matter more, with arrows to the later ones that they bring about."""
    n = len(effects.matrix)
    check_labels(labels, n)
    figure, axes = _figure(6.5, 6.5)
    places = circle_places(n)
    links = effects.links(top)
    strongest = max((link.weight for link in links), default=1.0)
    for link in links:
        strength = link.weight / strongest
        axes.annotate(
            "",
            xy=places[link.target],
            xytext=places[link.source],
            arrowprops={
                "arrowstyle": "-|>",
                "connectionstyle": "arc3,rad=-0.2",
                "color": "#546E7A",
                "alpha": 0.15 + 0.75 * strength,
                "linewidth": 0.4 + 1.6 * strength,
            },
        )
    sizes = node_sizes(table, n)
    for k, (x, y) in enumerate(places):
        axes.scatter([x], [y], s=[30 + 170 * sizes[k]], color=colour(labels, k), zorder=3)
        axes.text(1.09 * x, 1.09 * y, str(k), ha="center", va="center", fontsize=6 if n > 60 else 8)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if labels is not None:
        _legend(axes, labels)
    return figure


def node_sizes(table: ImportanceTable | None, n: int) -> list[float]:
    """Each sentence's size between 0 and 1 by the size of its importance; 0 where it has none."""
    values = [0.0] * n
    for row in table or ():
        values[row.position] = abs(row.value or 0.0)
    greatest = max(values, default=0.0)
    return [value / greatest if greatest else 0.0 for value in values]


def plot_effects(effects: Effects) -> Figure:
    """The heat map of effects: row the earlier sentence, column the later one; grey where there is none."""
    import numpy as np

    figure, axes = _figure(6.5, 5.6)
    known = np.abs(effects.matrix[~np.isnan(effects.matrix)])
    limit = max(float(known.max()) if known.size else 0.0, 1e-9)
    axes.set_facecolor("#ECEFF1")
    image = axes.imshow(effects.matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_xlabel("later sentence")
    axes.set_ylabel("sentence")
    figure.colorbar(image, ax=axes, label="change in how often the later one is said", shrink=0.8)
    return figure


def _unit(table: ImportanceTable) -> str:
    return {"accuracy": "accuracy", "kl": "KL, nats", "tv": "total variation", "js": "JS, nats"}[table.metric]


def _legend(axes: Axes, labels: Sequence[Label]) -> None:
    from matplotlib.patches import Patch

    present = [kind for kind in COLOURS if any(label.kind == kind for label in labels)]
    axes.legend(
        handles=[Patch(color=COLOURS[kind], label=kind.replace("_", " ")) for kind in present],
        fontsize=7,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
