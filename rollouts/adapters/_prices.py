"""Reads prices out of a service's catalogue of models. Knows no service by name; sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PER_TOKEN = ("prompt", "completion")
_PER_MILLION = ("input", "output")


def read_prices(catalogue: Any) -> dict[str, tuple[float, float]]:
    """US dollars per prompt token and per completion token, by model; a model without prices is left out.

    Args:
        catalogue: The parsed answer: OpenRouter's `{"data": […]}` with prices per token, or Together's list with
            prices per million tokens.
    """
    models = catalogue.get("data") if isinstance(catalogue, Mapping) else catalogue
    prices: dict[str, tuple[float, float]] = {}
    for model in models if isinstance(models, list) else []:
        pricing = model.get("pricing") if isinstance(model, Mapping) else None
        if not isinstance(pricing, Mapping):
            continue
        for (prompt, completion), unit in ((_PER_TOKEN, 1.0), (_PER_MILLION, 1e-6)):
            try:
                found = (float(pricing[prompt]) * unit, float(pricing[completion]) * unit)
            except (KeyError, TypeError, ValueError):
                continue
            # OpenRouter states -1 for routers, whose price depends on the model chosen.
            if min(found) >= 0:
                prices[str(model.get("id"))] = found
            break
    return prices
