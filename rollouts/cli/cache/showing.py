"""How entries look on a terminal: harmless text, columns, how far the work is. Knows no cache."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Control characters and escape sequences, marks that turn the direction of text, invisible ones, lone surrogates: a
# model's text must not move the cursor, set the window's title or hide what stands there.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_EVERY = 0.1  # seconds between two words on progress


def safe(text: str, *, lines: bool = False) -> str:
    """`text` with everything escaped that is not simply seen; line breaks and tabs stay with `lines`."""

    def escape(found: re.Match[str]) -> str:
        if lines and found[0] in "\n\t":
            return found[0]
        return found[0].encode("unicode_escape").decode("ascii")

    return _UNSAFE.sub(escape, text)


def short(text: str | None, width: int) -> str:
    """The beginning of a text, on one line of at most `width` characters."""
    line = safe(" ".join((text or "")[: 4 * width].split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def as_json(value: Any) -> str:
    """`value` as JSON on one line of plain ASCII, without control characters."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def harden() -> None:
    """Let standard output take every text: what its encoding lacks is escaped."""
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Rows as columns, the first row being the heads; those in `right` flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join(map(line, rows))


def size(n: int) -> str:
    """Bytes for people."""
    value = float(n)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def date(seconds: float | None) -> str:
    """A Unix time as a date and a time of day in UTC; `-` where unknown or impossible."""
    if seconds is None:
        return "-"
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError, TypeError):
        return "-"


def cost(total: float, known: int, of: int) -> str:
    """Dollars, and of how many samples they are known."""
    if not known:
        return "-"
    return f"${total:,.4f}" if known == of else f"${total:,.4f} ({known:,} of {of:,})"


@contextlib.contextmanager
def progress(word: str) -> Iterator[Callable[[], None]]:
    """Counts calls, and shows the count on standard error where that is a terminal."""
    n, shown = 0, 0.0
    watched = sys.stderr is not None and sys.stderr.isatty()

    def tell() -> None:
        nonlocal n, shown
        n += 1
        if watched and (now := time.monotonic()) - shown > _EVERY:
            shown = now
            sys.stderr.write(f"\r{n:,} {word}")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        if watched:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
