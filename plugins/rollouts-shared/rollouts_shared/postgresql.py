"""The cache `postgresql`: one database for many machines, over SQLAlchemy.

Reading is one SELECT a chunk and writes nothing; storing is one transaction for all that is handed over. The first
answer to a sample stays. The tables come with the first answer that is stored. The password is never shown.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Response
from rollouts.results.codec import dump_json, is_answer, raw_body, to_record
from rollouts.typing import CacheOptions, StoredEntry
from rollouts_shared import postgresql_tables as tables
from rollouts_shared import postgresql_upkeep as upkeep
from rollouts_shared.addresses import Address, url_of
from rollouts_shared.postgresql_database import Database
from rollouts_shared.postgresql_rows import is_kept, read_record, read_request

_CHUNK = 1024  # keys in one read
_LISTED = 500  # samples read at once when all are listed
_LARGEST = 2**63 - 1
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def make(options: CacheOptions) -> PostgresqlCache:
    """The cache in the database at `cache_options["url"]`; `cache_dir` plays no part.

    Raises:
        ConfigError: No `url`, one that is not PostgreSQL's, or an unknown option.
    """
    example = "postgresql://user@host/database"
    address = url_of(options.options, setting="cache_options", others=(), example=example)
    if address.scheme not in _SCHEMES:
        raise ConfigError(
            f"use_cache='postgresql' needs a url like {example}, not {address.scheme or 'what was given'}:…"
        )
    return PostgresqlCache(address)


class PostgresqlCache:
    """Keeps answers in a PostgreSQL database. Used by many threads, processes and machines at once."""

    def __init__(self, address: Address) -> None:
        """Use the database at `address`; connects at the first load or store."""
        self._address = address
        self._database = Database(address)
        self.location = f"postgresql:{address.identity.partition('://')[2]}"
        self._warned: set[str] = set()

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """Yield the stored samples, a chunk of keys at a time.

        Raises:
            CacheError: The database cannot be read, or is of a later version.
        """
        stream = iter(keys)
        while chunk := list(itertools.islice(stream, _CHUNK)):
            hits: list[tuple[SampleKey, Response]] = self._database.run("read", partial(self._load, chunk), [])
            yield from hits

    def store(self, key: SampleKey, response: Response) -> Response | None:
        """Keep an answer; on return it is committed. The first answer to a sample stays, and is returned.

        Raises:
            CacheError: The database cannot be written.
        """
        return self.store_many([(key, response)]).get(key)

    def store_many(self, pairs: Iterable[tuple[SampleKey, Response]]) -> dict[SampleKey, Response]:
        """Keep many answers in one transaction; returns those that were there already.

        Raises:
            CacheError: The database cannot be written, or a number is too large for it.
        """
        # In one order everywhere: two transactions that insert the same samples crosswise would wait for each other.
        rows = sorted((_Row(key, response) for key, response in pairs), key=lambda row: row.order)
        if not rows:
            return {}
        there: list[SampleKey] = self._database.run("written", lambda connection: self._store(connection, rows), [])
        nothing: list[tuple[SampleKey, Response]] = []
        return dict(self._database.run("read", partial(self._load, there), nothing)) if there else {}

    def entries(self) -> Iterator[StoredEntry]:
        """Yield what is stored, by fingerprint and number.

        Raises:
            CacheError: The database cannot be read, or is of a later version.
        """
        listed: list[Any] = self._database.run("read", lambda c: list(c.execute(text(tables.LIST_REQUESTS))), [])
        for row, fingerprint, document, context in listed:
            request = read_request(fingerprint, document, context)
            after = -(2**63)
            while samples := self._list(row, after):
                for number, record, has_raw, size in samples:
                    yield self._entry(row, request, number, record, has_raw, size)
                after = samples[-1][0]

    def set_aside(self, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
        """Move entries that `entries()` gave to the table `rollouts_damaged`; yield each with its new place.

        Raises:
            CacheError: The database cannot be written.
        """
        return upkeep.set_aside(self._database, entries)

    def remove(self, entries: Iterable[StoredEntry]) -> int:
        """Delete entries that `entries()` gave; how many were there.

        Raises:
            CacheError: The database cannot be written; then none is deleted.
        """
        return upkeep.delete(self._database, entries)

    def place(self, key: SampleKey) -> str:
        """The row of a sample."""
        return f"{self._address.shown}, request {key.request.fingerprint[:16]}, number {key.number}"

    def close(self) -> None:
        """Close the connections; a later use opens them again."""
        self._database.close()

    def __repr__(self) -> str:
        return f"PostgresqlCache({self._address.shown})"

    # ── Reading ──

    def _load(self, chunk: Sequence[SampleKey], connection: Connection) -> list[tuple[SampleKey, Response]]:
        keys = [key for key in chunk if abs(key.number) <= _LARGEST]
        fingerprints = [key.request.fingerprint for key in keys]
        asked = {
            "fingerprints": fingerprints,
            "numbers": [key.number for key in keys],
            "distinct": [*set(fingerprints)],
        }
        hits = []
        for at, row, record, has_raw in connection.execute(text(tables.LOAD), asked):
            key = keys[at - 1]
            raw = _StoredRaw(self, row, key.number) if has_raw else None
            response = read_record(record, key.number, raw, key.request.context)
            if response is not None and is_answer(response):
                hits.append((key, response))
            else:
                self._tell_damaged(key, "damaged" if response is None else "an error and no answer")
        return hits

    def read_raw(self, row: int, number: int) -> bytes:
        """The raw body of a stored sample.

        Raises:
            CacheError: It is gone, or the database cannot be read.
        """
        closed = self._database.closed
        asked = {"request": row, "number": number}
        body = self._database.run("read", lambda c: c.execute(text(tables.READ_RAW), asked).scalar(), None)
        if closed:
            self.close()  # nobody else would
        if body is None:
            raise CacheError(f"The raw answer of sample {number} is no longer in {self._address.shown}.")
        return bytes(body)

    def _tell_damaged(self, key: SampleKey, what: str) -> None:
        name = f"{key.request.fingerprint}/{key.number}"
        if name not in self._warned:
            self._warned.add(name)
            warnings.warn(
                f"Sample {key.number} of request {key.request.fingerprint[:16]} ({key.request.model}) in "
                f"{self._address.shown} is {what}: it is asked again, and the row is then kept in rollouts_damaged.",
                RolloutsWarning,
                stacklevel=2,
            )

    def _list(self, row: int, after: int) -> list[Any]:
        asked = {"request": row, "after": after, "most": _LISTED}
        return self._database.run("read", lambda c: list(c.execute(text(tables.LIST_SAMPLES), asked)), [])

    def _entry(
        self, row: int, request: SampleRequest | None, number: int, record: str, has_raw: bool, size: int
    ) -> StoredEntry:
        place = f"rollouts_samples, request {row}, number {number}"
        if request is None:
            return StoredEntry(place, size, number=number, problem="foreign")
        raw = _StoredRaw(self, row, number) if has_raw else None
        response = read_record(record, number, raw, request.context)
        if response is None:
            return StoredEntry(place, size, request, number, problem="damaged")
        return StoredEntry(place, size, request, number, response)

    # ── Writing ──

    def _store(self, connection: Connection, rows: Sequence[_Row]) -> list[SampleKey]:
        """Insert what is not there; returns the samples whose answers stay."""
        numbers = self._request_rows(connection, {row.request: None for row in rows})
        waiting = {(numbers[row.request.fingerprint], row.number): row for row in reversed(rows)}
        added = _insert(connection, waiting)
        there = [place for place in waiting if place not in added]
        if not there:
            return []
        asked = {"requests": [request for request, _ in there], "numbers": [number for _, number in there]}
        found = connection.execute(text(tables.READ_THESE), asked).all()
        damaged = [(request, number) for request, number, record in found if not is_kept(record, number)]
        if damaged:
            bad = {"requests": [request for request, _ in damaged], "numbers": [number for _, number in damaged]}
            connection.execute(text(tables.SET_ASIDE), bad)
            _insert(connection, {place: waiting[place] for place in damaged})
        stay = [waiting[place] for place in there if place not in set(damaged)]
        return [SampleKey(row.request, row.number) for row in stay]

    def _request_rows(self, connection: Connection, requests: Iterable[SampleRequest]) -> dict[str, int]:
        """The row of each request, which is made where there is none."""
        by_fingerprint = {request.fingerprint: request for request in requests}
        query, asked = text(tables.FIND_REQUESTS), {"fingerprints": sorted(by_fingerprint)}
        found = {fingerprint: row for fingerprint, row in connection.execute(query, asked)}
        missing = [by_fingerprint[fingerprint] for fingerprint in sorted(by_fingerprint) if fingerprint not in found]
        if missing:
            values = {
                "fingerprints": [request.fingerprint for request in missing],
                "adapters": [_text(request.adapter) for request in missing],
                "services": [_text(request.service) for request in missing],
                "models": [_text(request.model) for request in missing],
                "documents": [request.canonical for request in missing],
                "contexts": [dump_json(request.context) for request in missing],
            }
            connection.execute(text(tables.ADD_REQUESTS), values)
            found.update((fingerprint, row) for fingerprint, row in connection.execute(query, asked))
        return found


class _StoredRaw:
    """Reads a stored answer's raw body again. Pickled, it is the body: no pickle holds the way to a database."""

    __slots__ = ("_cache", "_number", "_row")

    def __init__(self, cache: PostgresqlCache, row: int, number: int) -> None:
        self._cache = cache
        self._row = row
        self._number = number

    def __call__(self) -> bytes:
        return self._cache.read_raw(self._row, self._number)

    def __reduce__(self) -> Any:
        return bytes, (self(),)


class _Row:
    """One sample, ready to be written."""

    __slots__ = ("number", "raw", "record", "request")

    def __init__(self, key: SampleKey, response: Response) -> None:
        """Take the answer apart.

        Raises:
            CacheError: The number is too large.
        """
        self.request, self.number = key
        if abs(self.number) > _LARGEST:
            raise CacheError(f"Sample number {self.number} is too large for PostgreSQL: give a seed below 2**63.")
        self.record = dump_json(to_record(response))
        self.raw = raw_body(response)

    @property
    def order(self) -> tuple[str, int]:
        return self.request.fingerprint, self.number


def _insert(connection: Connection, rows: dict[tuple[int, int], _Row]) -> set[tuple[int, int]]:
    values = {
        "requests": [request for request, _ in rows],
        "numbers": [number for _, number in rows],
        "records": [row.record for row in rows.values()],
        "raws": [row.raw for row in rows.values()],
    }
    return {(request, number) for request, number in connection.execute(text(tables.ADD_SAMPLES), values)}


def _text(value: str) -> str:
    """`value` as PostgreSQL can hold it; the exact one is in the document."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
