"""Options of a plugin, some of which may be secrets: shown and pickled without those. Knows no plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
_SECRET = frozenset(
    {"apikey", "auth", "authorization", "cookie", "credential", "credentials", "key", "pass", "passphrase"}
    | {"passwd", "password", "pwd", "secret", "sslpassword", "token"}
)
"""Words of a name whose value is a secret: `password`, `auth_token`, `aws_secret_access_key`."""


class Options(dict[str, Any]):
    """A dictionary whose repr and pickle hold no secret.

    A secret is text under a name such as `password` or `token`, and a URL with a password in it, however deep. The
    repr shows URLs without user and query.
    """

    def __repr__(self) -> str:
        return repr(_shown("", dict(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Options, (_parted("", dict(self))[0],))

    def __copy__(self) -> Options:
        return Options(self)

    def __deepcopy__(self, memo: Any) -> Options:
        return Options(self)

    def secrets(self) -> dict[str, Any]:
        """What the pickle leaves out, in the same form; empty where that is nothing."""
        found: dict[str, Any] | None = _parted("", dict(self))[1]
        return found or {}

    def with_secrets(self, secrets: Mapping[str, Any]) -> Options:
        """These options and what their pickle left out."""
        return Options(_joined(self, secrets))


def public_url(url: str) -> str:
    """`url` without user, password, query and fragment: fit to be shown and stored."""
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "…"
    if not parts.scheme or not host:
        # No URL at all: what stands before an @ or after a ? could still be a secret.
        return url.rpartition("@")[2].partition("?")[0].partition("#")[0]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shown(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(name, item) for item in value]
    if isinstance(value, (str, bytes)) and _is_named_secret(name):
        return "…"
    if not isinstance(value, str) or "://" not in value:
        return value
    url = public_url(value)
    return "…" if "@" in url else url  # somebody's password has a / in it


def _parted(name: str, value: Any) -> tuple[Any, Any]:
    """A value without its secrets, and the secrets; None for none."""
    if isinstance(value, Mapping):
        parts = {key: _parted(str(key), item) for key, item in value.items()}
        plain = {key: kept for key, (kept, secret) in parts.items() if secret is None or kept is not None}
        return plain, {key: secret for key, (_, secret) in parts.items() if secret is not None} or None
    if isinstance(value, (list, tuple)):
        return (None, value) if any(_parted(name, item)[1] is not None for item in value) else (value, None)
    return (None, value) if _is_secret(name, value) else (value, None)


def _joined(plain: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(plain)
    for name, secret in secrets.items():
        inner = joined.get(name)
        joined[name] = _joined(inner, secret) if isinstance(inner, Mapping) else secret
    return joined


def _is_secret(name: str, value: Any) -> bool:
    if not isinstance(value, (str, bytes)) or not value:
        return False
    return _is_named_secret(name) or (isinstance(value, str) and "://" in value and _has_password(value))


def _is_named_secret(name: str) -> bool:
    return not _SECRET.isdisjoint(word.lower() for word in _WORDS.findall(name))


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return True  # nobody can tell
    userinfo = parts.netloc.rpartition("@")[0]
    # An @ further behind: a password with a / in it.
    behind = "@" in parts.path + parts.query + parts.fragment
    return ":" in userinfo or behind or any(_is_named_secret(name) for name, _ in parse_qsl(parts.query))
