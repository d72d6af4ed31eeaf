"""The day of an answer, as people name it. Knows no set of answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollouts.results.response import Response


def day_of(response: Response) -> str | None:
    """The day (UTC) on which the service says it answered, else on which the answer came: `2026-11-22`.

    None where neither tells. What is no time in seconds (some services count milliseconds) does not tell.
    """
    for moment in (response.created, response.received):
        if moment is not None:
            try:
                return datetime.fromtimestamp(moment, UTC).date().isoformat()
            except (ValueError, OverflowError, OSError):
                continue
    return None
