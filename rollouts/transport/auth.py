"""The key, and the one header that it travels in. Shown, pickled or copied it is a mask."""

from __future__ import annotations

import re

from rollouts.exceptions import ConfigError

_SHORTEST_SECRET = 20
"""Characters; services give keys of 27 and more."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Auth:
    """Sets one header to one key.

    The header is put on after all others, so that neither a `.netrc` nor a user's header can replace it.
    """

    __slots__ = ("_key", "header", "prefix")

    def __init__(self, key: str, header: str = "Authorization", prefix: str = "Bearer ") -> None:
        """Check the key without showing it.

        Args:
            key: The secret; white space around it is an error, since it always comes from a bad paste.
            header: Name of the header.
            prefix: What stands before the key.

        Raises:
            ConfigError: The key is empty, or cannot stand in a header.
        """
        if not isinstance(key, str) or not key.strip():
            raise ConfigError("the API key is empty: give api_key=, or set the adapter's environment variable")
        if key != key.strip() or any(not " " < c < "\x7f" for c in key):
            raise ConfigError(
                "the API key has a space, a line break or a character outside ASCII in it: copy it once more, "
                "without quotes and line ends"
            )
        if not _HEADER_NAME.fullmatch(header) or any(not " " <= c < "\x7f" for c in prefix):
            raise ConfigError(f"{header!r} cannot be the header of a key")
        self._key: str | None = key
        self.header = header
        self.prefix = prefix

    @property
    def value(self) -> str:
        """The header's value, with the key.

        Raises:
            ConfigError: This is a copy that came out of a pickle.
        """
        if self._key is None:
            raise ConfigError("a key does not travel in a pickle: give it where the request is sent")
        return self.prefix + self._key

    def hide(self, text: bytes) -> bytes:
        """`text` without the key: some services and proxies repeat what they were sent.

        A stand-in that local servers are given (`EMPTY`, `lm-studio`) is no secret, and may be a word of the answer.
        """
        key = self._key or ""
        if len(key) < _SHORTEST_SECRET or not any(c.isdigit() for c in key):
            return text
        secret = key.encode()
        return text.replace(secret, b"***") if secret in text else text

    def __repr__(self) -> str:
        return f"Auth(header={self.header!r}, key='***')"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy without the key."""
        return (_masked, (self.header, self.prefix))


def _masked(header: str, prefix: str) -> Auth:
    auth = Auth.__new__(Auth)
    auth._key, auth.header, auth.prefix = None, header, prefix
    return auth
