"""Looks at numbers that a caller gave. Knows nothing of what they count."""

from __future__ import annotations

import operator
from typing import Any

from rollouts.exceptions import ConfigError


def whole(name: str, value: Any, least: int = 1) -> int:
    """`value` as a whole number, whatever kind of integer it is.

    Raises:
        ConfigError: It is none, or below `least`.
    """
    number = integer(value)
    if number is None or number < least:
        raise ConfigError(f"{name}={value!r}: give a whole number, {least} or more.")
    return number


def integer(value: Any) -> int | None:
    """`value` as an integer (those of other libraries too); None where it is none. True and False are none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
