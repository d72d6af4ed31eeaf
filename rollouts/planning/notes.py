"""Collects warnings in place of showing them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rollouts.exceptions import RolloutsWarning


@contextmanager
def collected() -> Iterator[list[str]]:
    """The texts of our warnings, in the list that is given, once the block is over; others are shown as ever.

    Python 3.11 keeps the filters of warnings for the whole process, so what other threads warn of meanwhile is
    collected too.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        if issubclass(warning.category, RolloutsWarning):
            notes.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    notes[:] = dict.fromkeys(notes)
