"""Options of a plugin, some of which may be secrets: shown and pickled without those. Knows no plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_SECRET = re.compile(
    r"(?i)pass(?:w|phrase|$)|pwd|secret|credential|cookie|auth(?!or(?:s|ed)?(?:\b|_))|tokens?$"
    r"|(?:api|access|private)_?keys?|(?:^|[-_. ])keys?$"
)
"""Names whose value is a secret: `password`, `auth_token`, `aws_secret_access_key`, `tokens`."""
_SECRET_NUMBER = re.compile(r"(?i)passw|pwd|secret")
"""The same for a number: `max_tokens` is none."""
_DSN = re.compile(r"(?i)\b(?:passw\w*|pwd|secret)\s*=")
"""What a connection string has: `host=db password=…`."""


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
        return {key: _shown(_within(name, key), item) for key, item in value.items()}
    if _is_pair(value):
        return (value[0], "…")
    if isinstance(value, (list, tuple)):
        return [_shown(name, item) for item in value]
    if _is_secret_scalar(name, value):
        return "…"
    if not isinstance(value, str) or "://" not in value:
        return value
    url = public_url(value)
    return "…" if "@" in url else url  # somebody's password has a / in it


def _parted(name: str, value: Any) -> tuple[Any, Any]:
    """A value without its secrets, and the secrets; None for none."""
    if isinstance(value, Mapping):
        parts = {key: _parted(_within(name, key), item) for key, item in value.items()}
        plain = {key: kept for key, (kept, secret) in parts.items() if secret is None or kept is not None}
        return plain, {key: secret for key, (_, secret) in parts.items() if secret is not None} or None
    if isinstance(value, (list, tuple)):
        held = _is_pair(value) or any(_parted(name, item)[1] is not None for item in value)
        return (None, value) if held else (value, None)
    held = _is_secret_scalar(name, value) or (isinstance(value, str) and "://" in value and _has_password(value))
    return (None, value) if held else (value, None)


def _within(name: str, key: Any) -> str:
    """The name of what stands under `key` in something called `name`: what is in a secret is one."""
    return name if _SECRET.search(name) else str(key)


def _is_pair(value: Any) -> bool:
    """True for a name and its secret, as headers come: `("Authorization", "Bearer …")`."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], str)
        and bool(_SECRET.search(value[0]))
    )


def _is_secret_scalar(name: str, value: Any) -> bool:
    if isinstance(value, (str, bytes)):
        return bool(value) and (
            _SECRET.search(name) is not None or (isinstance(value, str) and bool(_DSN.search(value)))
        )
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(_SECRET_NUMBER.search(name))


def _joined(plain: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(plain)
    for name, secret in secrets.items():
        inner = joined.get(name)
        joined[name] = _joined(inner, secret) if isinstance(inner, Mapping) else secret
    return joined


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return True  # nobody can tell
    userinfo = parts.netloc.rpartition("@")[0]
    # An @ further behind: a password with a / in it.
    behind = "@" in parts.path + parts.query + parts.fragment
    return ":" in userinfo or behind or any(_SECRET.search(name) for name, _ in parse_qsl(parts.query))
