"""Database URLs: what may be shown of one, and what must not. Connects to nothing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from rollouts.exceptions import ConfigError

_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")  # libpq takes several, with commas between

_SECRET = ("password", "sslpassword", "passfile", "username", "user")


class Address:
    """The URL of a database. Shown without user, password and query; cannot be pickled."""

    __slots__ = ("scheme", "url")

    def __init__(self, url: str) -> None:
        """Keep `url`.

        Raises:
            ConfigError: It is no URL.
        """
        self.url = url
        try:
            parts = urlsplit(url)
        except ValueError:
            # Without the cause: its message quotes what may be a password.
            raise ConfigError("The url is not one: write scheme://user:password@host:port/database.") from None
        if "@" in parts.path + parts.query + parts.fragment or parts.fragment:
            # Somebody's password has a / ? or #, and what we take for the host is the beginning of it.
            raise ConfigError(
                "The url of a database has an @ or # where none can be: write special characters of user and password "
                "as %XX (urllib.parse.quote(password, safe='')), or leave them to the driver's environment variables."
            )
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if not all(_HOST.fullmatch(host) for host in hosts):
            raise ConfigError("The url of a database has a port that is no number (not shown).")
        self.scheme = parts.scheme.lower()

    @property
    def shown(self) -> str:
        """What may stand in messages."""
        parts = urlsplit(self.url)
        return f"{self.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}"

    @property
    def identity(self) -> str:
        """Equal for URLs of one storage, whoever logs in; a digest stands for the query, which may choose a schema."""
        query = urlsplit(self.url).query
        kept = sorted((k, v) for k, v in parse_qsl(query, keep_blank_values=True) if k.lower() not in _SECRET)
        return f"{self.shown}#{hashlib.sha256(repr(kept).encode()).hexdigest()[:16]}" if kept else self.shown

    def scrubbed(self, error: BaseException) -> str:
        """The first line of what a driver says, without user and password."""
        text = str(error).strip()
        text = text.splitlines()[0] if text else type(error).__name__
        parts = urlsplit(self.url)
        secrets = [parts.password, *(v for k, v in parse_qsl(parts.query) if k.lower() in ("password", "sslpassword"))]
        for secret in filter(None, secrets):
            text = text.replace(secret, "…").replace(unquote(secret), "…")
        if parts.username:
            text = text.replace(f'"{unquote(parts.username)}"', '"…"')
        return text

    def __repr__(self) -> str:
        return f"<{self.shown}>"

    def __reduce__(self) -> Any:
        raise TypeError("the address of a database may hold a password and is not pickled")


def url_of(options: Mapping[str, Any], *, setting: str, others: tuple[str, ...], example: str) -> Address:
    """The URL among the options of a plugin: `url` itself, or what the environment variable `url_from` holds.

    Args:
        options: What the user gave.
        setting: Under which setting, for messages.
        others: Further options that the plugin takes.
        example: A URL that would do.

    Raises:
        ConfigError: It is missing or no text, or there is an option that the plugin does not take.
    """
    known = ("url", "url_from", *others)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(f"{setting} takes {', '.join(known)}; not {', '.join(map(repr, unknown))}.")
    url, variable = options.get("url"), options.get("url_from")
    if isinstance(variable, str) and url is None:
        url = os.environ.get(variable)
        if not url:
            raise ConfigError(f"{setting} names the environment variable {variable!r} for its url, which is not set.")
    if not isinstance(url, str) or not url:
        raise ConfigError(
            f"{setting} needs a url: {setting}={{'url': '{example}'}}, or {{'url_from': 'NAME'}} for one in an "
            "environment variable."
        )
    return Address(url)
