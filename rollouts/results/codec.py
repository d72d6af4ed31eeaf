"""Responses as JSON records and back, for caches and packs. The record format has a number and is never reused.

A record holds what the service said; what belongs to the request (prefill, injected thought) is stored with the
request, and what belongs to one call (position, prompt, `cached`) is not stored. Knows nothing of where records lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, cast

from rollouts.results.response import USAGE_FIELDS, RawSource, Response, Usage

RECORD_FORMAT = 2
"""Version of the record (1 was rollouts 0.1.x)."""

_NOT_STORED = frozenset(
    {"prefill", "injected", "seed", "index", "prompt_index", "prompt", "cached", "raw_source", "origin", "usage"}
)
STORED_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Response) if f.name not in _NOT_STORED)
_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Response)}
_STORED_DEFAULTS = tuple(_DEFAULTS[name] for name in STORED_FIELDS)
NO_USAGE = Usage()


def _draft_of(cls: Any) -> Any:
    """A class with the slots of `cls` that is not frozen.

    A frozen dataclass pays one `object.__setattr__` for each field, which is most of the cost of reading a stored
    sample. A draft is filled three times as fast, and then becomes what it is a draft of.
    """
    known = {f.name: f for f in fields(cls)}
    names = [name for name in (*STORED_FIELDS, *known) if name in known]
    shape = [
        (name, Any) if known[name].default is MISSING else (name, Any, field(default=known[name].default))
        for name in dict.fromkeys(names)
    ]
    return make_dataclass(f"_{cls.__name__}Draft", shape, slots=True, eq=False)


ResponseDraft: Any = _draft_of(Response)
"""Takes what `Response` takes, the stored fields first; `finished(draft)` is the response."""
_UsageDraft: Any = _draft_of(Usage)


def finished(draft: Any) -> Response:
    """The response that a `ResponseDraft` has become."""
    draft.__class__ = Response
    return cast(Response, draft)


def usage_of(*values: Any) -> Usage:
    """The usage with these values, in the order of `USAGE_FIELDS`."""
    draft = _UsageDraft(*values)
    draft.__class__ = Usage
    return cast(Usage, draft)


def to_record(response: Response) -> dict[str, Any]:
    """The response as a JSON object; fields at their default are left out."""
    record = {}
    for name in STORED_FIELDS:
        value = getattr(response, name)
        if name == "content" or value != _DEFAULTS[name]:
            record[name] = dict(value) if isinstance(value, Mapping) else value
    usage = {name: value for name in USAGE_FIELDS if (value := getattr(response.usage, name)) is not None}
    if usage:
        record["usage"] = usage
    if response.origin is not None:
        record["origin"] = response.origin
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
    get = record.get
    content, reasoning, usage = record["content"], get("reasoning"), get("usage")
    if not isinstance(content, str):
        raise TypeError(f"content is {type(content).__name__}, not str")
    if reasoning is not None and not isinstance(reasoning, str):
        raise TypeError(f"reasoning is {type(reasoning).__name__}, not str")
    return finished(
        ResponseDraft(
            # By position: names out of JSON would be compared with all parameters' names, letter by letter.
            *map(get, STORED_FIELDS, _STORED_DEFAULTS),
            usage=_usage(usage) if usage else NO_USAGE,
            seed=seed,
            prefill=prefill,
            injected=injected,
            raw_source=raw,
            origin=origin or get("origin"),
            cached=True,
        )
    )


def _usage(record: Any) -> Usage:
    if not isinstance(record, dict):
        raise TypeError(f"usage is {type(record).__name__}, not an object")
    return usage_of(*map(record.get, USAGE_FIELDS))


def dump_json(value: Any) -> str:
    """`value` as JSON on one line: readable text, ASCII where the text has lone surrogates (which UTF-8 has not)."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, separators=(",", ":"))
    return text


def raw_body(response: Response) -> bytes | None:
    """The body to store: as it came, without the white space that services send to keep a connection alive."""
    body = response.raw_body
    return None if body is None else body.strip()
