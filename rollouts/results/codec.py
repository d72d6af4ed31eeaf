"""Responses as JSON records and back, for caches and packs. The record format has a number and is never reused.

A record holds what the service said; what belongs to the request (prefill, injected thought) is stored with the
request, and what belongs to one call (position, prompt, `cached`) is not stored. Knows nothing of where records lie.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NoReturn, cast

from rollouts.results.response import USAGE_FIELDS, RawSource, Response, Usage

RECORD_FORMAT = 2
"""Version of the record (1 was rollouts 0.1.x)."""

_NOT_STORED = frozenset(
    {"prefill", "injected", "seed", "index", "prompt_index", "prompt", "cached", "raw_source", "origin", "usage"}
)
STORED_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Response) if f.name not in _NOT_STORED)
_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Response)}
_STORED_DEFAULTS = tuple(_DEFAULTS[name] for name in STORED_FIELDS)
_NO_COUNTS = (None,) * len(USAGE_FIELDS)

_ANY = ("logprobs", "tool_calls")
_NUMBERS = ("created", "latency", "received")
_OTHERS: dict[str, tuple[type, ...]] = {
    "content": (str,),
    "completed_reasoning": (bool, type(None)),
    "attempts": (int,),
    "pin": (dict, type(None)),
}
_TYPES = {
    name: _OTHERS.get(name, (int, float, type(None)) if name in _NUMBERS else (str, type(None)))
    for name in STORED_FIELDS
    if name not in _ANY
}
"""Types that a stored field may have; of those in `_ANY` any JSON may."""


_CELLS = (
    *((name, _TYPES.get(name, ())) for name in STORED_FIELDS),
    *((f"usage.{name}", (int, float, type(None))) for name in USAGE_FIELDS),
)


def _draft_of(cls: Any) -> Any:
    """A class with the slots of `cls` that is not frozen.

    A frozen dataclass pays one `object.__setattr__` for each field, which is most of the cost of reading a stored
    sample. A draft is filled three times as fast, and then becomes what it is a draft of.
    """
    return type(f"_{cls.__name__}Draft", (), {"__slots__": tuple(f.name for f in fields(cls))})


_Draft = _draft_of(Response)
_UsageDraft = _draft_of(Usage)
_new = object.__new__


def make_response(
    cells: Sequence[Any],
    *,
    seed: int,
    prefill: str | None,
    injected: str | None,
    raw: RawSource,
    origin: str | None,
) -> Response:
    """A cached response.

    Args:
        cells: The stored fields in the order of `STORED_FIELDS`, then those of the usage in that of `USAGE_FIELDS`.
        seed: The sample's number.
        prefill: The partial assistant turn as sent.
        injected: The injected thought.
        raw: Where the raw body comes from.
        origin: Which earlier version kept it.

    Raises:
        TypeError: A field is not of its type.
    """
    if not is_sound(cells):
        _refuse(cells)
    draft, usage = _new(_Draft), _new(_UsageDraft)
    (
        draft.content,
        draft.reasoning,
        draft.finish_reason,
        draft.native_finish_reason,
        draft.completed_reasoning,
        draft.provider,
        draft.model,
        draft.response_id,
        draft.created,
        draft.logprobs,
        draft.tool_calls,
        draft.refusal,
        draft.reasoning_kind,
        draft.system_fingerprint,
        draft.continued,
        draft.continued_reason,
        draft.latency,
        draft.attempts,
        draft.received,
        draft.pin,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.reasoning_tokens,
        usage.cached_tokens,
        usage.cost,
    ) = cells
    usage.__class__ = Usage
    draft.usage = usage
    draft.seed = seed
    draft.prefill = prefill
    draft.injected = injected
    draft.raw_source = raw
    draft.origin = origin
    draft.cached = True
    draft.index = draft.prompt_index = 0
    draft.prompt = None
    draft.__class__ = Response
    return cast(Response, draft)


_SOUND: set[tuple[type, ...]] = set()
_MOST_SOUND = 4096


cells_of: Callable[[Response], tuple[Any, ...]] = operator.attrgetter(
    *STORED_FIELDS, *(f"usage.{name}" for name in USAGE_FIELDS)
)
"""The cells of a response, as `make_response` takes them."""


def is_sound(cells: Sequence[Any]) -> bool:
    """True where each cell has a type that it may have."""
    # The samples of a request have nearly always the same types, so each combination is looked at once.
    kinds = tuple(map(type, cells))
    if kinds in _SOUND:
        return True
    if not all(not types or _fits(value, types) for (_, types), value in zip(_CELLS, cells, strict=True)):
        return False
    if len(_SOUND) < _MOST_SOUND:
        _SOUND.add(kinds)
    return True


def _refuse(cells: Sequence[Any]) -> NoReturn:
    for (name, types), value in zip(_CELLS, cells, strict=True):
        if types and not _fits(value, types):
            raise TypeError(f"{name} is {type(value).__name__}, not {types[0].__name__}")
    raise TypeError("a field is not of its type")


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def to_record(response: Response) -> dict[str, Any]:
    """The response as a JSON object; fields at their default are left out.

    So are those that a plugin gave a wrong type (they say little, and the answer would count as damaged when read).

    Raises:
        TypeError: The content or the reasoning is no text.
    """
    record = {}
    for name in STORED_FIELDS:
        value = getattr(response, name)
        if name == "content" or value != _DEFAULTS[name]:
            value = dict(value) if isinstance(value, Mapping) else value
            if name in _ANY or _fits(value, _TYPES[name]):
                record[name] = value
            elif name in ("content", "reasoning"):
                raise TypeError(f"the answer's {name} is a {type(value).__name__}, not text: it cannot be kept")
    usage = {
        name: value
        for name in USAGE_FIELDS
        if (value := getattr(response.usage, name)) is not None and _fits(value, (int, float))
    }
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
        TypeError: It is no object, or a field is not of its type.
    """
    if not isinstance(record, dict):
        raise TypeError(f"the record is {type(record).__name__}, not an object")
    get = record.get
    record["content"]
    usage = get("usage")
    if usage and not isinstance(usage, dict):
        raise TypeError(f"usage is {type(usage).__name__}, not an object")
    return make_response(
        (*map(get, STORED_FIELDS, _STORED_DEFAULTS), *(map(usage.get, USAGE_FIELDS) if usage else _NO_COUNTS)),
        seed=seed,
        prefill=prefill,
        injected=injected,
        raw=raw,
        origin=origin or _origin(record),
    )


def _origin(record: Mapping[str, Any]) -> str | None:
    origin = record.get("origin")
    if origin is not None and not isinstance(origin, str):
        raise TypeError(f"origin is {type(origin).__name__}, not str")
    return origin


def is_answer(response: Response) -> bool:
    """False for an error that was stored as an answer: a cache does not answer with it."""
    return response.finish_reason != "error"


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
