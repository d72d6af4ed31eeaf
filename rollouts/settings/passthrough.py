"""What users may send beside the settings we know: `extra_body` and `extra_headers`. No key, no seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.settings.checks import json_object

_RESERVED_FIELDS = {
    "seed": "a sample's number is its seed; give seed= for the first number",
    "n": "ask for many samples by n_samples; each is a request of its own",
    "stream": "answers are read whole",
    "messages": "the prompt is given to generate",
    "prompt": "the prompt is given to generate",
    "model": "give model=",
}
_SECRET_FIELDS = frozenset({"api_key", "apikey", "api-key", "authorization"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 section 5.6.2
_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authentication", "authorization", "cookie", "cookie2", "credential", "credentials"}
    | {"password", "secret", "token"}
)
_TRANSPORT_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)


def extra_body(name: str, value: Any) -> dict[str, Any]:
    """Fields passed through to the body.

    Raises:
        ConfigError: A field that we set ourselves, a credential, or something that JSON has not.
    """
    fields = json_object(name, value)
    for field in fields:
        if field in _RESERVED_FIELDS:
            raise ConfigError(f"{name} may not hold {field!r}: {_RESERVED_FIELDS[field]}.")
        if field.lower() in _SECRET_FIELDS:
            raise ConfigError(f"{name} may not hold {field!r}, because bodies are stored: give api_key=.")
    return fields


def extra_headers(name: str, value: Any) -> dict[str, str]:
    """Headers sent with each request; part of a sample's identity, so they are stored.

    Raises:
        ConfigError: A credential, a header that the transport sets, or what no header can carry.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is a {type(value).__name__}: give a dictionary of headers.")
    headers: dict[str, str] = {}
    for header, content in value.items():
        if not isinstance(header, str) or not _HEADER_NAME.match(header):
            raise ConfigError(f"{name} has the name {header!r:.80}, which no header can have.")
        if _is_credential(header):
            raise ConfigError(
                f"{name} may not hold {header!r}, because headers are stored with each sample: give api_key=. "
                "A service that wants its key in another header needs an adapter with that key_header."
            )
        if header.lower() in _TRANSPORT_HEADERS:
            raise ConfigError(f"{name} may not hold {header!r}: the transport sets it.")
        if not isinstance(content, str):
            raise ConfigError(f"{name}[{header!r}] is a {type(content).__name__}: give text.")
        if not _sendable(content):
            raise ConfigError(f"{name}[{header!r}] holds a line break or a character that no header can carry.")
        if header.lower() in {known.lower() for known in headers}:
            raise ConfigError(f"{name} holds {header!r} twice (the case of a header's name means nothing).")
        headers[header] = content
    return headers


def _is_credential(header: str) -> bool:
    lowered = header.lower().replace("_", "-")
    return "api-key" in lowered or not _SECRET_WORDS.isdisjoint(lowered.split("-"))


def _sendable(content: str) -> bool:
    return content == content.strip() and all(" " <= c <= "\xff" and c != "\x7f" for c in content)
