"""Lists the samples below a `cache_dir` of the cache `json`. Never writes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial

from rollouts.caches import layout
from rollouts.caches.folders import UNREADABLE, advice, leads_inside, read_file
from rollouts.caches.inventory import Reader
from rollouts.caches.suffixes import Walk
from rollouts.exceptions import CacheError
from rollouts.identity import SampleRequest
from rollouts.typing import StoredEntry

_SAMPLE = re.compile(r"(?P<stem>seed_-?\d+)(_(?P<suffix>\d+))?\.json")
_DRAFT = re.compile(r"\.[0-9a-f]{16}\.tmp")
_DEPTH = 4  # a model, parameters, three digits and a prompt's hash
_ABANDONED = 3600.0  # seconds; nobody writes one file for so long


def entries(root: str, raw: Callable[[str], Callable[[], bytes]]) -> Iterator[StoredEntry]:
    """Yield what is in the samples' places, folder by folder in the order of their names.

    Args:
        root: The cache directory.
        raw: From a file's path to what reads its raw body.

    Raises:
        CacheError: A folder cannot be read.
    """
    reader, walk, tree = Reader(), Walk(), _Tree(root)
    for path in tree.paths():
        place = path[len(root) :].lstrip(os.sep).replace(os.sep, "/")
        name = _SAMPLE.fullmatch(os.path.basename(path))
        if name is None:
            yield _no_sample(path, place)
            continue
        data = read_file(path, root)
        if data is None:
            continue
        entry = (
            StoredEntry(place, 0, problem="unreadable", detail="you have no right to read this file")
            if data is UNREADABLE
            else reader.entry(data, place, raw(path), belongs=partial(_belongs, place))
        )
        reached = walk.reaches(f"{os.path.dirname(path)}/{name['stem']}", int(name["suffix"] or 0))
        if entry.problem is None and not reached:
            entry = replace(entry, problem="unreached")
        if entry.problem != "other" or not tree.is_seen_by_a_link(path):
            yield entry


def is_sound(root: str, place: str, path: str) -> bool:
    """Whether the file `path` would be a sound sample at this place."""
    data = read_file(path, root)
    if data is None:
        return False
    return Reader().entry(data, place, lambda: data, belongs=partial(_belongs, place)).problem is None


def files(root: str) -> Iterator[str]:
    """The samples' files below `root`, in the order of their names.

    Raises:
        CacheError: A folder cannot be read.
    """
    return (path for path in _Tree(root).paths() if _SAMPLE.fullmatch(os.path.basename(path)))


def order(name: str) -> tuple[str, int]:
    """What a file is sorted by: the order in which a reader tries the names of one sample."""
    found = _SAMPLE.fullmatch(name)
    return (found["stem"], int(found["suffix"] or 0)) if found else (name, 0)


class _Tree:
    """The folders below a cache directory. Links that lead inside are followed, as the reader follows them."""

    def __init__(self, root: str) -> None:
        self._root = root

    def paths(self) -> Iterator[str]:
        """Samples' files, drafts that nobody writes any more, and links to folders that lead out."""
        return self._below(self._root, 0)

    def _below(self, folder: str, depth: int) -> Iterator[str]:
        if depth == _DEPTH:
            for name in sorted(self._names(folder, _is_file), key=order):
                path = os.path.join(folder, name)
                if _SAMPLE.fullmatch(name) or (_DRAFT.fullmatch(name) and _is_abandoned(path)):
                    yield path
            return
        for name in sorted(self._names(folder, _is_folder)):
            path = os.path.join(folder, name)
            if os.path.islink(path) and not leads_inside(path, self._root):
                yield path
            else:
                yield from self._below(path, depth + 1)

    def _names(self, folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
        try:
            with os.scandir(folder) as found:
                return [item.name for item in found if wanted(item)]  # names only: there may be a million
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise CacheError(f"The cache folder {folder} cannot be read: {error.strerror}. {advice(error)}") from error

    def is_seen_by_a_link(self, path: str) -> bool:
        """Whether a file is listed a second time, at the place that a link gives it and where it is read."""
        real = os.path.realpath(path)
        for link, target in self._links:
            inner = os.path.relpath(real, target)
            if not inner.startswith(os.pardir) and f"{link}{os.sep}{inner}".count(os.sep) == _DEPTH:
                return True
        return False

    @cached_property
    def _links(self) -> list[tuple[str, str]]:
        """Each link to a folder inside, relative to the root, with where it leads."""
        found, folders = [], [(self._root, 0)]
        while folders:
            folder, depth = folders.pop()
            for name in self._names(folder, _is_folder):
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    found.append((os.path.relpath(path, self._root), os.path.realpath(path)))
                elif depth + 1 < _DEPTH:
                    folders.append((path, depth + 1))
        return found


def _no_sample(path: str, place: str) -> StoredEntry:
    if _DRAFT.fullmatch(os.path.basename(path)):
        return StoredEntry(place, _size(path), problem="damaged", detail="a writer that was killed left this draft")
    return StoredEntry(place, 0, problem="unreadable", detail="this folder leads out of the cache, and is not read")


def _belongs(place: str, request: SampleRequest, number: int) -> bool:
    folder, _, name = place.rpartition("/")
    found = _SAMPLE.fullmatch(name)
    suffix = int(found["suffix"] or 0) if found else 0
    return folder == layout.request_path(request) and name == layout.sample_name(number, suffix)


def _is_folder(item: os.DirEntry[str]) -> bool:
    return item.is_dir(follow_symlinks=False) or (item.is_symlink() and os.path.isdir(item.path))


def _is_file(item: os.DirEntry[str]) -> bool:
    return not item.is_dir(follow_symlinks=False) or _SAMPLE.fullmatch(item.name) is not None


def _is_abandoned(path: str) -> bool:
    try:
        return os.lstat(path).st_mtime < time.time() - _ABANDONED
    except OSError:
        return False


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
