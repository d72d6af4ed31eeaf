"""Refuses a word that is not known, and names the one that was probably meant. Knows no option."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rollouts.exceptions import ConfigError


def known_word(option: str, given: object, known: Iterable[str], *, also: str = "") -> None:
    """Do nothing where `given` is one of `known`.

    Raises:
        ConfigError: It is not; the message names all that are, and the nearest.
    """
    words = list(known)
    if isinstance(given, str) and given in words:
        return
    near = difflib.get_close_matches(given.lower(), words, n=1) if isinstance(given, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = f"{', '.join(words)}{also}" if also else f"{', '.join(words[:-1])} or {words[-1]}"
    raise ConfigError(f"{option}={given!r} is not known: give {shown}.{hint}")
