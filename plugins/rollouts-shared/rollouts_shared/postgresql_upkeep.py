"""Moves rows of the cache `postgresql` aside, and deletes them. Knows no answers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from rollouts.exceptions import CacheError
from rollouts.typing import StoredEntry
from rollouts_shared import postgresql_tables as tables
from rollouts_shared.postgresql_database import Database
from rollouts_shared.postgresql_rows import is_kept, read_request

_CHUNK = 500  # rows moved or deleted in one transaction
_PLACE = re.compile(r"rollouts_samples, request (\d+), number (-?\d+)")

_Row = tuple[int, int]


def set_aside(database: Database, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
    """Move rows to the table `rollouts_damaged`, raw bodies too; yield each entry with its new place.

    Raises:
        CacheError: The database cannot be written.
    """
    stream = iter(entries)
    while chunk := list(itertools.islice(stream, _CHUNK)):
        wanted = {_row(entry): entry for entry in chunk}
        moved: set[_Row] = database.run("written", partial(_move, wanted), set())
        for row, entry in wanted.items():
            if row in moved:
                yield entry, f"rollouts_damaged, request {row[0]}, number {row[1]}"


def delete(database: Database, entries: Iterable[StoredEntry]) -> int:
    """Delete rows, all in one transaction, and the requests that have no others; how many were there.

    Raises:
        CacheError: The database cannot be written; then none is deleted.
    """
    rows = [_row(entry) for entry in entries]
    return database.run("written", partial(_delete, rows), 0) if rows else 0


def _move(wanted: dict[_Row, StoredEntry], connection: Connection) -> set[_Row]:
    found = connection.execute(text(tables.READ_WHOLE), _asked(list(wanted)))
    bad = []
    for request, number, record, fingerprint, document, context in found:
        sound = read_request(fingerprint, document, context) is not None and is_kept(record, number)
        if wanted[request, number].problem is None or not sound:  # else a sound one has come meanwhile
            bad.append((request, number, record))
    if not bad:
        return set()
    asked = {**_asked([(request, number) for request, number, _ in bad]), "records": [record for *_, record in bad]}
    return {(request, number) for request, number in connection.execute(text(tables.SET_THESE_ASIDE), asked)}


def _delete(rows: Sequence[_Row], connection: Connection) -> int:
    n = connection.execute(text(tables.DELETE_SAMPLES), _asked(rows)).rowcount
    connection.execute(text(tables.DELETE_UNUSED), {"requests": sorted({request for request, _ in rows})})
    return n


def _asked(rows: Sequence[_Row]) -> dict[str, list[Any]]:
    return {"requests": [request for request, _ in rows], "numbers": [number for _, number in rows]}


def _row(entry: StoredEntry) -> _Row:
    found = _PLACE.fullmatch(entry.place)
    if found is None:
        raise CacheError(f"{entry.place} is no row of a sample: nothing was changed there.")
    return int(found[1]), int(found[2])
