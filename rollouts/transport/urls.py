"""URLs as they may be shown: without user, password, query and fragment. Knows no network."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from rollouts.exceptions import ConfigError


def shown_url(url: str) -> str:
    """`url` without all that can hold a secret; for messages and logs."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return "(a URL that cannot be read)"


def checked_url(url: str) -> str:
    """`url` without user and password, if a request can go there.

    Raises:
        ConfigError: It is not an http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or ord(c) < 32 for c in url):
        raise ConfigError(f"{shown_url(url)} is not a URL that requests can be sent to: give http(s)://host/path")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
