"""One self-contained HTML page about a resampling: pictures with hover text, the sentences, the table. Asks no model.

It opens from a file and loads nothing. What a model wrote is escaped, and a content security policy lets no script run
but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from rollouts.resampling import Resampling
from rollouts_anchors.colours import COLOURS, FORCED, NEGATIVE, POSITIVE, RESAMPLED, signed
from rollouts_anchors.effects import Effects
from rollouts_anchors.files import printable, write_text
from rollouts_anchors.labels import Label, check_labels, question_text
from rollouts_anchors.svg import accuracy_svg, circle_svg, effects_svg, importance_svg, row_tip, tip
from rollouts_anchors.table import ImportanceTable

_SCRIPT = """
const box = document.getElementById('tip');
document.addEventListener('mousemove', event => {
  const element = event.target.closest ? event.target.closest('[data-tip]') : null;
  if (!element) { box.hidden = true; return; }
  box.textContent = element.getAttribute('data-tip');
  box.hidden = false;
  const room = window.innerWidth - box.offsetWidth - 8;
  box.style.left = Math.max(4, Math.min(event.clientX + 14, room)) + 'px';
  const below = event.clientY + 18;
  const fits = below + box.offsetHeight < window.innerHeight;
  box.style.top = (fits ? below : Math.max(4, event.clientY - box.offsetHeight - 12)) + 'px';
});
"""
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #263238; background: #fff; margin: 2rem auto; max-width: 1000px;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
.about, .small, td, th { color: #455A64; font-size: .86rem; } svg { width: 100%; height: auto; display: block; }
svg text { font: 11px system-ui, sans-serif; fill: #546E7A; } svg text.small { font-size: 9px; }
.grid { stroke: #CFD8DC; stroke-width: 1; } .whisker { stroke: #37474F; stroke-width: 1; }
.hit { fill: transparent; } .hover:hover .hit { fill: #ECEFF1; } .hover { cursor: default; }
.ink { pointer-events: none; }
.square { max-width: 640px; } .trace { white-space: pre-wrap; border-left: 3px solid #CFD8DC; padding-left: 1rem; }
.trace span { border-radius: 3px; } .trace span:hover { outline: 1px solid #546E7A; }
#tip { position: fixed; z-index: 9; max-width: 34rem; background: #263238; color: #fff; padding: .5rem .7rem;
  border-radius: 5px; font-size: .82rem; white-space: pre-wrap; pointer-events: none; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: right; padding: .15rem .5rem; vertical-align: top; }
td { white-space: nowrap; }
td:last-child, th:last-child { white-space: normal; text-align: left; overflow-wrap: anywhere; }
tr:nth-child(even) { background: #F5F7F8; }
.key { display: inline-block; margin-right: 1rem; } .key i { display: inline-block; width: .8em; height: .8em;
  border-radius: 2px; margin-right: .35em; } pre { white-space: pre-wrap; }
"""


def html_page(
    resampling: Resampling,
    table: ImportanceTable,
    *,
    effects: Effects | None = None,
    labels: Sequence[Label] | None = None,
    title: str = "Which sentences matter",
) -> str:
    """The page as text.

    Args:
        resampling: What was sampled.
        table: From `importance`.
        effects: From `sentence_effects`; adds the circle and the heat map.
        labels: From `label`; adds the kinds' colours.
        title: The page's title.

    Raises:
        ConfigError: The labels do not fit the trace.
    """
    trace = resampling.trace
    check_labels(labels, len(trace))
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    interval = "no interval" if table.interval == "none" else f"{table.confidence:.0%} interval: {table.interval}"
    about = [f"{table.kind} importance: {table.meaning}", interval]
    about += [f"samples without an answer: {table.policy}", repr(resampling)]
    about += [f"smoothing {table.smoothing:g}"] if table.smoothing is not None else []
    about += [f"different below cosine {table.threshold:g}"] if table.threshold is not None else []
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><pre>{escape(question_text(trace))}</pre>",
        f'<p class="about">{escape(" · ".join(about))}</p>',
        _keys(labels, table.metric),
        f"<h2>Importance along the trace</h2>{importance_svg(table, labels, len(trace))}",
    ]
    if resampling.judging.truth is not None:
        lines = {"resampled": RESAMPLED, **({"forced answer": FORCED} if resampling.forced else {})}
        parts.append(f"<h2>Accuracy by position</h2>{_key(lines)}{accuracy_svg(resampling)}")
    # Where the bars have the colours of kinds, those of the signs are explained here.
    shades = "" if labels is None else _key(_signs(table.metric))
    parts.append(f"<h2>The thought</h2>{shades}{_trace(resampling, table, labels)}")
    if effects is not None:
        circle = circle_svg(effects, table, labels, trace.pieces)
        parts.append(f'<h2>What each sentence brings about</h2><div class="square">{circle}</div>')
        parts.append(f'<h2>Step by step</h2><div class="square">{effects_svg(effects, trace.pieces)}</div>')
    parts.append(f"<h2>Table</h2>{_table(table)}")
    parts.append(f'<div id="tip" hidden></div><script>{_SCRIPT}</script></body></html>')
    return printable("\n".join(parts))


def write_html(
    path: str | Path,
    resampling: Resampling,
    table: ImportanceTable,
    *,
    effects: Effects | None = None,
    labels: Sequence[Label] | None = None,
    title: str = "Which sentences matter",
) -> Path:
    """Write `html_page` to a file; returns its path."""
    return write_text(path, html_page(resampling, table, effects=effects, labels=labels, title=title))


def _keys(labels: Sequence[Label] | None, metric: str) -> str:
    if labels is None:
        return _key(_signs(metric))
    return _key({k.replace("_", " "): c for k, c in COLOURS.items() if any(label.kind == k for label in labels)})


def _signs(metric: str) -> Mapping[str, str]:
    return {"importance": POSITIVE} if metric != "accuracy" else {"positive": POSITIVE, "negative": NEGATIVE}


def _key(names: Mapping[str, str]) -> str:
    keys = (f'<span class="key"><i style="background:{shade}"></i>{name}</span>' for name, shade in names.items())
    return f'<p class="small">{"".join(keys)}</p>'


def _trace(resampling: Resampling, table: ImportanceTable, labels: Sequence[Label] | None) -> str:
    """The thought with every sentence shaded by its importance."""
    rows = {row.position: row for row in table}
    greatest = max((abs(row.value or 0.0) for row in table), default=0.0) or 1.0
    spans = []
    for k, span in enumerate(resampling.trace.sentences):
        row = rows.get(k)
        hover = tip(row_tip(row, labels)) if row is not None else ""
        style = ""
        if row is not None and row.value is not None:
            opacity = round(110 * abs(row.value) / greatest)
            style = f' style="background:{signed(row.value, table.metric != "accuracy")}{opacity:02x}"'
        spans.append(f"<span{style} {hover}>{escape(span.text)}</span>")
    return f'<div class="trace">{"".join(spans)}</div>'


def _table(table: ImportanceTable) -> str:
    head = ("", "importance", "interval", "kept", "removed", "different", "not counted", "sentence")
    lines = ["".join(f"<th>{name}</th>" for name in head)]
    for row in table:
        interval = "–" if row.low is None or row.high is None else f"{row.low:+.3f} … {row.high:+.3f}"
        cells = (
            str(row.position),
            "–" if row.value is None else f"{row.value:+.4f}",
            interval,
            str(row.n_kept),
            str(row.n_removed),
            "–" if row.n_different is None else str(row.n_different),
            str(row.n_uncounted),
            row.sentence + (f"  ({row.note})" if row.note else ""),
        )
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
