"""Moves files of the cache `json` aside, and deletes them. Knows no answers, and where files lie by name only."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator

from rollouts.caches.folders import publish, remove
from rollouts.exceptions import CacheError
from rollouts.typing import StoredEntry

ASIDE = "set-aside"
"""The folder below `cache_dir`; one level deeper than samples lie, so that nothing in it is taken for one."""

_PLACE = re.compile(r"(?:(?!\.\.?/)[^/\0]+/){4}seed_-?\d+(?:_\d+)?\.json", re.DOTALL)


def set_aside(
    root: str, entries: Iterable[StoredEntry], is_sound: Callable[[str, str], bool]
) -> Iterator[tuple[StoredEntry, str]]:
    """Move files to the same place below `ASIDE`; yield each with its new place.

    Args:
        root: The cache directory.
        entries: What to move.
        is_sound: Whether a file (second argument) would be a sound sample at a place (first).

    Raises:
        CacheError: A file cannot be moved.
    """
    for entry in entries:
        path = _path(root, entry)
        try:
            aside = _free(os.path.join(root, ASIDE, *entry.place.split("/")))
            os.makedirs(os.path.dirname(aside), exist_ok=True)
            os.rename(path, aside)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise CacheError(f"{path} cannot be moved aside: {error.strerror}.") from error
        if entry.problem is not None and is_sound(entry.place, aside):
            # Another process had stored the sample between the listing and the move: give it back.
            publish(aside, path)
            remove(aside)
            continue
        yield entry, os.path.relpath(aside, root).replace(os.sep, "/")


def delete(root: str, entries: Iterable[StoredEntry]) -> int:
    """Delete files, and the folders that are empty then; how many files there were.

    Raises:
        CacheError: A file cannot be deleted.
    """
    n = 0
    for entry in entries:
        path = _path(root, entry)
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise CacheError(f"{path} cannot be deleted: {error.strerror}. {n} before it were.") from error
        n += 1
        folder = os.path.dirname(path)
        for _ in range(4):
            try:
                os.rmdir(folder)  # only where it is empty
            except OSError:
                break
            folder = os.path.dirname(folder)
    return n


def _path(root: str, entry: StoredEntry) -> str:
    path = os.path.join(root, *entry.place.split("/"))
    inside = os.path.realpath(root)
    folder = os.path.realpath(os.path.dirname(path))
    if not _PLACE.fullmatch(entry.place) or os.path.commonpath((inside, folder)) != inside:
        raise CacheError(f"{entry.place} is no sample's place in {root}: nothing was changed there.")
    return path


def _free(path: str) -> str:
    return next(
        name for count in itertools.count() if not os.path.lexists(name := f"{path}.{count}" if count else path)
    )
