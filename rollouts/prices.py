"""What services charge for their models, remembered on disk with the day on which they said so.

A list is fetched only when somebody asks for it. Knows no service: the adapter says where its list is and reads it.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from rollouts.continuation.memory import state_dir
from rollouts.exceptions import MalformedResponse, RolloutsWarning
from rollouts.outcome import classify, to_error
from rollouts.transport import Auth, HttpTransport

__all__ = ["PriceList", "fetch", "remember", "remembered"]

FILE = "prices.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class PriceList:
    """A service's prices on one day."""

    url: str
    """Where they stand, without user and query."""
    date: str
    """The day (UTC), as 2026-11-22."""
    prices: Mapping[str, tuple[float, float]]
    """US dollars per prompt token and per generated token, by the model's name."""

    def __str__(self) -> str:
        return f"prices of {len(self.prices):,} models from {self.url}, {self.date}"


def fetch(
    transport: HttpTransport,
    url: str,
    auth: Auth | None,
    read: Callable[[Any], Mapping[str, tuple[float, float]]],
    *,
    shown: str,
    timeout: float,
) -> PriceList:
    """Ask a service for its list and remember it.

    Args:
        transport: Sends the one request.
        url: Where the list is.
        auth: The key, where there is one.
        read: From the parsed answer to the prices.
        shown: The URL as it may be shown and kept.
        timeout: Seconds.

    Raises:
        RolloutsError: The service did not answer, or answered something else.
    """
    reply = transport.get(url, auth=auth, timeout=timeout)
    if reply.status != 200:
        raise to_error(classify(reply), what="the price list", attempts=1, service=shown)
    try:
        prices = read(reply.json())
    except ValueError:
        prices = {}
    if not prices:
        raise MalformedResponse(f"{shown} answered no price list.", status=reply.status)
    found = PriceList(shown, datetime.now(UTC).date().isoformat(), dict(prices))
    try:
        remember(found)
    except OSError as error:
        warnings.warn(
            f"The price list cannot be kept in {state_dir()} ({error.strerror or error}): it is known to this call "
            "alone. ROLLOUTS_STATE_DIR names another directory.",
            RolloutsWarning,
            stacklevel=3,
        )
    return found


def remembered(url: str) -> PriceList | None:
    """The list that was fetched from `url` last; None where none was."""
    path = state_dir() / FILE
    try:
        state = path.stat()
    except OSError:
        return None
    return _load(path, state.st_mtime_ns, state.st_size, state.st_ino).get(url)


def remember(found: PriceList) -> None:
    """Keep a list in place of an earlier one from the same URL; the file is replaced whole.

    Raises:
        OSError: The directory cannot be written.
    """
    folder = state_dir()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    lists = dict(_read(path))
    lists[found.url] = found
    document = {
        "format": FORMAT,
        "lists": {url: {"date": item.date, "prices": item.prices} for url, item in sorted(lists.items())},
    }
    import tempfile

    handle, name = tempfile.mkstemp(dir=folder, prefix=".prices-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@lru_cache(maxsize=4)
def _load(path: Path, modified: int, size: int, inode: int) -> Mapping[str, PriceList]:
    return _read(path)


def _read(path: Path) -> Mapping[str, PriceList]:
    """The lists in a file; none from one that is damaged: they can be fetched again."""
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            return {}
        return {
            str(url): PriceList(
                str(url), str(item["date"]), {str(m): (float(p), float(c)) for m, (p, c) in item["prices"].items()}
            )
            for url, item in document["lists"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
