"""Turns an entry of rollouts 0.1.x into a sample of today, and tells why where it cannot. Opens nothing.

0.1.x left `stop`, `reasoning`, `include_reasoning` and every further setting out of its entries. An entry is taken as
the answer to the plain request that it states; where the answer itself betrays another one, it is `ambiguous`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rollouts.caches.legacy import ORIGIN, messages_of_old, record_of
from rollouts.exceptions import ConfigError
from rollouts.identity import IDENTITY_VERSION, SampleRequest
from rollouts.results.codec import from_record
from rollouts.typing import StoredEntry

_STATED = ("temperature", "top_p", "max_tokens")
_TAG = "<think>"


def entry_of(old: Mapping[str, Any], place: str, size: int, number: int, hidden: Mapping[str, Any]) -> StoredEntry:
    """What `old` is today.

    Args:
        old: The entry as 0.1.x wrote it.
        place: Where it is.
        size: Its bytes.
        number: The sample's number.
        hidden: `top_k` and the penalties, which it keeps in its key alone; 0 and None are left out.
    """
    response, model, prompt = old.get("response"), old.get("model"), old.get("prompt")
    if not isinstance(response, dict) or not isinstance(model, str) or not isinstance(prompt, str | list):
        return StoredEntry(place, size, problem="foreign", detail="no entry of rollouts 0.1.x")
    given = {name: old.get(name) for name in (*_STATED, "provider")} | dict(hidden)
    body: dict[str, Any] = {"model": model, "messages": messages_of_old(prompt, model)}
    body |= {name: value for name, value in given.items() if value is not None}
    document = {
        "identity": IDENTITY_VERSION,
        "adapter": "openrouter",
        "service": "openrouter",
        "endpoint": "chat/completions",
        "model": model,
        "headers": {},
        "body": body,
    }
    try:
        request = SampleRequest.stored(document, _context(body["messages"]))
    except (ConfigError, AttributeError) as error:
        return StoredEntry(place, size, problem="foreign", detail=f"no request: {error}")
    record = record_of(response)
    if record is None:
        what = "an error that 0.1.x stored" if response.get("finish_reason") == "error" else "an empty answer"
        return StoredEntry(place, size, request, number, problem="0.1.x", detail=f"{what}: it is asked again")
    try:
        answer = from_record(record, seed=number, **request.context, origin=ORIGIN)
    except (TypeError, ValueError, KeyError):
        return StoredEntry(place, size, request, number, problem="damaged", detail="its answer is no answer")
    sign = _sign(response, old)
    return StoredEntry(place, size, request, number, answer, "ambiguous" if sign else None, sign)


def told_mixed(group: Iterable[StoredEntry]) -> Iterator[StoredEntry]:
    """The entries of one prompt with one set of settings, ambiguous where some have thought and others have none."""
    entries = list(group)
    answers = [entry.response for entry in entries if entry.response is not None]
    mixed = len({answer.reasoning is None for answer in answers}) == 2
    for entry in entries:
        if mixed and entry.response is not None and entry.problem is None:
            yield replace(
                entry,
                problem="ambiguous",
                detail="of this prompt's answers some have reasoning and others none, as if reasoning or "
                "include_reasoning had been changed between runs",
            )
        else:
            yield entry


def _sign(response: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    """What betrays a setting that 0.1.x forgot; empty where nothing does."""
    usage, limit = response.get("usage"), old.get("max_tokens")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if response.get("finish_reason") in ("tool_calls", "function_call"):
        return "it ended with a tool call, so it was asked with tools"
    if response.get("finish_reason") == "stop" and response.get("reasoning") and not response.get("content"):
        return "its thought ended without an answer and not for its length, as with a stop sequence (stop)"
    if isinstance(tokens, int) and isinstance(limit, int) and tokens > limit:
        return f"it has {tokens} tokens where max_tokens was {limit}, as with a budget for reasoning"
    return ""


def _context(messages: Sequence[Any]) -> dict[str, str | None]:
    last = messages[-1] if messages and isinstance(messages[-1], dict) else {}
    prefill = last.get("content") if last.get("role") == "assistant" else None
    if not isinstance(prefill, str):
        return {"prefill": None, "injected": None}
    injected = None
    if prefill.lstrip().startswith(_TAG):
        thought = prefill.lstrip().removeprefix(_TAG).removeprefix("\r").removeprefix("\n")
        injected = thought.partition("</think>")[0]
    return {"prefill": prefill, "injected": injected}
