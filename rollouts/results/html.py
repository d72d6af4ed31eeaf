"""Samples as HTML for notebooks. Everything that a model, a provider or a user wrote is escaped."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts.results.response import Failure, Response
    from rollouts.results.rollouts import Rollouts

SHOWN = 20
"""Samples of a set that are shown."""

_STYLE = """
<style>
.rollouts{font:14px/1.45 system-ui,sans-serif;max-width:60em}
.rollouts pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3em 0;font:inherit;background:none;color:inherit}
.rollouts summary{cursor:pointer}.rollouts .note{opacity:.65;font-size:90%}
.rollouts .thought{border-left:3px solid #8886;padding-left:.7em;opacity:.85}
.rollouts .injected{background:#fbbc0544;border-radius:2px}
.rollouts .sample{border-top:1px solid #8884;padding:.4em 0}.rollouts .failed{color:#c5221f}
</style>
"""


def response_html(response: Response) -> str:
    """One answer."""
    return f'{_STYLE}<div class="rollouts">{_response(response)}</div>'


def rollouts_html(rollouts: Rollouts) -> str:
    """A set of samples: what was asked, what it took, the first `SHOWN` answers."""
    from rollouts.results.response import Response
    from rollouts.results.summary import summarise

    prompt = rollouts.prompt if isinstance(rollouts.prompt, str) else json.dumps(rollouts.prompt, ensure_ascii=False)
    slots = "".join(
        _response(slot) if isinstance(slot, Response) else _failure(slot) for slot in rollouts.slots[:SHOWN]
    )
    left = len(rollouts.slots) - SHOWN
    more = f'<div class="note">… and {left:,} more</div>' if left > 0 else ""
    return (
        f'{_STYLE}<div class="rollouts"><b>{_text(rollouts.model)}</b><pre>{_text(prompt)}</pre>'
        f'<details><summary class="note">{_text(str(summarise(rollouts)).splitlines()[0])}</summary>'
        f"<pre>{_text(summarise(rollouts))}</pre></details>{slots}{more}</div>"
    )


def _response(response: Response) -> str:
    usage = response.usage
    notes = [
        f"seed {response.seed}",
        response.provider,
        response.finish_reason,
        None if usage.completion_tokens is None else f"{usage.completion_tokens:,} tokens",
        None if usage.cost is None else f"${usage.cost:.6g}",
        None if response.continued is None else f"continued: {response.continued}",
        "cached" if response.cached else None,
    ]
    note = _text(" · ".join(n for n in notes if n))
    thought = ""
    if response.thought is not None:
        injected = (
            f'<span class="injected" title="injected">{_text(response.injected)}</span>' if response.injected else ""
        )
        state = "" if response.completed_reasoning else ", not finished"
        thought = (
            f"<details><summary class='note'>thought{state}</summary>"
            f'<pre class="thought">{injected}{_text(response.reasoning or "")}</pre></details>'
        )
    return f'<div class="sample"><div class="note">{note}</div>{thought}<pre>{_text(response.content)}</pre></div>'


def _failure(failure: Failure) -> str:
    why = failure.kind if failure.error is None else f"{type(failure.error).__name__}: {failure.error}"
    return f'<div class="sample failed"><div class="note">seed {failure.seed}</div><pre>{_text(why)}</pre></div>'


def _text(value: Any) -> str:
    # A lone surrogate cannot be sent to a browser; show it as an escape.
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode())
