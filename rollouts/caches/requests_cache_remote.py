"""requests-cache's storages on a server, used as they come: texts by name. Knows nothing of samples."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from requests_cache import backends

from rollouts.caches.requests_cache import asides
from rollouts.exceptions import CacheError, ConfigError

REMOTE = {  # requests-cache's class, and the driver that it needs
    "redis": ("RedisDict", "redis"),
    "mongodb": ("MongoDict", "pymongo"),
    "gridfs": ("GridFSDict", "pymongo"),
    "dynamodb": ("DynamoDbDict", "boto3"),
}
"""The storages that lie with a server."""

_NAMED = ("host", "port", "db", "region_name", "namespace", "db_name", "table_name")
_SECRET = re.compile(r"(?i)pass|pwd|secret|token|key|cred|user|auth")
_SPACES = ("namespace", "db_name", "table_name")


class RemoteStorage:
    """Redis, MongoDB, GridFS or DynamoDB. One call a text; of two writers at the same moment the last one wins."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self._name = name
        self._options = options
        self.location = _location(name, options)
        self._lock = threading.Lock()
        self._open: Any = None
        self._connect()

    def _connect(self) -> Any:
        class_name, package = REMOTE[self._name]
        options = dict(self._options)
        space = next((options.pop(key) for key in _SPACES if key in options), "rollouts")
        try:
            return getattr(backends, class_name)(space, serializer=None, **options)
        except ImportError as error:
            raise ConfigError(
                f"cache_options backend={self._name!r} needs the package {package}: pip install {package}"
            ) from error

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The texts that there are, one call each."""
        found = {}
        with self._errors("read") as storage:
            for name in names:
                with contextlib.suppress(KeyError):
                    found[name] = _bytes(storage[name])
        return found

    def names(self) -> list[str]:
        """All names."""
        with self._errors("read") as storage:
            return list(map(str, storage.keys()))

    def add(self, texts: Sequence[tuple[str, bytes]]) -> list[str]:
        """Keep texts; the names that were taken."""
        taken = []
        with self._errors("written") as storage:
            for name, text in texts:
                if name in storage:
                    taken.append(name)
                else:
                    storage[name] = text_of(text)
        return taken

    def put_aside(self, name: str, old: bytes) -> str | None:
        """Move a text to a free name, if it is still the one that was seen."""
        with self._errors("written") as storage, contextlib.suppress(KeyError):
            if _bytes(storage[name]) == old:
                aside = next(aside for aside in asides(name) if aside not in storage)
                storage[aside] = text_of(old)
                del storage[name]
                return aside
        return None

    def rename(self, name: str, free: str) -> bool | None:
        """Give a text another name."""
        with self._errors("written") as storage:
            if name not in storage:
                return None
            if free in storage:
                return False
            with contextlib.suppress(KeyError):
                storage[free] = storage[name]
                del storage[name]
            return True

    def remove(self, names: Sequence[str]) -> int:
        """Delete texts; how many there were."""
        n = 0
        with self._errors("written") as storage:
            for name in names:
                with contextlib.suppress(KeyError):
                    del storage[name]
                    n += 1
        return n

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[Any]:
        try:
            with self._lock:
                self._open = self._open or self._connect()
                storage = self._open
            yield storage
        except (ConfigError, CacheError):
            raise
        except Exception as error:  # each driver has a tree of its own
            raise CacheError(f"The {self._name} cache cannot be {doing}: {type(error).__name__}: {error}") from error


def _location(name: str, options: dict[str, Any]) -> str:
    """Which storage this is, for people and to tell two apart, without a secret."""
    shown = {key: _shown(value) for key, value in options.items() if not _SECRET.search(key)}
    named = {key: shown.pop(key) for key in _NAMED if key in shown}
    if shown:  # a socket, a database in a URL, somebody's own connection: no reading matter, but another storage
        named["options"] = hashlib.sha256(repr(sorted(shown.items())).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name} {named}"


def _shown(value: Any) -> Any:
    """An option without what may be a password in it: a server's URL holds the user's."""
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    if isinstance(value, (bool, int, float, type(None))):
        return value
    if not isinstance(value, str):
        return f"{type(value).__name__} {id(value)}"
    scheme, separator, rest = value.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2].partition("?")[0].partition("#")[0]


def text_of(data: bytes) -> str | bytes:
    """Bytes as the text that they are, where they are one."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _bytes(value: Any) -> bytes:
    return (
        bytes(value)
        if isinstance(value, (bytes, bytearray, memoryview))
        else str(value).encode("utf-8", "surrogatepass")
    )
