"""The cache `requests-cache`: answers in one of requests-cache's storages, under our own key.

Its storages are used, not its session: that one files answers by URL and body, so the samples of one prompt would be
one, and keeps the request with its key. A value is the text that the `json` cache writes (`json_format`): JSON, never
pickle. `sqlite` and `filesystem` keep all the rules of the caches; the documentation tells which of them the
others keep.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

from rollouts.caches import json_format
from rollouts.caches.inventory import Reader
from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.hookspecs import hookimpl
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Response
from rollouts.results.codec import from_record, is_answer
from rollouts.typing import CacheOptions, Spec, StoredEntry

_CHUNK = 500  # keys in one read; SQLite before 3.32 takes 999 parameters
_decode = json.JSONDecoder().decode


@hookimpl
def rollouts_register_caches() -> Sequence[Spec]:
    """Offer the cache `requests-cache`."""
    return [Spec(name="requests-cache", factory=make, description="SQLite, files, Redis, MongoDB … by requests-cache")]


def make(options: CacheOptions) -> RequestsCache:
    """The cache that `cache_options` names: `{"backend": "sqlite", …}`, further entries for the storage itself.

    Raises:
        ConfigError: An unknown backend, a missing driver, an option that it has not, a serializer other than JSON.
    """
    from rollouts.caches import requests_cache_storages

    chosen = dict(options.options)
    serializer = chosen.pop("serializer", "json")
    if serializer != "json":
        raise ConfigError(
            f"cache_options serializer={serializer!r}: answers are kept as JSON only (to read pickle is to run it)."
        )
    return RequestsCache(requests_cache_storages.make(os.fspath(options.cache_dir), chosen))


class Storage(Protocol):
    """Texts by name. Used by many threads at once."""

    location: str
    """Names the storage, without passwords."""

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The texts that there are; makes nothing."""

    def names(self) -> list[str]:
        """All names, in order."""

    def add(self, texts: Sequence[tuple[str, bytes]]) -> list[str]:
        """Keep texts, durable on return; the names that were taken already, whose texts stay as they are."""

    def replace(self, name: str, old: bytes, aside: str) -> None:
        """Move the text `old` of `name` to the name `aside`, if it is still there."""

    def remove(self, names: Sequence[str]) -> int:
        """Delete texts; how many there were."""

    def close(self) -> None:
        """Free what is open."""


class StoredRaw:
    """Reads a stored answer's raw body again."""

    __slots__ = ("name", "storage")

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage = storage
        self.name = name

    def __call__(self) -> bytes:
        """The body.

        Raises:
            CacheError: The answer is gone or damaged.
        """
        text = self.storage.read([self.name]).get(self.name)
        body = None if text is None else json_format.raw_of(text)
        if body is None:
            raise CacheError(f"The raw answer {self.name} is no longer in {self.storage.location}.")
        return body

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the body itself: a storage's options may hold a password."""
        return (bytes, (self(),))


class RequestsCache:
    """Keeps answers in a storage of requests-cache."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.location = f"requests-cache:{storage.location}"
        self._warned: set[str] = set()

    def load_many(self, keys: Iterable[SampleKey]) -> Iterator[tuple[SampleKey, Response]]:
        """Yield the stored samples, a chunk of keys at a time.

        Raises:
            CacheError: The storage cannot be read.
        """
        stream = iter(keys)
        while chunk := list(itertools.islice(stream, _CHUNK)):
            names = {_name(key): key for key in chunk}
            texts = self._storage.read(list(names))
            for name, key in names.items():
                text = texts.get(name)
                response = None if text is None else self._read(key, name, text)
                if response is not None:
                    yield key, response

    def store(self, key: SampleKey, response: Response) -> Response | None:
        """Keep an answer; the first one of a sample stays, and is returned.

        Raises:
            CacheError: The storage cannot be written.
        """
        return self.store_many([(key, response)]).get(key)

    def store_many(self, pairs: Iterable[tuple[SampleKey, Response]]) -> dict[SampleKey, Response]:
        """Keep many answers, with one transaction where the storage has such; returns those that were there already.

        Raises:
            CacheError: The storage cannot be written.
        """
        new = {}
        for key, response in pairs:
            text = json_format.encode(key.request, key.number, response)
            new[_name(key)] = (key, text)
        taken = self._storage.add([(name, text) for name, (_, text) in new.items()])
        there = {new[name][0]: self._store_beside(*new[name]) for name in taken}
        return {key: response for key, response in there.items() if response is not None}

    def entries(self) -> Iterator[StoredEntry]:
        """Yield what is stored, in the order of the names; what was moved aside is left out.

        Raises:
            CacheError: The storage cannot be read.
        """
        reader = Reader()
        names = [name for name in self._storage.names() if not name.endswith(".damaged")]
        for start in range(0, len(names), _CHUNK):
            texts = self._storage.read(names[start : start + _CHUNK])
            for name, text in sorted(texts.items()):
                yield self._entry(reader, name, text)

    def set_aside(self, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, str]]:
        """Rename to `….damaged`, as `CacheUpkeep` says."""
        for entry in entries:
            name = entry.place
            text = self._storage.read([name]).get(name)
            if text is None or (entry.problem is not None and self._entry(Reader(), name, text).problem is None):
                continue
            endings = (f"_{count}.damaged" if count else ".damaged" for count in itertools.count())
            aside = next(name + ending for ending in endings if not self._storage.read([name + ending]))
            self._storage.replace(name, text, aside)
            yield entry, aside

    def remove(self, entries: Iterable[StoredEntry]) -> int:
        """Delete texts, as `CacheUpkeep` says."""
        return self._storage.remove([entry.place for entry in entries])

    def place(self, key: SampleKey) -> str:
        """The storage and name of a sample (another suffix where other requests' answers have the name)."""
        return f"{self._storage.location}, {_name(key)}"

    def close(self) -> None:
        """Close the storage."""
        self._storage.close()

    def _entry(self, reader: Reader, name: str, text: bytes) -> StoredEntry:
        raw = StoredRaw(self._storage, name)
        return reader.entry(text, name, raw, belongs=functools.partial(_belongs, name))

    def _store_beside(self, key: SampleKey, text: bytes) -> Response | None:
        """Store where the name is taken, beside what is not overwritten; returns the sample where it is there."""
        suffix = 0
        while True:
            name = _name(key, suffix)
            if not self._storage.add([(name, text)]):
                return None
            there = self._storage.read([name]).get(name)
            if there is None:
                continue
            verdict, entry = json_format.judge(there, key.request, key.number)
            if verdict == "ours" and _is_response(entry["response"]):
                return self._read(key, name, there)
            if verdict in ("ours", "damaged"):
                self._storage.replace(name, there, f"{name}.damaged")
            else:
                suffix += 1

    def _read(self, key: SampleKey, name: str, text: bytes) -> Response | None:
        for suffix in itertools.count():
            if suffix:
                name = _name(key, suffix)
                there = self._storage.read([name]).get(name)
                if there is None:
                    return None
                text = there
            try:
                found = json_format.record_text(text, _before(key))
                if found is None:
                    verdict, entry = json_format.judge(text, key.request, key.number)
                    if verdict != "ours":
                        self._tell(name, verdict, key.number)
                        continue
                    record = entry["response"]
                else:
                    record = _decode(found)
                raw = StoredRaw(self._storage, name) if json_format.has_raw(text) else None
                response = from_record(record, seed=key.number, raw=raw, **key.request.context)
                if is_answer(response):
                    return response
                self._tell(name, "error", key.number)
            except (ValueError, KeyError, TypeError, RecursionError):
                self._tell(name, "damaged", key.number)
        return None

    def _tell(self, name: str, verdict: json_format.Verdict | Literal["error"], number: int) -> None:
        if name not in self._warned:
            self._warned.add(name)
            what = {
                "damaged": f"is damaged: sample {number} is asked again, and the old text is then kept aside.",
                "error": f"is an error and no answer: sample {number} is asked again, and the old text kept aside.",
                "newer": "was written by a later version of rollouts: it is left as it is. Upgrade rollouts to use it.",
            }.get(verdict, f"is not sample {number} of this request: it is left as it is.")
            warnings.warn(f"{name} in {self._storage.location} {what}", RolloutsWarning, stacklevel=2)


def _name(key: SampleKey, suffix: int = 0) -> str:
    name = f"{key.request.fingerprint}-{key.number}"
    return f"{name}_{suffix}" if suffix else name


def _before(key: SampleKey) -> bytes:
    request = key.request
    return json_format.before_record(json_format.head(request), key.number, json_format.neck(request))


def _belongs(name: str, request: SampleRequest, number: int) -> bool:
    return name.partition("_")[0] == _name(SampleKey(request, number))


def _is_response(record: dict[str, object]) -> bool:
    try:
        return is_answer(from_record(record, seed=0, prefill=None, injected=None))
    except (KeyError, TypeError):
        return False
