"""Pictures of a resampling as SVG text with hover texts. Everything that a model wrote is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isnan

from rollouts.resampling import Resampling
from rollouts_anchors.colours import FORCED, NEUTRAL, RESAMPLED, colour, signed
from rollouts_anchors.effects import Effects
from rollouts_anchors.figures import accuracy_points, circle_places, node_sizes
from rollouts_anchors.labels import Label
from rollouts_anchors.table import ImportanceRow, ImportanceTable

WIDTH, HEIGHT, LEFT, PAD = 960.0, 240.0, 52.0, 18.0


def tip(text: str) -> str:
    """An attribute with the hover text."""
    return f'data-tip="{escape(text, quote=True)}"'


def row_tip(row: ImportanceRow, labels: Sequence[Label] | None = None) -> str:
    """What hovering over a sentence shows."""
    value = "no value" if row.value is None else f"importance {row.value:+.4f}"
    if row.low is not None and row.high is not None:
        value += f" [{row.low:+.4f}, {row.high:+.4f}]"
    parts = [f"{row.position}: {' '.join(row.sentence.split())}", value + (f" ({row.note})" if row.note else "")]
    if row.accuracy_kept is not None and row.accuracy_removed is not None:
        parts.append(f"accuracy {row.accuracy_kept:.3f} with, {row.accuracy_removed:.3f} without")
    different = "" if row.n_different is None else f", {row.n_different} different"
    parts.append(f"{row.n_kept} kept, {row.n_removed} removed{different}, {row.n_uncounted} not counted")
    if row.different_fraction is not None:
        parts.append(f"{row.different_fraction:.0%} of the first sentences differ")
    if labels is not None:
        parts.append(labels[row.position].kind.replace("_", " "))
    return "\n".join(parts)


def _svg(body: Sequence[str], width: float, height: float, name: str) -> str:
    label = escape(name, quote=True)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def _axis(low: float, high: float, height: float) -> tuple[list[str], list[float]]:
    """Grid lines at three heights, and the scale as (offset, factor): y = offset - factor * value."""
    span = (high - low) or 1.0
    factor = (height - 2 * PAD) / span
    offset = height - PAD + low * factor
    lines = []
    for value in (low, 0.0 if low < 0 < high else (low + high) / 2, high):
        y = offset - factor * value
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    return lines, [offset, factor]


def importance_svg(table: ImportanceTable, labels: Sequence[Label] | None, n: int) -> str:
    """Bars along a trace of `n` sentences, with intervals; empty places where a table has no row."""
    ends = [v for row in table for v in (row.value, row.low, row.high) if v is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends]) or (0.0 if min([0.0, *ends]) < 0 else 1.0)
    body, (offset, factor) = _axis(low, high, HEIGHT)
    step = (WIDTH - LEFT) / max(n, 1)
    for row in table:
        x = LEFT + row.position * step
        hover = tip(row_tip(row, labels))
        body.append(
            f'<g class="hover" {hover}><rect class="hit" x="{x:.2f}" y="0" width="{step:.2f}" height="{HEIGHT:g}"/>'
        )
        if row.value is None:
            body.append(
                f'<text x="{x + step / 2:.2f}" y="{offset + 4:.1f}" text-anchor="middle" fill="{NEUTRAL}">×</text>'
            )
        else:
            shade = (
                colour(labels, row.position) if labels is not None else signed(row.value, table.metric != "accuracy")
            )
            top, size = offset - factor * max(row.value, 0.0), abs(row.value) * factor
            body.append(
                f'<rect x="{x + 0.12 * step:.2f}" y="{top:.2f}" width="{0.76 * step:.2f}" height="{max(size, 0.8):.2f}"'
                f' fill="{shade}"/>'
            )
            if row.low is not None and row.high is not None:
                middle = x + step / 2
                body.append(
                    f'<line class="whisker" x1="{middle:.2f}" x2="{middle:.2f}" '
                    f'y1="{offset - factor * row.low:.2f}" y2="{offset - factor * row.high:.2f}"/>'
                )
        body.append("</g>")
    return _svg(body, WIDTH, HEIGHT, "importance along the trace")


def accuracy_svg(resampling: Resampling) -> str:
    """Accuracy by position, resampled and forced."""
    body, (offset, factor) = _axis(0.0, 1.0, HEIGHT)
    n = max(len(resampling.trace), 1)
    for forced, name, shade in ((False, "resampled", RESAMPLED), (True, "forced answer", FORCED)):
        points = accuracy_points(resampling, forced=forced)
        places = [(LEFT + 6 + p[0] * (WIDTH - LEFT - 12) / n, offset - factor * p[1]) for p in points]
        if places:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            body.append(f'<polyline points="{path}" fill="none" stroke="{shade}" stroke-width="1.6"/>')
        for (x, y), (i, share, low, high, counted) in zip(places, points, strict=True):
            hover = tip(f"before sentence {i}, {name}: {share:.3f} [{low:.3f}, {high:.3f}] of {counted} answers")
            body.append(f'<circle class="hover" cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{shade}" {hover}/>')
    return _svg(body, WIDTH, HEIGHT, "accuracy by position")


def circle_svg(
    effects: Effects, table: ImportanceTable, labels: Sequence[Label] | None, sentences: Sequence[str], top: int = 3
) -> str:
    """Sentences on a circle with the effects of each on later ones."""
    size, radius = 640.0, 270.0
    places = [(size / 2 + radius * x, size / 2 - radius * y) for x, y in circle_places(len(sentences))]
    links = effects.links(top)
    strongest = max((link.weight for link in links), default=1.0)
    body = [
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="10" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#546E7A"/></marker></defs>'
    ]
    for link in links:
        (x1, y1), (x2, y2) = places[link.source], places[link.target]
        bend_x, bend_y = (x1 + x2) / 2 * 0.6 + size * 0.2, (y1 + y2) / 2 * 0.6 + size * 0.2
        strength = link.weight / strongest
        hover = tip(f"{link.source} → {link.target}: {link.weight:+.3f}")
        path = f'd="M{x1:.1f},{y1:.1f} Q{bend_x:.1f},{bend_y:.1f} {x2:.1f},{y2:.1f}" fill="none"'
        # A thin arrow is hard to meet with a mouse: an unseen wide one lies below it.
        body.append(f'<path class="hover" {path} stroke="transparent" stroke-width="9" {hover}/>')
        body.append(
            f'<path class="ink" {path} stroke="#546E7A" stroke-opacity="{0.15 + 0.75 * strength:.2f}" '
            f'stroke-width="{0.6 + 2 * strength:.2f}" marker-end="url(#arrow)"/>'
        )
    rows = {row.position: row for row in table}
    for k, ((x, y), share) in enumerate(zip(places, node_sizes(table, len(sentences)), strict=True)):
        label_x, label_y = size / 2 + (x - size / 2) * 1.1, size / 2 + (y - size / 2) * 1.1 + 3
        text = row_tip(rows[k], labels) if k in rows else f"{k}: {sentences[k]}"
        body.append(
            f'<g class="hover" {tip(text)}>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 + 8 * share:.1f}" fill="{colour(labels, k)}"/>'
            f'<text class="small" x="{label_x:.1f}" y="{label_y:.1f}" '
            f'text-anchor="middle">{k}</text></g>'
        )
    return _svg(body, size, size, "effects of sentences on later sentences")


def effects_svg(effects: Effects, sentences: Sequence[str]) -> str:
    """The heat map of effects."""
    n = len(sentences)
    size, margin = 640.0, 40.0
    cell = (size - margin) / max(n, 1)
    known = [abs(float(v)) for v in effects.matrix.flat if not isnan(v)]
    limit = max(known, default=0.0) or 1.0
    body = [f'<rect x="{margin}" y="{margin}" width="{size - margin}" height="{size - margin}" fill="#ECEFF1"/>']
    for i in range(n):
        for j in range(i + 1, n):
            value = effects.get(i, j)
            if value is None:
                continue
            shade = "#B3402E" if value > 0 else "#2F5D9B"
            hover = tip(f"{i} → {j}: {value:+.3f}")
            body.append(
                f'<rect class="hover" x="{margin + j * cell:.2f}" y="{margin + i * cell:.2f}" width="{cell:.2f}" '
                f'height="{cell:.2f}" fill="#fff" {hover}/>'
                f'<rect class="ink" x="{margin + j * cell:.2f}" y="{margin + i * cell:.2f}" width="{cell:.2f}" '
                f'height="{cell:.2f}" fill="{shade}" fill-opacity="{abs(value) / limit:.3f}"/>'
            )
    for k in range(0, n, max(1, n // 12)):
        middle = margin + (k + 0.5) * cell
        body.append(f'<text class="small" x="{middle:.1f}" y="{margin - 6}" text-anchor="middle">{k}</text>')
        body.append(f'<text class="small" x="{margin - 6}" y="{middle + 3:.1f}" text-anchor="end">{k}</text>')
    return _svg(body, size, size, "heat map of effects")
