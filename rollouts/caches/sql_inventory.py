"""Lists the samples of the cache `sql`, request by request. Never writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from rollouts.caches.inventory import Reader
from rollouts.caches.sql_database import Database
from rollouts.caches.sql_rows import LARGEST, read_row, select
from rollouts.identity import SampleRequest
from rollouts.typing import StoredEntry

_CHUNK = 500  # samples read at once

# Cast: a damaged text need not be UTF-8.
_REQUESTS = """
SELECT fingerprint, id, CAST(document AS BLOB), CAST(context AS BLOB) FROM requests
WHERE (fingerprint, id) > (?, ?) ORDER BY fingerprint, id LIMIT ?
"""
_SIZES = """
SELECT s.number, length(CAST(coalesce(s.content, '') AS BLOB)) + length(CAST(coalesce(s.reasoning, '') AS BLOB))
    + length(CAST(coalesce(s.rest, '') AS BLOB)) + coalesce(length(r.body), 0)
FROM samples AS s LEFT JOIN raws AS r ON r.request = s.request AND r.number = s.number
WHERE s.request = ? AND s.number BETWEEN ? AND ? ORDER BY s.number LIMIT ?
"""


def entries(database: Database) -> Iterator[StoredEntry]:
    """Yield every row of the samples, by fingerprint and number.

    Raises:
        CacheError: The database cannot be read.
    """
    with database.reading() as connection:
        if connection is None:
            return
        reader = Reader()
        after: tuple[str, int] = ("", -1)
        while some := connection.execute(_REQUESTS, (*after, _CHUNK)).fetchall():
            for fingerprint, row, document, context in some:
                after = (fingerprint, row)
                yield from _of_request(connection, row, _request(reader, document, context), database.path)


def sample_at(connection: sqlite3.Connection, path: str, row: int, number: int) -> StoredEntry | None:
    """One sample; None where there is no such row."""
    found = connection.execute(
        "SELECT CAST(document AS BLOB), CAST(context AS BLOB) FROM requests WHERE id = ?", (row,)
    )
    request = _request(Reader(), *(found.fetchone() or (b"", b"")))
    return next(_of_request(connection, row, request, path, number, number), None)


def _request(reader: Reader, document: bytes, context: bytes) -> SampleRequest | None:
    try:
        request = reader.request(json.loads(document), json.loads(context))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return request if request is not None and request.canonical.encode() == document else None


def _of_request(
    connection: sqlite3.Connection,
    row: int,
    request: SampleRequest | None,
    path: str,
    first: int = -LARGEST,
    end: int = LARGEST,
) -> Iterator[StoredEntry]:
    context = {"prefill": None, "injected": None} if request is None else request.context
    while first <= end:
        sizes = dict(connection.execute(_SIZES, (row, first, end, _CHUNK)).fetchall())
        if not sizes:
            return
        last = max(sizes)
        rows = {found[1]: found for found in select(connection, [(row, first, last)])}
        for number, size in sizes.items():
            place = f"samples, request {row}, number {number}"
            response = read_row(rows[number], path, *context.values()) if number in rows else None
            if request is None:
                yield StoredEntry(place, size, number=number, problem="foreign")
            elif response is None:
                yield StoredEntry(place, size, request, number, problem="damaged")
            else:
                yield StoredEntry(place, size, request, number, response)
        first = last + 1
