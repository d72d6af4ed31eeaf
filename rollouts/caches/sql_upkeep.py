"""Moves rows of the cache `sql` aside, and deletes them. Knows no answers."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator

from rollouts.caches.sql_database import Database
from rollouts.caches.sql_inventory import sample_at
from rollouts.exceptions import CacheError
from rollouts.typing import StoredEntry

ASIDE = "damaged"
"""The table of what is no longer a sample."""

_PLACE = re.compile(r"samples, request (\d+), number (-?\d+)")
_WHERE = "WHERE request = ? AND number = ?"
_DELETE_UNUSED = f"""
DELETE FROM requests WHERE id = :id AND NOT EXISTS (SELECT 1 FROM samples WHERE request = :id)
AND NOT EXISTS (SELECT 1 FROM {ASIDE} WHERE request = :id)
"""


def set_aside(database: Database, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
    """Move rows to the table `damaged`, raw bodies to `damaged_raws`; yield each with its new place.

    Raises:
        CacheError: The database cannot be written.
    """
    for entry in entries:
        row = _row(entry)
        with database.write_lock, database.writing() as connection:
            now = sample_at(connection, database.path, *row)
            if now is None or (entry.problem is not None and now.problem is None):
                continue
            moved = time.time()
            connection.execute(
                "CREATE TABLE IF NOT EXISTS damaged_raws (request INTEGER, number INTEGER, body BLOB, moved REAL)"
            )
            connection.execute(f"INSERT INTO {ASIDE} SELECT *, ? FROM samples {_WHERE}", (moved, *row))
            connection.execute(f"INSERT INTO damaged_raws SELECT *, ? FROM raws {_WHERE}", (moved, *row))
            _delete(connection, row)
        yield entry, f"table {ASIDE}, request {row[0]}, number {row[1]}"


def delete(database: Database, entries: Iterable[StoredEntry]) -> int:
    """Delete rows, all in one transaction; how many there were.

    Raises:
        CacheError: The database cannot be written; then none is deleted.
    """
    rows = [_row(entry) for entry in entries]
    if not rows:
        return 0
    with database.write_lock, database.writing() as connection:
        n = sum(_delete(connection, row) for row in rows)
        for request in {request for request, _ in rows}:
            connection.execute(_DELETE_UNUSED, {"id": request})
        return n


def _delete(connection: sqlite3.Connection, row: tuple[int, int]) -> int:
    connection.execute(f"DELETE FROM raws {_WHERE}", row)
    return connection.execute(f"DELETE FROM samples {_WHERE}", row).rowcount


def _row(entry: StoredEntry) -> tuple[int, int]:
    found = _PLACE.fullmatch(entry.place)
    if found is None:
        raise CacheError(f"{entry.place} is no row of a sample: nothing was changed there.")
    return int(found[1]), int(found[2])
