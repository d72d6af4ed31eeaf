"""How long a service asks us to wait, whichever of its many ways it says so. Knows no error and no retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def announced_wait(
    headers: Mapping[str, str], metadata: Mapping[str, Any], availability: Mapping[str, Any], now: Callable[[], float]
) -> float | None:
    """Seconds until the service wants to be asked again; None where it does not say.

    Args:
        headers: The answer's, names in lower case.
        metadata: The error's; older answers carry headers of limits in it.
        availability: The error's, with `retry_after` in seconds.
        now: Wall clock, for dates.
    """
    told = metadata.get("headers")
    inner = {str(k).lower(): str(v) for k, v in told.items()} if isinstance(told, dict) else {}
    for source in (headers, inner):
        milliseconds = _seconds(source.get("retry-after-ms"))
        if milliseconds is not None:
            return milliseconds / 1000
        if (text := source.get("retry-after")) is not None:
            wait = _seconds(text)
            return _until_date(text, source, now) if wait is None else wait
    if (wait := _seconds(availability.get("retry_after"))) is not None:
        return wait
    if (wait := _seconds(metadata.get("retry_after_seconds", metadata.get("retry_after")))) is not None:
        return wait
    reset = _seconds(headers.get("x-ratelimit-reset") or inner.get("x-ratelimit-reset"))
    if reset is None:
        return None
    # Milliseconds or seconds of the epoch, or seconds from now: only the size tells.
    if reset > 1e11:
        reset /= 1000
    return max(0.0, reset - now()) if reset > 1e9 else reset


def _until_date(text: str, headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        # The service's own clock where it shows it: ours may be wrong.
        begin = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        begin = now()
    return max(0.0, then - begin)


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, seconds) if seconds < 1e15 else None
