"""Whom to route a prefill to, so that the samples of one set do not come from providers that treat it differently.

Only OpenRouter routes. A pin belongs to the provenance of samples, not to their identity: learning a new verdict
must not make paid samples unfindable. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rollouts.continuation.known import known_verdict
from rollouts.continuation.memory import Memory, Remembered

ROUTED = "openrouter"


def choose_pin(
    adapter: str, model: str, body: Mapping[str, Any], verdicts: Iterable[Remembered] | None = None
) -> tuple[dict[str, Any], str | None]:
    """Routing for a prefill, and what the user should be told.

    Args:
        adapter: Name of the adapter.
        model: The model as the service has it.
        body: The wire body.
        verdicts: What probes found; None reads the user's cache directory.

    Returns:
        Fields to merge into the body (empty where nothing is pinned), and a warning or None.
    """
    if adapter != ROUTED:
        return {}, None
    given = body.get("provider")
    given = given if isinstance(given, Mapping) else {}
    remembered = Memory().verdicts() if verdicts is None else list(verdicts)
    mine = {item.provider: item for item in remembered if item.adapter == adapter and item.model == model}
    chosen = _named(given)
    if chosen:
        return _for_named(model, given, chosen, mine)
    verified = sorted(
        (
            item
            for item in mine.values()
            if item.provider and item.verdict == "yes" and item.provider not in _list(given, "ignore")
        ),
        key=lambda item: (item.since or item.date, str(item.provider)),
    )
    if verified:
        # One alone, so that a set of samples is not mixed; the one that is known longest, so that a set which grows
        # after another probe is not mixed either.
        return {"provider": {"only": [str(verified[0].provider)], "allow_fallbacks": False}}, None
    warning = (
        f"{model}: the prefill goes to whichever provider OpenRouter chooses, and some start a new turn instead of "
        "going on from it, so the samples of one set may differ in kind. Fallbacks are switched off; pin a provider "
        "(provider={'only': ['…']}), or run `rollouts probe` once: what it verifies is used from then on."
    )
    return {"provider": {"allow_fallbacks": False}}, warning


def doubt(adapter: str, model: str, way: str | None, verdicts: Iterable[Remembered]) -> str | None:
    """What to tell the user of a server of one's own that a probe saw fail.

    Args:
        adapter: Name of the adapter; nothing is said of one that routes (see `choose_pin`).
        model: The model as the service has it.
        way: How the prefill goes on the wire.
        verdicts: What probes of this server found.
    """
    if adapter == ROUTED:
        return None
    mine = {item.way: item for item in verdicts if item.adapter == adapter and item.model == model}
    found = mine.get(way or "")
    if found is None or found.verdict != "no":
        return None
    better = next((item.way for item in mine.values() if item.verdict == "yes"), None)
    instead = f"; {better!r} did: adapter_options={{'continuation': {better!r}}}" if better else ""
    return f"{model}: a probe of {found.date} saw that a prefill sent as {found.way!r} is not continued{instead}."


def _for_named(
    model: str, given: Mapping[str, Any], chosen: list[str], mine: Mapping[str | None, Remembered]
) -> tuple[dict[str, Any], str | None]:
    failing = []
    for provider in chosen:
        found = mine.get(provider)
        if found is not None and found.verdict == "no":
            failing.append(f"{provider} (probed {found.date})")
        elif found is None and (known := known_verdict(ROUTED, model, provider)) is not None and known.verdict == "no":
            failing.append(f"{provider} ({known.source}, {known.date})")
    pin = {} if "allow_fallbacks" in given or "only" in given else {"provider": {"allow_fallbacks": False}}
    if failing:
        return pin, f"{model}: a prefill is not known to be continued by {', '.join(failing)}; look at `continued`."
    if len(chosen) > 1 and "order" not in given:
        return pin, (
            f"{model}: OpenRouter may spread the samples over {', '.join(chosen)}, which may treat the prefill "
            "differently; name one provider."
        )
    return pin, None


def _named(given: Mapping[str, Any]) -> list[str]:
    return _list(given, "only") or _list(given, "order")


def _list(given: Mapping[str, Any], name: str) -> list[str]:
    value = given.get(name)
    return [str(item) for item in value] if isinstance(value, list | tuple) else []
