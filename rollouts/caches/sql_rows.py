"""One sample as a row of the table `samples`, and back. Knows nothing of requests, threads and transactions.

What every answer has lies in columns: reading them is several times as fast as parsing JSON, and they can be asked for
in SQL. What few answers have (log-probabilities, tool calls), and text that SQLite cannot hold, is JSON in `rest`.
"""

from __future__ import annotations

import itertools
import json
import operator
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from rollouts.caches.sql_database import Database
from rollouts.exceptions import CacheError
from rollouts.identity import SampleKey
from rollouts.results import Response
from rollouts.results.codec import (
    STORED_FIELDS,
    cells_of,
    dump_json,
    from_record,
    is_answer,
    is_sound,
    make_response,
    raw_body,
    to_record,
)

LARGEST = 2**63 - 1
"""The largest integer of SQLite."""

_FIELDS = (
    *("content", "reasoning", "finish_reason", "native_finish_reason", "completed_reasoning", "provider", "model"),
    *("response_id", "created", "reasoning_kind", "continued", "latency", "attempts", "received"),
)
_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cached_tokens", "cost")
_STORED = tuple(f"s.{name}" if name in _FIELDS else "NULL" for name in STORED_FIELDS)
_COLUMNS = ", ".join(("s.request", "s.number", *_STORED, *(f"s.{name}" for name in _USAGE), "s.rest", "s.has_raw"))
_CELLS = slice(2, -2)
_COMPLETED, _ATTEMPTS = STORED_FIELDS.index("completed_reasoning"), STORED_FIELDS.index("attempts")
_TRUTH = {0: False, 1: True}
_decode = json.JSONDecoder().decode


class StoredRaw:
    """Reads a stored answer's raw body again, from its row."""

    __slots__ = ("number", "path", "request")

    def __init__(self, path: str, request: int, number: int) -> None:
        self.path = path
        self.request = request
        self.number = number

    def __call__(self) -> bytes:
        """The body.

        Raises:
            CacheError: The database or the row is gone.
        """
        database = Database(self.path)
        try:
            with database.reading() as connection:
                query = "SELECT body FROM raws WHERE request = ? AND number = ?"
                row = connection and connection.execute(query, (self.request, self.number)).fetchone()
        finally:
            database.close()
        if not row:
            raise CacheError(f"The raw answer of sample {self.number} is no longer in {self.path}.")
        return bytes(row[0])


class Row:
    """One sample, ready to be written."""

    __slots__ = ("number", "raw", "request", "values")

    def __init__(self, key: SampleKey, response: Response) -> None:
        """Take the answer apart.

        Raises:
            CacheError: The number is too large for SQLite.
        """
        self.request, self.number = key
        if abs(self.number) > LARGEST:
            raise CacheError(f"Sample number {self.number} is too large for SQLite: give a seed below 2**63.")
        self.raw = raw_body(response)
        self.values = (*(_columns(response) or _columns_and_rest(response)), self.raw is not None)


_get_columns = operator.attrgetter(*_FIELDS, *(f"usage.{name}" for name in _USAGE))
_get_others = operator.attrgetter("origin", *(name for name in STORED_FIELDS if name not in _FIELDS))


def _columns(response: Response) -> tuple[Any, ...] | None:
    """The columns of an answer that needs nothing else, as nearly all do; None of one that SQLite would change."""
    values: tuple[Any, ...] = _get_columns(response)
    if any(other is not None for other in _get_others(response)) or not is_sound(cells_of(response)):
        return None
    for value in values:
        if isinstance(value, str):
            if not (value.isascii() or _is_utf8(value)):
                return None
        elif value is not None and not -LARGEST <= value <= LARGEST:  # false for NaN, which would become NULL
            return None
    return (*values, None)


def _columns_and_rest(response: Response) -> tuple[Any, ...]:
    """The columns of any answer, and as JSON what they cannot hold."""
    record = to_record(response)
    usage = record.pop("usage", {})
    values = [_take(record, name) for name in _FIELDS] + [_take(usage, name) for name in _USAGE]
    if usage:
        record["usage"] = usage
    return (*values, dump_json(record) if record else None)


def _take(record: dict[str, Any], name: str) -> Any:
    """The value for a column, taken out of the record; None, and left there, where SQLite would change it."""
    value = record.get(name)
    if isinstance(value, bool):
        fits = name == "completed_reasoning"
    elif isinstance(value, int):
        fits = abs(value) <= LARGEST
    elif isinstance(value, str):
        fits = _is_utf8(value)
    else:
        fits = isinstance(value, float) and value == value  # NaN would become NULL
    return record.pop(name) if fits else None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def read_row(row: Sequence[Any], path: str, prefill: str | None, injected: str | None) -> Response | None:
    """The response in a row that `select` gave; None for a damaged one."""
    number, rest = row[1], row[-2]
    raw = StoredRaw(path, row[0], number) if row[-1] else None
    cells = list(row[_CELLS])
    completed = cells[_COMPLETED]
    if completed is not None:
        cells[_COMPLETED] = _TRUTH.get(completed, completed)
    try:
        if rest is None:
            cells[_ATTEMPTS] = cells[_ATTEMPTS] or 1
            return make_response(cells, seed=number, prefill=prefill, injected=injected, raw=raw, origin=None)
        return from_record(_whole(cells, rest), seed=number, prefill=prefill, injected=injected, raw=raw)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _whole(cells: Sequence[Any], rest: str) -> dict[str, Any]:
    """The record of an answer that has more than columns."""
    n = len(STORED_FIELDS)
    columns = {name: value for name, value in zip(STORED_FIELDS, cells[:n], strict=True) if value is not None}
    usage = {name: value for name, value in zip(_USAGE, cells[n:], strict=True) if value is not None}
    record: dict[str, Any] = {**columns, **_decode(rest)}
    record["usage"] = {**usage, **record.get("usage", {})}
    return record


def insert(connection: sqlite3.Connection, request: int, row: Row) -> Sequence[Any] | None:
    """Put a row in, unless a sound one is there, which is returned; a damaged one goes to the table `damaged`."""
    values = (request, row.number, *row.values, time.time())
    put = f"INSERT INTO samples VALUES ({marks('?', values)}) ON CONFLICT DO NOTHING"
    if not connection.execute(put, values).rowcount:
        for there in select(connection, [(request, row.number, row.number)]):
            old = read_row(there, "", None, None)
            if old is not None and is_answer(old):
                return there
        where = "WHERE request = ? AND number = ?"
        same = (request, row.number)
        connection.execute(f"INSERT INTO damaged SELECT *, ? FROM samples {where}", (time.time(), *same))
        connection.execute(f"DELETE FROM samples {where}", same)
        connection.execute(f"DELETE FROM raws {where}", same)
        connection.execute(put, values)
    if row.raw is not None:
        connection.execute("INSERT OR REPLACE INTO raws VALUES (?, ?, ?)", (request, row.number, row.raw))
    return None


def select(connection: sqlite3.Connection, ranges: Sequence[tuple[int, int, int]]) -> list[tuple[Any, ...]]:
    """The rows of all the ranges (request, first number, last number), in one query."""
    query = (
        f"WITH asked (request, first, last) AS (VALUES {marks('(?, ?, ?)', ranges)}) SELECT {_COLUMNS} FROM asked "
        f"CROSS JOIN samples AS s ON s.request = asked.request AND s.number BETWEEN asked.first AND asked.last"
    )
    values = list(itertools.chain.from_iterable(ranges))
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
    # Some text is not UTF-8. Read again, and empty the rows that have such text: they are damaged.
    connection.text_factory = _text_or_bytes
    try:
        rows = connection.execute(query, values).fetchall()
    finally:
        connection.text_factory = str
    return [row if bytes not in map(type, row) else (*row[:2], *[None] * (len(row) - 2)) for row in rows]


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def marks(mark: str, values: Sequence[Any]) -> str:
    """Parameter marks for a query."""
    return ", ".join([mark] * len(values))
