"""Lists the JSON directories of rollouts 0.1.x. Never writes there."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rollouts.caches.folders import UNREADABLE, read_file
from rollouts.caches.json_inventory import files
from rollouts.caches.legacy_entries import entry_of, told_mixed
from rollouts.typing import StoredEntry

_PARAMETERS = re.compile(
    r"t(?P<temperature>[^_]+)_p(?P<top_p>[^_]+)_tok(?P<max_tokens>[^_]+)(_tk(?P<top_k>[^_]+))?"
    r"(_pp(?P<presence_penalty>[^_]+))?(_fp(?P<frequency_penalty>[^_]+))?(_provider(?P<provider>[0-9a-f]{8}))?"
)
_HIDDEN = ("top_k", "presence_penalty", "frequency_penalty")
_NUMBER = re.compile(r"seed_(\d+)\.json")


def entries(root: str) -> Iterator[StoredEntry]:
    """Yield what 0.1.x stored below `root`; what is of today's format, or no sample at all, is passed over.

    Raises:
        CacheError: A folder cannot be read.
    """
    for folder, paths in itertools.groupby(files(root), os.path.dirname):
        found = (_entry(path, os.path.relpath(path, root).replace(os.sep, "/"), root) for path in paths)
        if _PARAMETERS.fullmatch(os.path.basename(os.path.dirname(os.path.dirname(folder)))):
            yield from told_mixed(entry for entry in found if entry is not None)


def _entry(path: str, place: str, root: str) -> StoredEntry | None:
    data, name = read_file(path, root), _NUMBER.fullmatch(os.path.basename(path))
    if data is None or name is None:
        return None
    if data is UNREADABLE:
        return StoredEntry(place, 0, problem="unreadable", detail="you have no right to read this file")
    try:
        old = json.loads(data)
    except (ValueError, RecursionError):
        return StoredEntry(place, len(data), problem="damaged", detail="no whole JSON")
    if not isinstance(old, dict) or "response" not in old:
        return StoredEntry(place, len(data), problem="foreign", detail="no entry of rollouts 0.1.x")
    if "format" in old:
        return None
    number = int(name[1])
    if trouble := _trouble(place, old, number):
        return StoredEntry(place, len(data), number=number, problem="other", detail=trouble)
    _, parameters, *_ = place.split("/")
    found = _PARAMETERS.fullmatch(parameters)
    hidden = {key: _value(found[key]) for key in _HIDDEN if found and found[key]}
    return entry_of(old, place, len(data), number, hidden)


def _trouble(place: str, old: Mapping[str, Any], number: int) -> str:
    """Why this entry cannot be what its place says; empty where it can."""
    model, parameters, _, digest, _ = place.split("/")
    said = old.get("model")
    if isinstance(said, str) and said.replace("/", "-").replace(":", "").replace("@", "-at-") != model:
        return f"it holds an answer of {said}"
    if old.get("seed", number) != number:
        return f"it holds sample {old.get('seed')}"
    prompt = old.get("prompt")
    text = prompt if isinstance(prompt, str) else json.dumps(prompt)
    if hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != digest:
        return "it holds another prompt than its folder's name says"
    found = _PARAMETERS.fullmatch(parameters)
    if found is None or any(str(old.get(key)) != found[key] for key in ("temperature", "top_p", "max_tokens")):
        return "it holds other settings than its folder's name says"
    provider = old.get("provider")
    short = None
    if provider is not None:
        short = hashlib.sha256(json.dumps(provider, sort_keys=True).encode()).hexdigest()[:8]
    return "" if short == found["provider"] else "it holds another provider than its folder's name says"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
