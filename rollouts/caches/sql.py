"""The cache `sql`: all answers in one SQLite file, `rollouts.sqlite`. Fast to read, for one machine.

The request is kept once and each sample in a row of its own (`sql_rows`); the raw body lies in another table and is
read when somebody asks for it. Threads that store at the same time share one transaction: the first writes what all
have brought. The first answer to a sample stays.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence

from rollouts.caches import legacy_database, sql_inventory, sql_upkeep
from rollouts.caches.sql_database import Database
from rollouts.caches.sql_rows import LARGEST, Row, insert, marks, read_row, select
from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.hookspecs import hookimpl
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Response
from rollouts.results.codec import dump_json, is_answer
from rollouts.typing import CacheOptions, Spec, StoredEntry

FILE_NAME = "rollouts.sqlite"

_CHUNK = 1024  # keys in one read
_MOST_RANGES = 200  # runs of numbers in one SELECT; three parameters each, SQLite before 3.32 takes 999
_MOST_REMEMBERED = 10_000


@hookimpl
def rollouts_register_caches() -> Sequence[Spec]:
    """Offer the cache `sql`."""
    return [Spec(name="sql", factory=make, description="one SQLite file; fastest to read, for one machine")]


def make(options: CacheOptions) -> SqlCache:
    """The cache in `options.cache_dir`.

    Raises:
        ConfigError: `cache_options` has something; this cache takes none.
    """
    if options.options:
        raise ConfigError(f"The sql cache takes no cache_options, got {', '.join(map(repr, options.options))}.")
    return SqlCache(os.fspath(options.cache_dir))


class _Batch:
    """What one call stores: done when somebody's transaction has taken it."""

    __slots__ = ("done", "error", "rows", "there")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.there: dict[SampleKey, Response] = {}
        self.done = False
        self.error: BaseException | None = None


class SqlCache:
    """Keeps answers in one SQLite file."""

    def __init__(self, cache_dir: str) -> None:
        root = os.path.abspath(os.path.expanduser(cache_dir))
        self._database = Database(os.path.join(root, FILE_NAME))
        self.location = f"sql:{os.path.realpath(self._database.path)}"
        self._waiting: list[_Batch] = []
        self._waiting_lock = threading.Lock()
        self._warned: set[str] = set()

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """Yield the stored samples, a chunk of keys at a time.

        Raises:
            ConfigError: `cache_dir` is a file.
            CacheError: The database is damaged, of a later version, or not ours.
        """
        stream = iter(keys)
        while chunk := list(itertools.islice(stream, _CHUNK)):
            asked: dict[SampleRequest, dict[int, SampleKey]] = {}
            request = None
            for key in chunk:
                if key.request is not request:
                    request = key.request
                    numbers = asked.setdefault(request, {})
                numbers[key.number] = key
            with self._database.reading() as connection:
                hits = self._load_chunk(connection, asked) if connection else []
            yield from hits

    def store(self, key: SampleKey, response: Response) -> Response | None:
        """Keep an answer; on return it is in the database. The first answer to a sample stays, and is returned.

        Raises:
            CacheError: The database cannot be written.
        """
        return self.store_many([(key, response)]).get(key)

    def store_many(self, pairs: Iterable[tuple[SampleKey, Response]]) -> dict[SampleKey, Response]:
        """Keep many answers in one transaction, together with what other threads are storing.

        Returns:
            Those that were there already.

        Raises:
            CacheError: The database cannot be written.
        """
        batch = _Batch([Row(key, response) for key, response in pairs])
        with self._waiting_lock:
            self._waiting.append(batch)
        with self._database.write_lock:
            if not batch.done:
                with self._waiting_lock:
                    batches, self._waiting = self._waiting, []
                self._write(batches)
        if batch.error is not None:
            raise CacheError(str(batch.error)) from batch.error
        return batch.there

    def entries(self) -> Iterator[StoredEntry]:
        """Yield what is stored, by fingerprint and number.

        Raises:
            CacheError: The database is damaged, of a later version, or not ours.
        """
        return sql_inventory.entries(self._database)

    def old_entries(self) -> Iterator[StoredEntry]:
        """Yield what rollouts 0.1.x left here with its `use_cache="sql"`, as samples of today where that can be told.

        Raises:
            CacheError: A file cannot be read.
        """
        return legacy_database.entries(os.path.dirname(self._database.path))

    def set_aside(self, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
        """Move rows to the table `damaged`, as `CacheUpkeep` says."""
        return sql_upkeep.set_aside(self._database, entries)

    def remove(self, entries: Iterable[StoredEntry]) -> int:
        """Delete rows, as `CacheUpkeep` says."""
        return sql_upkeep.delete(self._database, entries)

    def place(self, key: SampleKey) -> str:
        """The file and row of a sample."""
        return f"{self._database.path}, request {key.request.fingerprint[:16]}, number {key.number}"

    def close(self) -> None:
        """Close the connections; the last one to close tidies SQLite's own files away."""
        self._database.close()

    # ── Reading ──

    def _load_chunk(
        self, connection: sqlite3.Connection, asked: dict[SampleRequest, dict[int, SampleKey]]
    ) -> list[tuple[SampleKey, Response]]:
        found = self._find_requests(connection, asked)
        ranges = [(row, *span) for row, request in found.items() for span in _spans(asked[request])]
        path, hits = self._database.path, []
        for start in range(0, len(ranges), _MOST_RANGES):
            at = keys = prefill = injected = None
            for row in select(connection, ranges[start : start + _MOST_RANGES]):
                if keys is None or row[0] != at:  # rows come range by range
                    at, request = row[0], found[row[0]]
                    keys, prefill, injected = asked[request], *request.context.values()
                key = keys[row[1]]
                response = read_row(row, path, prefill, injected)
                if response is not None and is_answer(response):
                    hits.append((key, response))
                else:
                    self._tell_damaged(key, "damaged" if response is None else "an error and no answer")
        return hits

    def _find_requests(
        self, connection: sqlite3.Connection, asked: Iterable[SampleRequest]
    ) -> dict[int, SampleRequest]:
        """The row of each request that has one and whose whole document is the one asked for."""
        by_fingerprint = {request.fingerprint: request for request in asked}
        found = {}
        names = list(by_fingerprint)
        for start in range(0, len(names), _MOST_RANGES):
            some = names[start : start + _MOST_RANGES]
            query = f"SELECT id, fingerprint, document FROM requests WHERE fingerprint IN ({marks('?', some)})"
            for row, fingerprint, document in connection.execute(query, some):
                request = by_fingerprint[fingerprint]
                if document == request.canonical:
                    found[row] = request
        return found

    def _tell_damaged(self, key: SampleKey, what: str) -> None:
        name = f"{key.request.fingerprint}/{key.number}"
        if name not in self._warned:
            self._warned.add(name)
            warnings.warn(
                f"Sample {key.number} of request {key.request.fingerprint[:16]} ({key.request.model}) in "
                f"{self._database.path} is {what}: it is asked again, and the row is then kept in the table damaged.",
                RolloutsWarning,
                stacklevel=2,
            )

    # ── Writing ──

    def _write(self, batches: list[_Batch]) -> None:
        error = None
        try:
            with self._database.writing() as connection:
                rows: dict[SampleRequest, int] = {}
                for batch in batches:
                    for row in batch.rows:
                        if row.request not in rows:
                            rows[row.request] = _request_row(connection, row.request)
                        there = insert(connection, rows[row.request], row)
                        if there is not None:
                            context = row.request.context.values()
                            stands = read_row(there, self._database.path, *context)
                            if stands is not None:
                                batch.there[SampleKey(row.request, row.number)] = stands
        except BaseException as caught:
            error = caught
            if not isinstance(caught, Exception):
                raise
        finally:
            for batch in batches:
                batch.done = True
                batch.error = error


def _request_row(connection: sqlite3.Connection, request: SampleRequest) -> int:
    query = "SELECT id FROM requests WHERE fingerprint = ? AND document = ?"
    row = connection.execute(query, (request.fingerprint, request.canonical)).fetchone()
    if row is not None:
        return int(row[0])
    values = (
        request.fingerprint,
        request.model.encode("utf-8", "backslashreplace").decode(),
        request.adapter,
        request.service,
        request.parameters_digest,
        request.prompt_digest,
        request.canonical,
        dump_json(request.context),
    )
    cursor = connection.execute(f"INSERT INTO requests VALUES (NULL, {marks('?', values)})", values)
    return int(cursor.lastrowid or 0)


def _spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The runs of successive numbers, first and last of each."""
    first = last = None
    for number in sorted(n for n in numbers if abs(n) <= LARGEST):
        if first is None or last is None:
            first = number
        elif number != last + 1:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
