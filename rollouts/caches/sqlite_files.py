"""SQLite files, for the caches that keep one: how to read them, and what errors mean. Knows no tables."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import time
import warnings

from rollouts.caches.folders import check_directory, network_file_system
from rollouts.exceptions import RolloutsWarning

PATIENCE = 60.0
"""Seconds to wait for another process's transaction."""

# Primary result codes: https://sqlite.org/rescode.html.
_DAMAGED = (11, 26)  # CORRUPT, NOTADB
_FULL = 13
_HELD = (5, 6)  # BUSY, LOCKED
_REFUSED = (3, 8, 14, 23)  # PERM, READONLY, CANTOPEN, AUTH


def uri(path: str, options: str) -> str:
    """The file as SQLite takes it with options (`mode=ro`, `immutable=1`)."""
    return f"{pathlib.Path(path).as_uri()}?{options}"


def options_to_read(path: str) -> str:
    """The options with which `path` can be read here. Warns where its newest samples are not seen then."""
    if _may_write(path) and _may_write(os.path.dirname(path)):
        return "mode=rw"
    if not os.path.exists(f"{path}-wal"):
        return "immutable=1"
    if _opens_read_only(path):
        return "mode=ro"
    warnings.warn(
        f"{path} cannot be written here and was not closed where it was: its newest samples, in {path}-wal, are not "
        f"seen. Open it once where it can be written.",
        RolloutsWarning,
        stacklevel=2,
    )
    return "immutable=1"


def _may_write(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _opens_read_only(path: str) -> bool:
    """Whether SQLite can read the write-ahead log too: for that it needs a file beside it, which it may not make."""
    connection = sqlite3.connect(uri(path, "mode=ro"), uri=True, timeout=PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA user_version")
        return True
    except sqlite3.OperationalError as error:
        if code_of(error) in _HELD:
            raise
        return False
    finally:
        connection.close()


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of the file; None where there is none.

    Raises:
        ConfigError: Its folder is a file.
        OSError: The folder cannot be searched: there may be a file.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        check_directory(os.path.dirname(path))
        raise
    return status.st_dev, status.st_ino


def code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 where it has none."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, or no database."""
    return code_of(error) in _DAMAGED


def advice(error: BaseException, path: str) -> str:
    """What to do about an error of SQLite, as a sentence."""
    code = code_of(error)
    if code in _DAMAGED:
        name = os.path.basename(path)
        return f"Move it away and recover it with `sqlite3 {name} .recover`, or give another cache_dir."
    if code == _FULL:
        return "Make room or give another cache_dir."
    if code in _HELD:
        return "Another program holds it: end that, and run again."
    if code in _REFUSED:
        return "See to your rights to it and to its folder, or give another cache_dir."
    return "Look after the disk, or give another cache_dir."


def cause(error: Exception, path: str) -> str:
    """SQLite's message, and what it leaves out: that the file or its folder is read-only."""
    folder = os.path.dirname(path)
    if os.path.isdir(folder) and not all(_may_write(name) for name in (folder, path) if os.path.exists(name)):
        return f"{error} (read-only)"
    return str(error)


def use_wal(connection: sqlite3.Connection, patience: float = PATIENCE) -> None:
    """Switch to write-ahead logging. The switch does not wait for other processes as all else does, so we do.

    Raises:
        sqlite3.OperationalError: Not after `patience` seconds.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.005)


def warn_of_network(path: str) -> None:
    """Warn where `path` lies on a network file system. Where the system has no /proc it cannot be told."""
    kind = network_file_system(os.path.dirname(path))
    if kind:
        warnings.warn(
            f"{path} lies on a network file system ({kind}), where SQLite's locks are not safe when several "
            f'machines use it. Use use_cache="json" there, which needs no locks.',
            RolloutsWarning,
            stacklevel=2,
        )
