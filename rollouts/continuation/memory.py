"""Remembers what probes found, with dates, in the user's cache directory. Knows nothing of how it was found.

One small JSON file, replaced whole; a damaged one is put aside and counts as empty. `ROLLOUTS_STATE_DIR` names
another directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

FILE = "prefill.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """One verdict of a probe."""

    adapter: str
    model: str
    provider: str | None
    """Routing slug, where one was asked alone."""
    way: str
    """How the partial turn went on the wire."""
    verdict: Literal["yes", "no", "unknown"]
    date: str
    """Day of the probe, as 2026-11-22."""
    since: str = ""
    """Day from which every probe agreed; kept when a later one confirms."""
    reason: str = ""
    service: str = ""
    """Base URL without user and query, for servers of one's own."""

    @property
    def subject(self) -> tuple[str, str, str | None, str, str]:
        """What the verdict is about; a later one about the same replaces it."""
        return (self.adapter, self.model, self.provider, self.way, self.service)


_FIELDS = {f.name for f in fields(Remembered)}


def state_dir() -> Path:
    """Where verdicts are kept: `ROLLOUTS_STATE_DIR`, else the user's cache directory."""
    named = os.environ.get("ROLLOUTS_STATE_DIR", "").strip()
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("rollouts", appauthor=False))


class Memory:
    """The verdicts on disk. Reading creates nothing."""

    def __init__(self, directory: Path | None = None) -> None:
        """Use `directory`, or `state_dir()`."""
        self.path = (directory or state_dir()) / FILE

    def verdicts(self) -> list[Remembered]:
        """All verdicts, oldest first; an empty list where there is no file or none that can be read."""
        try:
            state = self.path.stat()
        except OSError:
            return []
        # Asked once per prompt: an unchanged file is not read again.
        return list(_load(self.path, state.st_mtime_ns, state.st_size, state.st_ino))

    def remember(self, verdicts: Iterable[Remembered]) -> None:
        """Keep verdicts; each replaces an earlier one about the same.

        Raises:
            OSError: The directory cannot be written.
        """
        kept = {item.subject: item for item in self.verdicts()}
        for item in verdicts:
            earlier = kept.pop(item.subject, None)
            agreed = earlier is not None and earlier.verdict == item.verdict
            kept[item.subject] = replace(item, since=earlier.since or earlier.date if agreed and earlier else item.date)
        self._write(list(kept.values()))

    def forget(self, model: str | None = None) -> int:
        """Drop the verdicts on a model, or all; returns how many."""
        before = self.verdicts()
        kept = [item for item in before if model is not None and item.model != model]
        if len(kept) != len(before):
            self._write(kept)
        return len(before) - len(kept)

    def _write(self, verdicts: list[Remembered]) -> None:
        document = {"format": FORMAT, "verdicts": [asdict(item) for item in verdicts]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self._is_readable():
            self.path.replace(self.path.with_suffix(".damaged.json"))
        import tempfile

        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".prefill-", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _is_readable(self) -> bool:
        try:
            return isinstance(json.loads(self.path.read_bytes()), dict)
        except (OSError, ValueError):
            return False


@lru_cache(maxsize=8)
def _load(path: Path, modified: int, size: int, inode: int) -> tuple[Remembered, ...]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return ()
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return ()
    lines = document.get("verdicts")
    return tuple(found for line in lines if (found := _read(line)) is not None) if isinstance(lines, list) else ()


def _read(line: Any) -> Remembered | None:
    if not isinstance(line, dict):
        return None
    try:
        return Remembered(**{name: value for name, value in line.items() if name in _FIELDS})
    except TypeError:
        return None
