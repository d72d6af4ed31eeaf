"""Chooses among requests-cache's storages, each of them as texts by name. Knows nothing of samples."""

from __future__ import annotations

import os
from typing import Any

from rollouts.caches.requests_cache_files import FileStorage
from rollouts.caches.requests_cache_remote import REMOTE, RemoteStorage
from rollouts.caches.requests_cache_sqlite import SqliteStorage
from rollouts.exceptions import ConfigError


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
