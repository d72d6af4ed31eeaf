"""Options that the sub-commands share: which cache, which of its entries. Opens the cache and closes it."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rollouts.config import load_config
from rollouts.exceptions import ConfigError
from rollouts.inventory import Filter
from rollouts.plugins import plugin_manager
from rollouts.settings import SETTINGS, Options
from rollouts.typing import CacheOptions, CacheUpkeep

OWN_KINDS = ("json", "sql", "requests-cache")

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the cache."""
    folder = SETTINGS["cache_dir"].default
    parser.add_argument("--cache-dir", metavar="DIR", help=f"the cache's folder (default: as configured, or {folder})")
    parser.add_argument(
        "--use-cache", "--cache", metavar="KIND", help="json, sql, requests-cache … (default: as configured, or json)"
    )
    parser.add_argument("--cache-options", type=json_object, metavar="JSON", help='such as {"backend": "filesystem"}')


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose entries."""
    group = parser.add_argument_group("which samples (all that are given must hold)")
    group.add_argument("--model", metavar="PATTERN", help="asked of such a model: 'qwen/*'")
    group.add_argument("--prompt", metavar="TEXT", help="with this text in the prompt")
    group.add_argument("--older-than", type=_moment, metavar="AGE", help="90d, 12h, 30m, 2w, or a date: 2026-01-31")
    group.add_argument("--provider", metavar="NAME", help="computed by this provider")
    group.add_argument("--finish-reason", metavar="REASON", help="ended so: stop, length …")


def filter_of(arguments: argparse.Namespace) -> Filter:
    """The filter that the options say."""
    return Filter(
        model=arguments.model,
        prompt=arguments.prompt,
        before=arguments.older_than,
        provider=arguments.provider,
        finish_reason=arguments.finish_reason,
    )


def named(arguments: argparse.Namespace) -> tuple[str, str, dict[str, Any]]:
    """Kind, folder and options of the cache: what was given, else what files and environment say, else the defaults."""
    configured = load_config().values
    kind = arguments.use_cache or configured.get("use_cache", "json")
    folder = arguments.cache_dir or configured.get("cache_dir") or SETTINGS["cache_dir"].default
    options = arguments.cache_options
    if options is None:
        options = configured.get("cache_options", {}) if arguments.use_cache is None else {}
    return kind if isinstance(kind, str) else "json", os.fspath(folder), Options(options)


@contextlib.contextmanager
def opened(arguments: argparse.Namespace, *, exists: bool = True) -> Iterator[Any]:
    """The cache of the options, closed at the end.

    Raises:
        ConfigError: With `exists`, where there is no such folder; or the cache cannot be listed.
    """
    kind, folder, options = named(arguments)
    if exists and not options.keys() - {"backend"}:
        try:
            os.stat(os.path.expanduser(folder))
        except FileNotFoundError as error:
            raise ConfigError(f"There is no cache directory {folder}: name one with --cache-dir.") from error
        except OSError:
            pass  # the cache itself says what is wrong
    with made(kind, folder, options) as cache:
        yield cache


@contextlib.contextmanager
def made(kind: str, folder: str, options: dict[str, Any]) -> Iterator[Any]:
    """A cache, closed at the end.

    Raises:
        ConfigError: It cannot be listed.
    """
    with any_kind(kind, folder, options) as cache:
        if not hasattr(cache, "entries"):
            raise ConfigError(f"The cache {kind!r} cannot be listed: its plugin has no entries().")
        yield cache


@contextlib.contextmanager
def any_kind(kind: str, folder: str, options: dict[str, Any]) -> Iterator[Any]:
    """A cache, closed at the end; one that can be listed or not."""
    cache: Any = plugin_manager().make("cache", kind, CacheOptions(Path(folder).expanduser(), options))
    try:
        yield cache
    finally:
        cache.close()


def keeper(cache: Any, arguments: argparse.Namespace) -> CacheUpkeep:
    """The cache as one whose entries can be moved and deleted.

    Raises:
        ConfigError: It cannot do that.
    """
    if not isinstance(cache, CacheUpkeep):
        raise ConfigError(f"The cache {named(arguments)[0]!r} cannot move or delete entries: its plugin has no way to.")
    return cache


def elsewhere(arguments: argparse.Namespace) -> str | None:
    """Where an empty cache's samples may be instead: another kind of cache in the same folder."""
    kind, folder, _ = named(arguments)
    for other in OWN_KINDS:
        if other != kind:
            with made(other, folder, {}) as cache:
                if next(iter(cache.entries()), None) is not None:
                    return f"The cache {kind!r} in {folder} is empty. There are entries for --use-cache {other}."
    return None


def whole(text: str) -> int:
    """The value of an option that counts."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, 0 or more")
    return value


def json_object(text: str) -> dict[str, Any]:
    """The value of an option that is a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("give a JSON object")
    return value


def _moment(text: str) -> float:
    """The Unix time in seconds that an age or a date names."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text):
        return time.time() - float(found[1]) * _UNITS[found[2]]
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no age (90d, 12h) and no date (2026-01-31)") from error
