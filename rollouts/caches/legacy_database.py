"""Lists the SQLite files of rollouts 0.1.x, one for each model. Never writes there.

Its rows keep `top_k` and the penalties in a hash alone; they are found again by trying the values that people use.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pathlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from rollouts.caches.legacy_entries import entry_of, told_mixed
from rollouts.exceptions import CacheError
from rollouts.typing import StoredEntry

_QUERY = """
SELECT rowid, prompt_hash, model, params_hash, seed, CAST(response_json AS BLOB) FROM responses
ORDER BY model, params_hash, prompt_hash, seed
"""
_STATED = ("temperature", "top_p", "max_tokens", "provider")
_HIDDEN = ("presence_penalty", "frequency_penalty", "top_k")
_UNSET: tuple[Any, ...] = (0.0, None, 0)  # a client of 0.1.x that was told nothing sent 0.0
_PENALTIES: tuple[Any, ...] = (*_UNSET, *(sign * n / 10 for n in range(1, 21) for sign in (1, -1)), 1, 2, -1, -2)
_USUAL: tuple[Any, ...] = (None, 20, 40, 50, 64, 100)


def entries(root: str) -> Iterator[StoredEntry]:
    """Yield the rows of every file `*.db` in `root`.

    Raises:
        CacheError: The folder or a file cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(root) if name.endswith(".db"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CacheError(f"The folder {root} cannot be read: {error.strerror}.") from error
    for name in names:
        yield from _of_file(os.path.join(root, name), name)


def _of_file(path: str, name: str) -> Iterator[StoredEntry]:
    mode = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"
    try:
        connection = sqlite3.connect(f"{pathlib.Path(path).absolute().as_uri()}?{mode}", uri=True)
    except sqlite3.Error as error:
        raise CacheError(f"{path} cannot be read: {error}.") from error
    settings: dict[str, dict[str, Any] | None] = {}
    try:
        for _, rows in itertools.groupby(connection.execute(_QUERY), lambda row: row[1:4]):
            yield from told_mixed(_entry(row, f"{name}, row {row[0]}", settings) for row in rows)
    except sqlite3.DatabaseError as error:
        yield StoredEntry(
            name, os.path.getsize(path), problem="foreign", detail=f"not to be read as a cache of 0.1.x: {error}"
        )
    finally:
        connection.close()


def _entry(row: Any, place: str, settings: dict[str, dict[str, Any] | None]) -> StoredEntry:
    _, prompt_hash, model, params_hash, seed, data = row
    size = len(data or b"")
    try:
        old = json.loads(data)
        prompt = old["prompt"]
        text = prompt if isinstance(prompt, str) else json.dumps(prompt)
        whole = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    except (ValueError, TypeError, KeyError, RecursionError):
        return StoredEntry(place, size, problem="damaged", detail="no whole JSON entry")
    if (whole, old.get("model"), old.get("seed", seed)) != (prompt_hash, model, seed) or not isinstance(seed, int):
        return StoredEntry(place, size, problem="other", detail="it holds another sample than its row says")
    stated = {name: old.get(name) for name in _STATED if old.get(name) is not None}
    known = f"{params_hash} {json.dumps(stated, sort_keys=True)}"
    if known not in settings:
        settings[known] = _hidden(stated, params_hash)
    hidden = settings[known]
    if hidden is None:
        return StoredEntry(
            place,
            size,
            number=seed,
            problem="0.1.x",
            detail="its top_k and penalties are kept as a hash alone, and no usual value of theirs fits it",
        )
    return entry_of(old, place, size, seed, hidden)


def _hidden(stated: Mapping[str, Any], params_hash: str) -> dict[str, Any] | None:
    """`top_k` and the penalties that give this hash; None where none do."""
    unset = itertools.product(_UNSET, _UNSET, (None, *range(1, 1001)))
    for values in itertools.chain(unset, itertools.product(_PENALTIES, _PENALTIES, _USUAL)):
        given = {name: value for name, value in zip(_HIDDEN, values, strict=True) if value is not None}
        text = json.dumps({**stated, **given}, sort_keys=True)
        if hashlib.sha256(text.encode()).hexdigest()[:16] == params_hash:
            return {name: value for name, value in given.items() if value != 0}
    return None
