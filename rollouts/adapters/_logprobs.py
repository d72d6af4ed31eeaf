"""Log-probabilities in the one shape of the chat API, whichever shape they came in. Knows no service by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def read_logprobs(logprobs: Any, *, echo: str = "") -> dict[str, Any] | None:
    """Log-probabilities of the generated tokens as `{"content": [{"token", "logprob", "top_logprobs"}, …]}`.

    Args:
        logprobs: The choice's `logprobs`: the chat shape, the shape of `/completions`, or nothing.
        echo: A repeated prefill whose tokens stand in front; they are taken off.

    Returns:
        None where none were given.
    """
    if not isinstance(logprobs, Mapping):
        return None
    if isinstance(logprobs.get("content"), list):
        kept = {name: value for name, value in logprobs.items() if name != "content"}
        return {**kept, "content": _without(echo, logprobs["content"])}
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list):
        return None
    alternatives = logprobs.get("top_logprobs")
    alternatives = alternatives if isinstance(alternatives, list) else [None] * len(tokens)
    content = [
        {"token": token, "logprob": value, "top_logprobs": _alternatives(others)}
        for token, value, others in zip(tokens, values, alternatives, strict=False)
    ]
    return {"content": _without(echo, content)}


def _alternatives(others: Any) -> list[dict[str, Any]]:
    if isinstance(others, Mapping):
        ranked = sorted(others.items(), key=lambda pair: -pair[1] if isinstance(pair[1], (int, float)) else math.inf)
        return [{"token": token, "logprob": value} for token, value in ranked]
    return list(others) if isinstance(others, list) else []


def _without(echo: str, content: list[Any]) -> list[Any]:
    """The tokens after those that spell `echo`; all of them where the first ones do not."""
    spelt = ""
    for position, item in enumerate(content):
        if not echo or not echo.startswith(spelt) or len(spelt) >= len(echo):
            break
        spelt += str(item.get("token", "")) if isinstance(item, Mapping) else ""
        if spelt == echo:
            return content[position + 1 :]
    return content
