"""A key that shows itself to nobody who does not ask. Knows nothing of where keys come from."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

from rollouts.exceptions import ConfigError


class Secret:
    """A key. `repr`, `str` and formatting give `Secret(…)`; pickling is refused; `reveal()` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself. Put it in a header, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse: a key is read where it is used.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a key is never pickled: set it in the environment of the process that sends")


def api_key(name: str, value: Any) -> Secret:
    """Check a key; white space around it (a file's last line break) is dropped.

    Raises:
        ConfigError: No text, nothing but white space, or characters that no header can carry.
    """
    # From here on no frame holds the text: a traceback may be shown with its variables.
    value = Secret(value) if isinstance(value, str) else value
    if not isinstance(value, Secret):
        raise ConfigError(f"{name} is a {type(value).__name__}: give the key as text.")
    trouble = _trouble(value)
    if trouble is not None:
        raise ConfigError(f"{name} {trouble}")
    return Secret(value.reveal().strip())


def _trouble(secret: Secret) -> str | None:
    key = secret.reveal().strip()
    if not key:
        return "is empty or white space: give a key, or leave it out to use the environment's."
    if not key.isascii() or not key.isprintable() or " " in key:
        return "holds white space or characters that no header can carry: copy the key again."
    return None
