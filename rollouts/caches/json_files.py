"""The cache `json`: one file for each sample, readable, no locks, fit for network file systems.

Files lie as `layout` says and hold what `json_format` says. A file appears whole and is never changed: it is written
beside its place under another name and then linked there, which fails where another writer was first. A file that is
not the sample asked for stays where it is and the sample gets the next name; a damaged one is moved aside, to
`….damaged`, when the new answer is stored (reading never writes).
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from rollouts.caches import json_format, json_inventory, json_upkeep, layout, legacy, legacy_files
from rollouts.caches.folders import check_directory, publish, remove, write_draft
from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.hookspecs import hookimpl
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Response
from rollouts.results.codec import from_record, is_answer
from rollouts.typing import CacheOptions, Spec, StoredEntry

# A symbolic link is followed only after a look at where it leads; a pipe in a file's place must not make us wait.
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLLOW = _OPEN & ~getattr(os, "O_NOFOLLOW", 0)
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO})
_CHUNK = 1 << 14  # bytes; most files are smaller
_MOST_REMEMBERED = 10_000
_decode = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


@hookimpl
def rollouts_register_caches() -> Sequence[Spec]:
    """Offer the cache `json`."""
    return [Spec(name="json", factory=make, description="one readable file a sample; fit for network file systems")]


def make(options: CacheOptions) -> JsonCache:
    """The cache in `options.cache_dir`.

    Raises:
        ConfigError: `cache_options` has something; this cache takes none.
    """
    if options.options:
        raise ConfigError(f"The json cache takes no cache_options, got {', '.join(map(repr, options.options))}.")
    return JsonCache(os.fspath(options.cache_dir))


class StoredRaw(str):
    """The path of a file, which reads the raw body in it when called.

    A string, and not an object that has one: the garbage collector walks objects, and there may be a million of these.
    """

    __slots__ = ()

    def __call__(self) -> bytes:
        """The body.

        Raises:
            CacheError: The file is gone or damaged.
        """
        try:
            with open(self, "rb") as file:
                body = json_format.raw_of(file.read())
            if body is None:
                raise ValueError("the file keeps none")
            return body
        except (OSError, ValueError) as error:
            raise CacheError(f"The raw answer in {self!s} cannot be read: {error}.") from error


class _Place:
    """What reading one request's samples needs, worked out once."""

    __slots__ = ("context", "exists", "folder", "head", "legacy", "neck", "request")

    def __init__(self, request: SampleRequest, folder: str, exists: bool, legacy: list[str]) -> None:
        self.request = request
        self.folder = folder
        self.exists = exists
        self.legacy = legacy
        self.head = json_format.head(request)
        self.neck = json_format.neck(request)
        self.context = request.context


class JsonCache:
    """Keeps each answer in a file of its own. Holds no file open."""

    def __init__(self, cache_dir: str) -> None:
        self._root = os.path.abspath(os.path.expanduser(cache_dir))
        self.location = f"json:{os.path.realpath(self._root)}"
        self._warned: set[str] = set()
        self._inside: set[str] = set()

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """Yield the stored samples in the order asked.

        Raises:
            ConfigError: `cache_dir` is a file.
            CacheError: The folders cannot be read.
        """
        check_directory(self._root)
        place = None
        for key in keys:
            if place is None or place.request is not key.request:
                place = self._place(key.request)
            response = self._read(place, key.number) if place.exists else None
            if response is None and place.legacy:
                response = self._read_legacy(place, key.number)
            if response is not None:
                yield key, response

    def store(self, key: SampleKey, response: Response) -> Response | None:
        """Keep an answer; the first one of a sample stays, and is returned.

        Raises:
            CacheError: The file cannot be written.
        """
        request, number = key
        folder = self._folder(request)
        data = json_format.encode(request, number, response)
        draft = ""
        try:
            draft = self._write_draft(folder, data)
            for suffix in itertools.count():
                path = folder + layout.sample_name(number, suffix)
                while not publish(draft, path):
                    verdict = self._judge_file(path, request, number)
                    if verdict == "ours":
                        return self._read(self._place(request), number)
                    if verdict != "damaged":
                        break
                    self._move_aside(path, request, number)
                else:
                    return None
            return None
        except OSError as error:
            raise CacheError(
                f"Sample {number} of {request.model} cannot be stored in {folder}: {error.strerror or error}. "
                f"Make room or give another cache_dir."
            ) from error
        finally:
            if draft:
                remove(draft)

    def entries(self) -> Iterator[StoredEntry]:
        """Yield what is stored, in the order of the files' names.

        Raises:
            ConfigError: `cache_dir` is a file.
            CacheError: The folders cannot be read.
        """
        check_directory(self._root)
        return json_inventory.entries(self._root, self._bytes, StoredRaw)

    def old_entries(self) -> Iterator[StoredEntry]:
        """Yield what rollouts 0.1.x left here with its `use_cache="json"`, as samples of today where that can be told.

        Raises:
            CacheError: The folders cannot be read.
        """
        check_directory(self._root)
        return legacy_files.entries(self._root, self._bytes)

    def set_aside(self, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
        """Move files to the folder `set-aside`, as `CacheUpkeep` says."""
        return json_upkeep.set_aside(
            self._root, entries, lambda place, path: json_inventory.is_sound(place, self._bytes(path) or b"")
        )

    def remove(self, entries: Iterable[StoredEntry]) -> int:
        """Delete files, as `CacheUpkeep` says."""
        return json_upkeep.delete(self._root, entries)

    def place(self, key: SampleKey) -> str:
        """The file of a sample (another suffix where other requests' files have the name)."""
        return self._folder(key.request) + layout.sample_name(key.number)

    def close(self) -> None:
        """Nothing is open."""

    # ── Reading ──

    def _read(self, place: _Place, number: int) -> Response | None:
        for suffix in itertools.count():
            path = f"{place.folder}{layout.sample_name(number, suffix)}"
            data = self._bytes(path)
            if data is None:
                return None
            try:
                text = json_format.record_text(data, json_format.before_record(place.head, number, place.neck))
                record, end = ({}, 0) if text is None else _decode(text, 0)
                if text is None or end != len(text):
                    verdict, entry = json_format.judge(data, place.request, number)
                    if verdict != "ours":
                        self._tell(path, verdict, number)
                        continue
                    record = entry["response"]
                raw = StoredRaw(path) if json_format.has_raw(data) else None
                response = from_record(record, seed=number, raw=raw, **place.context)
                if is_answer(response):
                    return response
                self._tell(path, "error", number)
            except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
                self._tell(path, "damaged", number)
        return None

    def _read_legacy(self, place: _Place, number: int) -> Response | None:
        for folder in place.legacy:
            response = legacy.read(os.path.join(folder, layout.sample_name(number)), place.request, number)
            if response is not None:
                if "legacy" not in self._warned:
                    self._warned.add("legacy")
                    _warn(
                        f"Answers of rollouts 0.1.x in {self._root} are used (response.origin == '0.1.x'). It left "
                        f"stop, reasoning, include_reasoning and all other settings out of its key: if you used those "
                        f"with it, give another cache_dir. `rollouts cache import` takes the answers in for good."
                    )
                return response
        return None

    def _bytes(self, path: str, flags: int = _OPEN) -> bytes | None:
        """A file's bytes; none at all for one that cannot be read, None where there is no such file."""
        try:
            file = os.open(path, flags)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            if error.errno == errno.ELOOP and flags != _FOLLOW:
                return self._bytes(path, _FOLLOW) if self._leads_inside(path) else b"null"
            return self._not_read(path, error)
        try:
            data = os.read(file, _CHUNK)
            if len(data) == _CHUNK:
                parts = [data]
                while part := os.read(file, _CHUNK * 64):
                    parts.append(part)
                data = b"".join(parts)
            return data
        except OSError as error:
            return self._not_read(path, error)
        finally:
            os.close(file)

    def _not_read(self, path: str, error: OSError) -> bytes:
        if error.errno not in _UNREADABLE:
            raise CacheError(f"{path} cannot be read: {error.strerror}.") from error
        return b"null"  # valid JSON that is no sample: stays where it is, is no answer

    def _judge_file(self, path: str, request: SampleRequest, number: int) -> json_format.Verdict:
        data = self._bytes(path)
        if data is None:
            return "damaged"  # gone again: the next try to publish finds the place free
        verdict, entry = json_format.judge(data, request, number)
        if verdict == "ours":
            try:
                response = from_record(entry["response"], seed=number, **request.context)
            except (KeyError, TypeError):
                return "damaged"
            if not is_answer(response):
                return "damaged"
        return verdict

    def _tell(self, path: str, verdict: json_format.Verdict | Literal["error"], number: int) -> None:
        if path in self._warned:
            return
        self._warned.add(path)
        what = {
            "damaged": f"is damaged: sample {number} is asked again, and the file is then kept as {path}.damaged.",
            "error": f"is an error and no answer: it is asked again, and the file is then kept as {path}.damaged.",
            "newer": "was written by a later version of rollouts: it is left as it is. Upgrade rollouts to use it.",
            "other": f"holds another request than its name says: it is left there, sample {number} gets another name.",
            "foreign": f"is no sample, or cannot be read: it is left there, sample {number} gets another name.",
        }
        _warn(f"{path} {what[verdict]}")

    # ── Folders ──

    def _place(self, request: SampleRequest) -> _Place:
        folder = self._folder(request)
        try:
            mode = os.lstat(folder[:-1]).st_mode
            exists = stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
            if exists and not self._is_inside(folder[:-1], mode):
                _warn(f"{folder} leads out of the cache directory {self._root}: what is there is not read.")
                exists = False
        except OSError as error:
            if error.errno not in _ABSENT:
                raise CacheError(
                    f"The cache folder {folder} cannot be read: {error.strerror}. Nothing was sent."
                ) from error
            exists = False
        return _Place(request, folder, exists, legacy.directories(self._root, request))

    def _folder(self, request: SampleRequest) -> str:
        return os.path.join(self._root, *layout.request_path(request).split("/"), "")

    def _leads_inside(self, path: str) -> bool:
        root = os.path.realpath(self._root)
        return os.path.commonpath((root, os.path.realpath(path))) == root

    def _is_inside(self, folder: str, mode: int) -> bool:
        """The same for a prompt's folder. Resolving takes a call for each name, so it is remembered for the parents."""
        if stat.S_ISLNK(mode):
            return self._leads_inside(folder)
        parent = os.path.dirname(folder)
        if parent not in self._inside:
            if not self._leads_inside(parent):
                return False
            if len(self._inside) >= _MOST_REMEMBERED:
                self._inside.clear()
            self._inside.add(parent)
        return True

    def _write_draft(self, folder: str, data: bytes) -> str:
        """Write `data` to a new file in `folder`, which is made when missing; the file's path."""
        try:
            mode = os.lstat(folder[:-1]).st_mode
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            mode = os.lstat(folder[:-1]).st_mode
        if not self._is_inside(folder[:-1], mode):
            raise CacheError(f"{folder} leads out of the cache directory {self._root}: nothing is written there.")
        return write_draft(folder, data)

    def _move_aside(self, path: str, request: SampleRequest, number: int) -> None:
        for count in itertools.count():
            aside = f"{path}.damaged{count or ''}"
            if not os.path.lexists(aside):
                break
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return
        if self._judge_file(aside, request, number) != "damaged":
            # Another process had stored the sample between our look and the move: give it back.
            publish(aside, path)
            remove(aside)


def _warn(message: str) -> None:
    warnings.warn(message, RolloutsWarning, stacklevel=3)
