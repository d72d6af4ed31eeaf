"""The logs of starts that processes share, in SQLite, Redis or PostgreSQL, over pyrate-limiter's buckets.

A ledger answers one question: may so many rows be added to a log whose last seconds may hold so many? It looks and adds
in one step that no other process can enter, and reads one clock for all: SQLite's processes share a machine, whose
steady clock they are given; with Redis and PostgreSQL it is the server's. Where that clock is set back, rows of the
future become rows of now: everybody then waits a little longer, and nobody for hours.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from pyrate_limiter import PostgresBucket, Rate, RateItem, RedisBucket, SQLiteBucket
from pyrate_limiter.buckets.sqlite_bucket import Queries

from rollouts.exceptions import ConfigError
from rollouts.typing import Clock
from rollouts_shared.addresses import Address

HORIZON = 130.0
"""Seconds for which rows are kept, at least: longer than any of our windows."""

SOON = 0.02
"""Seconds to wait where the bucket names no time."""

_PATIENCE = 5.0  # seconds that a connection, a lock or an answer may take
_START = 10**12  # a time by which Redis' script is asked; it reads the clock itself


class Ledger(ABC):
    """One storage. Used by one thread at a time."""

    errors: tuple[type[Exception], ...]
    """What its driver raises when the storage cannot be reached."""

    @abstractmethod
    def take(self, log: str, limit: int, seconds: float, rows: int) -> float:
        """Add `rows` to `log` if the last `seconds` then hold `limit` at most.

        Returns:
            0.0 when they were added; else the seconds after which they may fit.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the next `take` opens it again."""


def open_ledger(address: Address, clock: Clock) -> Ledger:
    """The ledger at `address`; opens and connects to nothing yet.

    Raises:
        ConfigError: No ledger has this kind of URL.
    """
    if address.scheme == "sqlite":
        return SqliteLedger(address, clock)
    if address.scheme in ("redis", "rediss", "unix"):
        return RedisLedger(address)
    if address.scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return PostgresLedger(address)
    raise ConfigError(
        "limiter='shared' knows sqlite:///…, redis://…, rediss://… and postgresql://…, not "
        f"{address.scheme or 'what was given'}:…"
    )


def _rate(limit: int, seconds: float) -> Rate:
    return Rate(limit, max(round(seconds * 1000), 1))


def _wait(decision: Any) -> float:
    if decision.allowed:
        return 0.0
    return max((decision.retry_after_ms or 0) / 1000, SOON)


class SqliteLedger(Ledger):
    """A file, for the processes of one machine."""

    errors = (sqlite3.Error, OSError)

    def __init__(self, address: Address, clock: Clock) -> None:
        """Use the file of `sqlite:///relative/path` or `sqlite:////absolute/path`, and the time of `clock`.

        Raises:
            ConfigError: The URL has a host, or no path.
        """
        netloc, _, path = address.url.partition("://")[2].partition("/")
        if netloc or not path:
            raise ConfigError("Write sqlite:///relative/path.db or sqlite:////absolute/path.db: there is no host.")
        self._path = os.path.abspath(os.path.expanduser(path))
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._swept: dict[str, float] = {}

    def take(self, log: str, limit: int, seconds: float, rows: int) -> float:
        """Look and add in one transaction."""
        connection = self._open()
        table = f"rollouts_{log}"
        with _transaction(connection):
            connection.execute(Queries.CREATE_BUCKET_TABLE.format(table=table))
            connection.execute(
                Queries.CREATE_INDEX_ON_TIMESTAMP.format(index_name=f"{table}_by_time", table_name=table)
            )
            now = round(self._clock() * 1000)
            connection.execute(
                f"UPDATE '{table}' SET item_timestamp = :now WHERE item_timestamp > :now", {"now": now}
            )  # the machine was started anew
            bucket = SQLiteBucket([_rate(limit, seconds)], connection, table)
            wait = _wait(bucket.put_decision(RateItem("start", now, rows)))
        kept = max(seconds, HORIZON)
        if now / 1000 - self._swept.get(log, 0.0) > kept / 2:
            with _transaction(connection):
                SQLiteBucket([_rate(1, kept)], connection, table).leak(now)
            self._swept[log] = now / 1000
        return wait

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # pyrate-limiter's own counts first and begins to write after: two processes would both find room.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        if connection.in_transaction:  # the bucket commits what it adds
            connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


# As pyrate-limiter's own script, with three differences: it reads Redis' clock (machines' clocks differ, and of two
# that ask at once the slower would not see the other's rows), it lets the key expire, and it tells times relative to
# the one that it was asked with.
_SCRIPT = """
local bucket = KEYS[1]
local asked = tonumber(ARGV[1])
local rows = tonumber(ARGV[2])
local name = ARGV[3]
local interval = asked - tonumber(ARGV[5])
local limit = tonumber(ARGV[6])
local rank = tonumber(ARGV[7])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kept = math.max(interval, HORIZON)

for _, row in ipairs(redis.call('ZRANGEBYSCORE', bucket, '(' .. now, '+inf')) do
    redis.call('ZADD', bucket, now, row)
end
redis.call('ZREMRANGEBYSCORE', bucket, '-inf', '(' .. (now - kept))
if limit - redis.call('ZCOUNT', bucket, now - interval, '+inf') < rows then
    local blocking = redis.call('ZRANGE', bucket, -1 - rank, -1 - rank, 'WITHSCORES')
    if rank < 0 or not blocking[2] then
        return {0, -1}
    end
    return {0, tonumber(blocking[2]) - now + asked}
end
for i = 1, rows do
    redis.call('ZADD', bucket, now, name .. i)
end
redis.call('PEXPIRE', bucket, kept + 1000)
return {-1, -1}
""".replace("HORIZON", str(round(HORIZON * 1000)))


class RedisLedger(Ledger):
    """A Redis server."""

    def __init__(self, address: Address) -> None:
        """Use the server and database of `address`."""
        from redis import RedisError

        self.errors = (RedisError, OSError)
        self._url = address.url
        self._redis: Any = None
        self._script = ""

    def take(self, log: str, limit: int, seconds: float, rows: int) -> float:
        """Look and add in one script."""
        if self._redis is None:
            self._open()
        bucket = RedisBucket([_rate(limit, seconds)], self._redis, f"rollouts:{log}", self._script)
        return _wait(bucket.put_decision(RateItem("start", _START, rows)))

    def close(self) -> None:
        """Close the connection."""
        client, self._redis = self._redis, None
        if client is not None:
            client.close()

    def _open(self) -> None:
        from redis import Redis

        client = Redis.from_url(self._url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
        try:
            self._script = str(client.script_load(_SCRIPT))
        except BaseException:
            client.close()
            raise
        self._redis = client


class _OneConnection:
    """Stands for a pool of psycopg, and lends the one connection inside the transaction that is under way."""

    closed = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        yield self._connection


class PostgresLedger(Ledger):
    """A PostgreSQL server: one small table for each log."""

    def __init__(self, address: Address) -> None:
        """Use the server and database of `address`."""
        from psycopg import Error

        self.errors = (Error, OSError)
        self._url = address.url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._connection: Any = None
        self._made: set[str] = set()
        self._swept: dict[str, float] = {}

    def take(self, log: str, limit: int, seconds: float, rows: int) -> float:
        """Look and add under a lock of the log's own, in one transaction."""
        connection = self._open()
        with connection.transaction():
            # pyrate-limiter's own lock fails at once where another has it. With this one before it, nobody has.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_number(log),))
            bucket = self._bucket(log, _rate(limit, seconds))
            now = self._now()
            self._connection.execute(
                f"UPDATE ratelimit___rollouts_{log} SET item_timestamp = to_timestamp(%(now)s) "
                "WHERE item_timestamp > to_timestamp(%(now)s)",
                {"now": now / 1000},
            )
            decision: Any = bucket.put_decision(RateItem("start", now, rows))
            kept = max(seconds, HORIZON)
            if decision.allowed and now / 1000 - self._swept.get(log, 0.0) > kept / 2:
                self._bucket(log, _rate(1, kept)).leak(now)
                self._swept[log] = now / 1000
        return _wait(decision)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> Any:
        if self._connection is None:
            import psycopg

            connection = psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,  # poolers between us and the server forget prepared statements
                connect_timeout=round(_PATIENCE),
                application_name="rollouts-shared",
            )
            try:
                milliseconds = round(_PATIENCE * 1000)
                # The bucket's column has no time zone: rows of summer time would be an hour off.
                connection.execute("SET timezone TO 'UTC'")
                connection.execute(f"SET lock_timeout TO {milliseconds}")
                connection.execute(f"SET statement_timeout TO {milliseconds}")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._made.clear()
        return self._connection

    def _bucket(self, log: str, rate: Rate) -> PostgresBucket:
        pool: Any = _OneConnection(self._connection)
        if log in self._made:
            return _MadeBucket(pool, f"rollouts_{log}", [rate])
        bucket = PostgresBucket(pool, f"rollouts_{log}", [rate])
        self._made.add(log)
        return bucket

    def _now(self) -> int:
        row = self._connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetchone()
        return int(row[0])


class _MadeBucket(PostgresBucket):
    """A bucket whose table is there."""

    def _create_table(self) -> None:
        """Do nothing."""


def _lock_number(log: str) -> int:
    return int.from_bytes(hashlib.sha256(f"rollouts-shared {log}".encode()).digest()[:8], "big", signed=True)
