"""requests-cache's file storage as texts by name. Knows nothing of samples.

As it comes it writes in place, so that a killed writer leaves half a file, and reads whatever a link leads to: it is
subclassed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from requests_cache.backends.filesystem import FileDict

from rollouts.caches import folders
from rollouts.caches.folders import check_directory, give_back, move_aside, publish, read_file, remove, write_draft
from rollouts.caches.requests_cache import FOLDER, asides
from rollouts.exceptions import CacheError

_ENDING = ".json"


class _Files(FileDict):
    """requests-cache's files, each of which appears whole."""

    def __getitem__(self, key: str) -> bytes:
        text = read_file(self.path(key), str(self.cache_dir))
        if text is None:
            raise KeyError(key)
        return text

    def __setitem__(self, key: str, value: bytes) -> None:
        self.add(key, value)

    def add(self, key: str, value: bytes) -> bool:
        """Keep a text; False where there is one."""
        draft = write_draft(os.path.join(self.cache_dir, ""), value)
        try:
            return publish(draft, self.path(key))
        finally:
            remove(draft)

    def path(self, key: str) -> str:
        """The file of a text."""
        return f"{self.cache_dir}{os.sep}{key}{_ENDING}"


class FileStorage:
    """The files of `<cache_dir>/requests-cache/`."""

    def __init__(self, root: str) -> None:
        self._folder = os.path.join(root, FOLDER)
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
        """All names."""
        with self._errors("read"):
            if not check_directory(self._folder):
                return []
            found = os.listdir(self._folder)
        return [name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING) and name[0] != "."]

    def add(self, texts: Sequence[tuple[str, bytes]]) -> list[str]:
        """Keep each text in a file of its own; the names that were taken."""
        with self._errors("written"):
            files = self._files()
            return [name for name, text in texts if not files.add(name, text)]

    def put_aside(self, name: str, old: bytes) -> str | None:
        """Rename a file to a free name, if it still holds what was seen."""
        with self._errors("written"), contextlib.suppress(KeyError):
            files = self._files()
            if files[name] != old:
                return None
            path = files.path(name)
            moved = move_aside(path, map(files.path, asides(name)))
            if moved is None:
                return None
            if read_file(moved, self._folder) in (old, None):  # None: a link that leads nowhere from there
                return os.path.basename(moved).removesuffix(_ENDING)
            # Another process had stored the sample between our look and the move.
            give_back(moved, path)
        return None

    def rename(self, name: str, free: str) -> bool | None:
        """Give a file another name."""
        with self._errors("written"):
            files = self._files()
            return folders.rename(files.path(name), files.path(free))

    def remove(self, names: Sequence[str]) -> int:
        """Delete files; how many there were."""
        n = 0
        with self._errors("written"):
            files = self._files()
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(files.path(name))
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
            hint = folders.advice(error)
            raise CacheError(f"{self._folder} cannot be {doing}: {error.strerror or error}. {hint}") from error
