"""requests-cache's SQLite storage as texts by name. Knows nothing of samples.

As it comes it swallows a failed commit and waits for ever for a database that cannot be written, so it is subclassed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from requests_cache.backends.sqlite import SQLiteDict

from rollouts.caches import folders, sqlite_files
from rollouts.caches.folders import check_directory
from rollouts.caches.requests_cache import FOLDER, asides
from rollouts.caches.requests_cache_remote import text_of
from rollouts.caches.sqlite_files import PATIENCE, cause, identity, options_to_read, uri, use_wal, warn_of_network
from rollouts.exceptions import CacheError

_VALUE = "CAST(value AS BLOB)"  # a damaged text need not be UTF-8
_APPLICATION_ID = 0x524F4C52  # "ROLR", as in sql_database
_VERSION = 1

# Connections of the parent process after a fork. SQLite forbids to use or close them in the child.
_LEFT_TO_PARENT: list[Any] = []


class _Sqlite(SQLiteDict):
    """requests-cache's table in an SQLite file, opened by URI, with errors that are told."""

    def __init__(self, path: str, options: str) -> None:
        super().__init__(path, table_name="samples", serializer=None, wal=False, uri=True, timeout=PATIENCE)
        self.path = path
        self.db_path = uri(path, options)
        try:
            with self.connection() as connection:
                self._is_ours(connection)
            if options == "mode=rwc":
                self._make()
        except BaseException:
            self.close()  # type: ignore[no-untyped-call]
            raise

    def init_db(self) -> None:
        """Make nothing: the constructor of the base class calls this, and reading makes no file."""

    def _make(self) -> None:
        with self.connection() as connection:
            use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
        with self.connection(commit=True) as connection:
            if not self._is_ours(connection):
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
        super().init_db()  # type: ignore[no-untyped-call]

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """True for a database of ours, False for an empty one."""
        query = (
            "SELECT (SELECT count(*) FROM sqlite_master), application_id, user_version "
            "FROM pragma_application_id, pragma_user_version"
        )
        tables, owner, version = connection.execute(query).fetchone()
        if owner == _APPLICATION_ID and version > _VERSION:
            raise CacheError(
                f"{self.path} was written by a later version of rollouts (format {version}, this one knows "
                f"{_VERSION}). Nothing was changed. Upgrade rollouts, or give another cache_dir."
            )
        if owner != _APPLICATION_ID and (tables or owner):
            raise CacheError(f"{self.path} is a database of another program. Move it, or give another cache_dir.")
        return bool(owner == _APPLICATION_ID)

    @contextlib.contextmanager
    def _acquire_sqlite_lock(self) -> Iterator[None]:
        with self._lock:
            connection: Any = self._connection
            connection.execute("BEGIN IMMEDIATE")
            self._active_transaction = True
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._active_transaction = False


class SqliteStorage:
    """`<cache_dir>/requests-cache.sqlite`."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._path = os.path.join(root, f"{FOLDER}.sqlite")
        self.location = os.path.realpath(self._path)
        self._warned = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._open: _Sqlite | None = None
        self._writable = False
        self._file: tuple[int, int] | None = None

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The texts that there are."""
        query = f"SELECT key, {_VALUE} FROM samples WHERE key IN ({', '.join('?' * len(names))})"
        return dict(self._rows(query, names))

    def names(self) -> list[str]:
        """All names."""
        return [row[0] for row in self._rows("SELECT key FROM samples")]

    def _rows(self, query: str, names: Sequence[str] = ()) -> list[Any]:
        with self._storage(write=False) as storage:
            if storage is None:
                return []
            with storage.connection() as connection:
                try:
                    return list(connection.execute(query, names).fetchall())
                except sqlite3.OperationalError as error:
                    if "no such table" in str(error):  # an empty file, or one that is being made
                        return []
                    raise

    def add(self, texts: Sequence[tuple[str, bytes]]) -> list[str]:
        """Keep texts in one transaction; the names that were taken."""
        insert = "INSERT OR IGNORE INTO samples (key, value) VALUES (?, ?)"
        with self._storage(write=True) as storage, storage.connection(commit=True) as connection:
            return [name for name, text in texts if not connection.execute(insert, (name, text_of(text))).rowcount]

    def put_aside(self, name: str, old: bytes) -> str | None:
        """Move a text to a free name, if it is still the one that was seen."""
        insert = "INSERT OR IGNORE INTO samples (key, value) SELECT ?, value FROM samples WHERE key = ?"
        with self._storage(write=True) as storage, storage.connection(commit=True) as connection:
            row = connection.execute(f"SELECT {_VALUE} FROM samples WHERE key = ?", (name,)).fetchone()
            if row is None or row[0] != old:
                return None
            aside = next(aside for aside in asides(name) if connection.execute(insert, (aside, name)).rowcount)
            connection.execute("DELETE FROM samples WHERE key = ?", (name,))
            return aside

    def rename(self, name: str, free: str) -> bool | None:
        """Give a text another name."""
        with self._storage(write=True) as storage, storage.connection(commit=True) as connection:
            if connection.execute("SELECT 1 FROM samples WHERE key = ?", (name,)).fetchone() is None:
                return None
            renamed = connection.execute("UPDATE OR IGNORE samples SET key = ? WHERE key = ?", (free, name))
            return bool(renamed.rowcount)

    def remove(self, names: Sequence[str]) -> int:
        """Delete texts in one transaction; how many there were."""
        with self._storage(write=True) as storage, storage.connection(commit=True) as connection:
            return sum(connection.execute("DELETE FROM samples WHERE key = ?", (name,)).rowcount for name in names)

    def close(self) -> None:
        """Close the connection."""
        if self._pid == os.getpid():
            with self._lock:
                self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()  # type: ignore[no-untyped-call]
            self._open = None

    @contextlib.contextmanager
    def _storage(self, *, write: bool) -> Iterator[Any]:
        # A connection must not be used, nor closed, in the child of a fork.
        if self._pid != os.getpid():
            _LEFT_TO_PARENT.append(self._open)
            self._begin()
        try:
            with self._lock:
                there = identity(self._path) if check_directory(self._root) else None
                if self._open is None or self._file != there or (write and not self._writable):
                    self._close()
                    if there is None and not write:
                        yield None
                        return
                    self._open_anew(write)
                yield self._open
        except sqlite3.Error as error:
            hint = sqlite_files.advice(error, self._path)
            doing = "written" if write else "read"
            raise CacheError(f"{self._path} cannot be {doing}: {cause(error, self._path)}. {hint}") from error
        except OSError as error:
            doing, hint = "written" if write else "read", folders.advice(error)
            raise CacheError(f"{self._path} cannot be {doing}: {error.strerror or error}. {hint}") from error

    def _open_anew(self, write: bool) -> None:
        if write:
            os.makedirs(self._root, exist_ok=True)
        self._open = _Sqlite(self._path, "mode=rwc" if write else options_to_read(self._path))
        self._writable = write
        self._file = identity(self._path)
        if not self._warned:
            self._warned = True
            warn_of_network(self._path)
