"""Moves files of the cache `json` aside, and deletes them. Knows no answers, and where files lie by name only."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from rollouts.caches.folders import advice, give_back, leads_inside, move_aside, rename
from rollouts.caches.suffixes import move_up
from rollouts.exceptions import CacheError
from rollouts.typing import StoredEntry

ASIDE = "set-aside"
"""The folder below `cache_dir`; one level deeper than samples lie, so that nothing in it is taken for one."""

_PLACE = re.compile(
    r"(?P<folder>(?:(?!\.\.?/)[^/\0]+/){4})(?:(?P<stem>seed_-?\d+)(?:_(?P<suffix>\d+))?\.json|\.[0-9a-f]{16}\.tmp)",
    re.DOTALL,
)


def set_aside(
    root: str, entries: Iterable[StoredEntry], is_sound: Callable[[str, str], bool]
) -> Iterator[tuple[StoredEntry, str]]:
    """Move files to the same place below `ASIDE`; yield each with its new place.

    Names that become free go to the later ones of the same sample, since a reader stops at a free name; and so a
    sample that no reader comes to gets the free name.

    Args:
        root: The cache directory.
        entries: What to move, those of one sample together.
        is_sound: Whether a file (second argument) would be a sound sample at a place (first).

    Raises:
        CacheError: A file cannot be moved.
    """
    for (folder, stem), group in itertools.groupby(entries, _sample_of):
        moved: list[tuple[StoredEntry, str]] = []
        free: list[int] = []
        unreached: dict[int, StoredEntry] = {}
        for entry in group:
            path, suffix = _path(root, entry), _suffix_of(entry)
            if entry.problem == "unreached":
                unreached[suffix] = entry
                continue
            aside = _move(root, path, entry, is_sound)
            if aside is not None:
                moved.append((entry, aside))
                free.append(suffix)
        yield from moved
        if stem and (free or unreached):
            name = partial(_name, folder, stem)
            first = 0 if unreached else min(free)
            ups = move_up(partial(_rename, root, name), first, max((*free, *unreached)))
            yield from ((entry, name(ups[suffix])) for suffix, entry in unreached.items() if suffix in ups)


def _move(root: str, path: str, entry: StoredEntry, is_sound: Callable[[str, str], bool]) -> str | None:
    """Move one file; its new place, None where it is gone or was replaced by a sound one."""
    try:
        wanted = os.path.join(root, ASIDE, *entry.place.split("/"))
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        aside = move_aside(path, (f"{wanted}.{count}" if count else wanted for count in itertools.count()))
        if aside is None:
            return None
        if entry.problem is not None and is_sound(entry.place, aside):
            # Another process had stored the sample between the listing and the move.
            give_back(aside, path)
            return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CacheError(f"{path} cannot be moved aside: {error.strerror}. {advice(error)}") from error
    return os.path.relpath(aside, root).replace(os.sep, "/")


def _rename(root: str, name: Callable[[int], str], suffix: int, free: int) -> bool | None:
    later, wanted = (os.path.join(root, *name(number).split("/")) for number in (suffix, free))
    try:
        return rename(later, wanted)
    except OSError as error:
        raise CacheError(f"{later} cannot be given the name {wanted}: {error.strerror}. {advice(error)}") from error


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
            raise CacheError(
                f"{path} cannot be deleted: {error.strerror}. {n} before it were. {advice(error)}"
            ) from error
        n += 1
        folder = os.path.dirname(path)
        for _ in range(4):
            try:
                os.rmdir(folder)  # only where it is empty
            except OSError:
                break
            folder = os.path.dirname(folder)
    return n


def _sample_of(entry: StoredEntry) -> tuple[str, str]:
    """Folder and name without suffix; no name for a draft."""
    found = _PLACE.fullmatch(entry.place)
    return (found["folder"], found["stem"] or "") if found else (entry.place, "")


def _suffix_of(entry: StoredEntry) -> int:
    found = _PLACE.fullmatch(entry.place)
    return int(found["suffix"] or 0) if found else 0


def _name(folder: str, stem: str, suffix: int) -> str:
    return f"{folder}{stem}_{suffix}.json" if suffix else f"{folder}{stem}.json"


def _path(root: str, entry: StoredEntry) -> str:
    path = os.path.join(root, *entry.place.split("/"))
    inside = _PLACE.fullmatch(entry.place) and leads_inside(os.path.dirname(path), root)
    if not inside:
        raise CacheError(f"{entry.place} is no sample's place in {root}: nothing was changed there.")
    return path
