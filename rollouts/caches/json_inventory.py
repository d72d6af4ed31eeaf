"""Lists the samples below a `cache_dir` of the cache `json`. Never writes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial

from rollouts.caches import layout
from rollouts.caches.inventory import Reader
from rollouts.exceptions import CacheError
from rollouts.identity import SampleRequest
from rollouts.typing import StoredEntry

_SAMPLE = re.compile(r"seed_-?\d+(_(?P<suffix>\d+))?\.json")


def entries(
    root: str, read: Callable[[str], bytes | None], raw: Callable[[str], Callable[[], bytes]]
) -> Iterator[StoredEntry]:
    """Yield what is in the samples' places, folder by folder in the order of their names.

    Args:
        root: The cache directory.
        read: The bytes of a file, None where there is none; refuses links that lead out of `root`.
        raw: From a file's path to what reads its raw body.

    Raises:
        CacheError: A folder cannot be read.
    """
    reader = Reader()
    for path in files(root):
        data = read(path)
        if data is None:
            continue
        place = os.path.relpath(path, root).replace(os.sep, "/")
        yield reader.entry(data, place, raw(path), belongs=partial(_belongs, place))


def is_sound(place: str, data: bytes) -> bool:
    """Whether these bytes are the sample of this place."""
    return Reader().entry(data, place, lambda: data, belongs=partial(_belongs, place)).problem is None


def _belongs(place: str, request: SampleRequest, number: int) -> bool:
    folder, _, name = place.rpartition("/")
    found = _SAMPLE.fullmatch(name)
    suffix = int(found["suffix"] or 0) if found else 0
    return folder == layout.request_path(request) and name == layout.sample_name(number, suffix)


def files(folder: str, depth: int = 0) -> Iterator[str]:
    """The samples' files: below a model, parameters, three digits and a prompt's hash."""
    try:
        with os.scandir(folder) as found:
            # Names only: a folder may hold a million files.
            names = sorted(item.name for item in found if (depth == 4) != item.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CacheError(f"The cache folder {folder} cannot be read: {error.strerror}.") from error
    for name in names:
        path = os.path.join(folder, name)
        if depth < 4:
            yield from files(path, depth + 1)
        elif _SAMPLE.fullmatch(name):
            yield path
