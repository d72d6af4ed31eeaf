"""One sample as a row of the table `samples`, and back. Knows nothing of requests, threads and transactions.

What every answer has lies in columns: reading them is several times as fast as parsing JSON, and they can be asked for
in SQL. What few answers have (log-probabilities, tool calls), and text that SQLite cannot hold, is JSON in `rest`.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from rollouts.caches.sql_database import Database
from rollouts.exceptions import CacheError
from rollouts.identity import SampleKey
from rollouts.results import Response
from rollouts.results.codec import (
    NO_USAGE,
    ResponseDraft,
    dump_json,
    finished,
    from_record,
    raw_body,
    to_record,
    usage_of,
)

LARGEST = 2**63 - 1
"""The largest integer of SQLite."""

_FIELDS = (
    *("content", "reasoning", "finish_reason", "native_finish_reason", "completed_reasoning", "provider", "model"),
    *("response_id", "created", "reasoning_kind", "continued", "latency", "attempts", "received"),
)
_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cached_tokens", "cost")
_COLUMNS = ", ".join(f"s.{name}" for name in ("request", "number", *_FIELDS, *_USAGE, "rest", "has_raw"))
_NO_COUNTS = (None,) * len(_USAGE)
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
        record = to_record(response)
        usage = record.pop("usage", {})
        values = [_take(record, name) for name in _FIELDS] + [_take(usage, name) for name in _USAGE]
        if usage:
            record["usage"] = usage
        self.raw = raw_body(response)
        self.values = (*values, dump_json(record) if record else None, self.raw is not None)


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
    # fmt: off
    (
        request, number, content, reasoning, finish_reason, native_finish_reason, completed, provider, model,
        response_id, created, reasoning_kind, continued, latency, attempts, received, prompt_tokens,
        completion_tokens, total_tokens, reasoning_tokens, cached_tokens, cost, rest, has_raw,
    ) = row
    # fmt: on
    raw = StoredRaw(path, request, number) if has_raw else None
    if rest is not None:
        return _read_whole(row, raw, prefill, injected)
    if content.__class__ is not str or (reasoning is not None and reasoning.__class__ is not str):
        return None
    counts = (prompt_tokens, completion_tokens, total_tokens, reasoning_tokens, cached_tokens, cost)
    usage = NO_USAGE if counts == _NO_COUNTS else usage_of(*counts)
    return finished(
        ResponseDraft(
            content=content,
            reasoning=reasoning,
            finish_reason=finish_reason,
            native_finish_reason=native_finish_reason,
            completed_reasoning=None if completed is None else completed == 1,
            provider=provider,
            model=model,
            response_id=response_id,
            created=created,
            usage=usage,
            reasoning_kind=reasoning_kind,
            continued=continued,
            latency=latency,
            attempts=attempts or 1,
            received=received,
            prefill=prefill,
            injected=injected,
            seed=number,
            cached=True,
            raw_source=raw,
        )
    )


def _read_whole(
    row: Sequence[Any], raw: StoredRaw | None, prefill: str | None, injected: str | None
) -> Response | None:
    """The same for a row whose answer has more than columns."""
    values = row[2:]
    columns = {name: value for name, value in zip(_FIELDS, values, strict=False) if value is not None}
    usage = {name: value for name, value in zip(_USAGE, values[len(_FIELDS) :], strict=False) if value is not None}
    if "completed_reasoning" in columns:
        columns["completed_reasoning"] = columns["completed_reasoning"] == 1
    try:
        record = {**columns, **_decode(row[-2])}
        record["usage"] = {**usage, **record.get("usage", {})}
        return from_record(record, seed=row[1], raw=raw, prefill=prefill, injected=injected)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def insert(connection: sqlite3.Connection, request: int, row: Row) -> None:
    """Put a row in, unless a sound one is there; a damaged one goes to the table `damaged`."""
    values = (request, row.number, *row.values, time.time())
    put = f"INSERT INTO samples VALUES ({marks('?', values)}) ON CONFLICT DO NOTHING"
    if not connection.execute(put, values).rowcount:
        if any(read_row(old, "", None, None) for old in select(connection, [(request, row.number, row.number)])):
            return
        where = "WHERE request = ? AND number = ?"
        same = (request, row.number)
        connection.execute(f"INSERT INTO damaged SELECT *, ? FROM samples {where}", (time.time(), *same))
        connection.execute(f"DELETE FROM samples {where}", same)
        connection.execute(f"DELETE FROM raws {where}", same)
        connection.execute(put, values)
    if row.raw is not None:
        connection.execute("INSERT OR REPLACE INTO raws VALUES (?, ?, ?)", (request, row.number, row.raw))


def select(connection: sqlite3.Connection, ranges: Sequence[tuple[int, int, int]]) -> list[Any]:
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
