"""The SQLite file of the cache `sql`: opening, checking, lending connections. Knows nothing of requests and responses.

Reading opens what exists and makes nothing. A database of a later version, of another program, or a damaged one is a
`CacheError` and stays as it is: all that was paid for may lie in it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator

from rollouts.caches import folders, sqlite_files
from rollouts.caches.folders import check_directory
from rollouts.caches.sqlite_files import PATIENCE, cause, identity, options_to_read, uri, use_wal, warn_of_network
from rollouts.exceptions import CacheError

SCHEMA_VERSION = 2
"""`PRAGMA user_version` (1 was the per-model files of rollouts 0.1.x, which set none)."""

_APPLICATION_ID = 0x524F4C4C  # "ROLL", so that `file` and a careful program can tell whose this is
_PAGE_SIZE = 8192  # a sample of 3 KB lies in one page

_SCHEMA = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    adapter TEXT NOT NULL,
    service TEXT NOT NULL,
    parameters_digest TEXT NOT NULL,
    prompt_digest TEXT NOT NULL,
    document TEXT NOT NULL,
    context TEXT NOT NULL
);
CREATE INDEX requests_by_fingerprint ON requests (fingerprint);
CREATE TABLE samples (
    request INTEGER NOT NULL REFERENCES requests (id),
    number INTEGER NOT NULL,
    content TEXT,
    reasoning TEXT,
    finish_reason, native_finish_reason, completed_reasoning, provider, model, response_id, created, reasoning_kind,
    continued, latency, attempts, received,
    prompt_tokens, completion_tokens, total_tokens, reasoning_tokens, cached_tokens, cost,
    rest TEXT,
    has_raw INTEGER NOT NULL,
    stored REAL NOT NULL,
    UNIQUE (request, number)
);
CREATE TABLE raws (
    request INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (request, number)
);
CREATE TABLE damaged AS SELECT *, stored AS moved FROM samples WHERE 0;
"""

# Connections of the parent process after a fork. SQLite forbids to use or close them in the child.
_LEFT_TO_PARENT: list[sqlite3.Connection] = []


class Database:
    """One SQLite file. Used by many threads at once; a fork begins anew."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._warned = False
        self._writer: sqlite3.Connection | None = None
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._file: tuple[int, int] | None = None  # what the idle readers have open: device and inode
        self._writer_file: tuple[int, int] | None = None
        self.write_lock = threading.Lock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Lend a connection for reading; None where there is no database yet.

        Raises:
            CacheError: The database is damaged, of a later version, or not ours.
        """
        with self._errors("read"):
            self._follow_file()
            if self._file is None:
                yield None
                return
            with self._lock:
                connection, file = (self._idle.pop() if self._idle else None), self._file
            if connection is None:
                connection = self._open_reader()
            try:
                yield connection
            finally:
                with self._lock:
                    keep = connection is not None and file == self._file
                    if keep and connection is not None:
                        self._idle.append(connection)
                if not keep and connection is not None:
                    connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the one connection for writing, inside a transaction that is committed at the end.

        The caller holds `write_lock`.

        Raises:
            CacheError: The database cannot be written; nothing of the transaction is in it then.
        """
        with self._errors("written"):
            self._follow_file()
            if self._writer_file != self._file:
                self._close_writer()  # what went to a file that is gone would be lost
            connection = self._writer = self._writer or self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close what is open; a later use opens it again."""
        self._forget_parent()
        with self.write_lock, self._lock:
            self._close_readers()
            self._close_writer()
            self._file = None

    # ── Opening ──

    def _open_reader(self) -> sqlite3.Connection | None:
        connection = self._connect(options_to_read(self.path))
        try:
            if not self._check_version(connection):
                connection.close()
                return None
            connection.execute("PRAGMA query_only = 1")
        except BaseException:
            connection.close()
            raise
        self._warn_of_network()
        return connection

    def _open_writer(self) -> sqlite3.Connection:
        folder = os.path.dirname(self.path)
        check_directory(folder)
        os.makedirs(folder, exist_ok=True)
        connection = self._connect("mode=rwc")
        try:
            if not self._check_version(connection):
                connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
                use_wal(connection)
                connection.execute("BEGIN IMMEDIATE")
                if not self._check_version(connection):  # another process may have been first
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.execute("COMMIT")
            # Survives the death of the process, not that of the machine; and saves a disk flush for each commit.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        self._file = self._writer_file = identity(self.path)
        self._warn_of_network()
        return connection

    def _connect(self, options: str) -> sqlite3.Connection:
        place = uri(self.path, options)
        return sqlite3.connect(place, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)

    def _check_version(self, connection: sqlite3.Connection) -> bool:
        """True for a database of ours, False for an empty one."""
        # In one transaction: between two statements another process may make the tables.
        begun = not connection.in_transaction
        if begun:
            connection.execute("BEGIN")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if begun:
            connection.execute("COMMIT")
        if owner == _APPLICATION_ID and version == SCHEMA_VERSION:
            return True
        if owner == _APPLICATION_ID and version > SCHEMA_VERSION:
            raise CacheError(
                f"{self.path} was written by a later version of rollouts (format {version}, this one knows "
                f"{SCHEMA_VERSION}). Nothing was changed. Upgrade rollouts, or give another cache_dir."
            )
        if tables:
            raise CacheError(f"{self.path} is a database of another program. Move it, or give another cache_dir.")
        return False

    # ── One file, one process ──

    def _follow_file(self) -> None:
        """Begin anew after a fork, and when the file was removed or replaced."""
        self._forget_parent()
        now = identity(self.path)
        if now == self._file:
            return
        with self._lock:
            self._close_readers()
            self._file = now
        if now is None:
            check_directory(os.path.dirname(self.path))

    def _close_readers(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _forget_parent(self) -> None:
        if self._pid != os.getpid():
            _LEFT_TO_PARENT.extend(self._idle)
            if self._writer is not None:
                _LEFT_TO_PARENT.append(self._writer)
                self._writer = None
            self._begin()

    def _warn_of_network(self) -> None:
        if not self._warned:
            self._warned = True
            warn_of_network(self.path)

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn SQLite's errors into ours, with the file's name and what to do."""
        try:
            yield
        except sqlite3.Error as error:
            hint = sqlite_files.advice(error, self.path)
            if sqlite_files.is_damage(error):
                raise CacheError(f"{self.path} is damaged ({error}). Nothing was changed. {hint}") from error
            raise CacheError(f"{self.path} cannot be {doing}: {cause(error, self.path)}. {hint}") from error
        except OSError as error:
            raise CacheError(
                f"{self.path} cannot be {doing}: {error.strerror or error}. {folders.advice(error)}"
            ) from error
