"""requests-cache's storages as texts by name: what they lack for that is added here. Knows nothing of samples.

Its SQLite storage swallows a failed commit and waits for ever for a database that cannot be written; its file storage
writes in place, so that a killed writer leaves half a file. Both are subclassed. The others are used as they come.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from requests_cache.backends.filesystem import FileDict
from requests_cache.backends.sqlite import SQLiteDict

from rollouts.caches.folders import check_directory, publish, remove, write_draft
from rollouts.caches.requests_cache_remote import REMOTE, RemoteStorage, text_of
from rollouts.caches.sql_database import cause, use_wal
from rollouts.exceptions import CacheError, ConfigError

_NAME = "requests-cache"
_VALUE = "CAST(value AS BLOB)"  # a damaged text need not be UTF-8
_PATIENCE = 60.0  # seconds to wait for another process's transaction

# Connections of the parent process after a fork. SQLite forbids to use or close them in the child.
_LEFT_TO_PARENT: list[Any] = []


def make(cache_dir: str, options: dict[str, Any]) -> SqliteStorage | FileStorage | RemoteStorage:
    """The storage that `options["backend"]` names (default `sqlite`).

    Raises:
        ConfigError: No such backend, an option that it has not, or its driver is not installed.
    """
    name = options.pop("backend", "sqlite")
    root = os.path.abspath(os.path.expanduser(cache_dir))
    if name in ("sqlite", "filesystem"):
        if options:
            raise ConfigError(f"cache_options: backend {name!r} takes no further options, got {', '.join(options)}.")
        return SqliteStorage(root) if name == "sqlite" else FileStorage(root)
    if name not in REMOTE:
        known = ", ".join(map(repr, ("sqlite", "filesystem", *REMOTE)))
        raise ConfigError(f"cache_options: no backend {name!r}. There are {known}.")
    return RemoteStorage(name, options)


class _Sqlite(SQLiteDict):
    """requests-cache's table in an SQLite file, opened by URI, with errors that are told."""

    def __init__(self, path: str, mode: str) -> None:
        self._mode = mode
        super().__init__(path, table_name="samples", serializer=None, wal=False, uri=True, timeout=_PATIENCE)
        self.path = self.db_path
        self.db_path = f"{pathlib.Path(path).as_uri()}?{mode}"
        if mode == "mode=rwc":
            with self.connection() as opened:
                connection: Any = opened
                use_wal(connection, _PATIENCE)
                connection.execute("PRAGMA synchronous = NORMAL")
            super().init_db()  # type: ignore[no-untyped-call]

    def init_db(self) -> None:
        """Make nothing: the constructor of the base class calls this, and reading makes no file."""

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
        self._path = os.path.join(root, f"{_NAME}.sqlite")
        self.location = os.path.realpath(self._path)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._open: _Sqlite | None = None
        self._writable = False
        self._file: tuple[int, int] | None = None

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The texts that there are."""
        with self._storage(write=False) as storage:
            if storage is None:
                return {}
            query = f"SELECT key, {_VALUE} FROM samples WHERE key IN ({', '.join('?' * len(names))})"
            with storage.connection() as connection:
                try:
                    return dict(connection.execute(query, names).fetchall())
                except sqlite3.OperationalError as error:
                    if "no such table" in str(error):  # an empty file, or one that is being made
                        return {}
                    raise

    def names(self) -> list[str]:
        """All names, in order."""
        with self._storage(write=False) as storage:
            if storage is None:
                return []
            with storage.connection() as connection:
                try:
                    return [row[0] for row in connection.execute("SELECT key FROM samples ORDER BY key")]
                except sqlite3.OperationalError as error:
                    if "no such table" in str(error):
                        return []
                    raise

    def add(self, texts: Sequence[tuple[str, bytes]]) -> list[str]:
        """Keep texts in one transaction; the names that were taken."""
        insert = "INSERT OR IGNORE INTO samples (key, value) VALUES (?, ?)"
        with self._storage(write=True) as storage, storage.connection(commit=True) as connection:
            return [name for name, text in texts if not connection.execute(insert, (name, text_of(text))).rowcount]

    def replace(self, name: str, old: bytes, aside: str) -> None:
        """Move a text aside, if it is still the one that was seen."""
        with self._storage(write=True) as storage, storage.connection(commit=True) as connection:
            row = connection.execute(f"SELECT {_VALUE} FROM samples WHERE key = ?", (name,)).fetchone()
            if row is not None and row[0] == old:
                connection.execute("INSERT OR REPLACE INTO samples (key, value) VALUES (?, ?)", (aside, text_of(old)))
                connection.execute("DELETE FROM samples WHERE key = ?", (name,))

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
                exists = check_directory(self._root) and os.path.exists(self._path)
                if self._open is None or self._file != _identity(self._path) or (write and not self._writable):
                    self._close()
                    if not exists and not write:
                        yield None
                        return
                    if write:
                        os.makedirs(self._root, exist_ok=True)
                    self._open = _Sqlite(self._path, "mode=rwc" if write else _mode_to_read(self._path))
                    self._writable = write
                    self._file = _identity(self._path)
                yield self._open
        except (sqlite3.Error, OSError) as error:
            doing = "written" if write else "read"
            raise CacheError(f"{self._path} cannot be {doing}: {cause(error, self._path)}.") from error


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _mode_to_read(path: str) -> str:
    if os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK):
        return "mode=rw"
    return "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"


class _Files(FileDict):
    """requests-cache's files, each of which appears whole."""

    def __getitem__(self, key: str) -> bytes:
        try:
            return self._key2path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: bytes) -> None:
        self.add(key, value)

    def add(self, key: str, value: bytes) -> bool:
        """Keep a text; False where there is one."""
        draft = write_draft(os.path.join(self.cache_dir, ""), value)
        try:
            return publish(draft, str(self._key2path(key)))
        finally:
            remove(draft)


class FileStorage:
    """The files of `<cache_dir>/requests-cache/`."""

    def __init__(self, root: str) -> None:
        self._folder = os.path.join(root, _NAME)
        self.location = os.path.realpath(self._folder)

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The texts that there are."""
        found = {}
        with self._errors("read"):
            if check_directory(self._folder):
                files = self._files()
                for name in names:
                    with contextlib.suppress(KeyError):
                        found[name] = files[name]
        return found

    def names(self) -> list[str]:
        """All names, in order."""
        with self._errors("read"):
            if not check_directory(self._folder):
                return []
            return sorted(path.name.removesuffix(".json") for path in self._files().paths() if path.name[0] != ".")

    def add(self, texts: Sequence[tuple[str, bytes]]) -> list[str]:
        """Keep each text in a file of its own; the names that were taken."""
        with self._errors("written"):
            files = self._files()
            return [name for name, text in texts if not files.add(name, text)]

    def replace(self, name: str, old: bytes, aside: str) -> None:
        """Rename a file, if it still holds what was seen."""
        with self._errors("written"), contextlib.suppress(KeyError, FileNotFoundError):
            files = self._files()
            if files[name] == old:
                os.replace(files._key2path(name), files._key2path(aside))

    def remove(self, names: Sequence[str]) -> int:
        """Delete files; how many there were."""
        n = 0
        with self._errors("written"):
            files = self._files()
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    files._key2path(name).unlink()
                    n += 1
        return n

    def close(self) -> None:
        """Nothing is open."""

    def _files(self) -> _Files:
        check_directory(self._folder)
        return _Files(self._folder, serializer=None, extension="json")

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CacheError(f"{self._folder} cannot be {doing}: {error.strerror or error}.") from error
