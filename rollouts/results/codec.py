"""Responses as JSON records and back, for caches and packs. The record format has a number and is never reused.

A record holds what the service said; what belongs to the request (prefill, injected thought) is stored with the
request, and what belongs to one call (position, prompt, `cached`) is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rollouts.results.response import USAGE_FIELDS, RawSource, Response, Usage

RECORD_FORMAT = 2
"""Version of the record (1 was rollouts 0.1.x)."""

_NOT_STORED = frozenset({"prefill", "injected", "seed", "index", "prompt_index", "prompt", "cached", "raw_source", "origin", "usage"})
STORED_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Response) if f.name not in _NOT_STORED)
_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Response)}


def to_record(response: Response) -> dict[str, Any]:
    """The response as a JSON object; fields at their default are left out."""
    record = {}
    for name in STORED_FIELDS:
        value = getattr(response, name)
        if value != _DEFAULTS[name] or name == "content":
            record[name] = value
    usage = {name: value for name in USAGE_FIELDS if (value := getattr(response.usage, name)) is not None}
    if usage:
        record["usage"] = usage
    return record


def from_record(
    record: Mapping[str, Any],
    *,
    seed: int,
    prefill: str | None,
    injected: str | None,
    raw: RawSource = None,
    origin: str | None = None,
) -> Response:
    """The response that `record` holds, marked as cached. Unknown fields (of a later version) are ignored.

    Raises:
        KeyError: The record has no content.
        TypeError: A field is not of its type.
    """
    content = record["content"]
    if not isinstance(content, str):
        raise TypeError(f"content is {type(content).__name__}, not str")
    known = {name: record[name] for name in STORED_FIELDS if name in record}
    usage = record.get("usage")
    if usage:
        known["usage"] = Usage(**{name: usage[name] for name in USAGE_FIELDS if name in usage})
    return Response(**known, seed=seed, prefill=prefill, injected=injected, raw_source=raw, origin=origin, cached=True)
