"""The table of importances: one row a sentence, with its interval and the size of each arm. Computes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, overload

from rollouts_anchors.files import printable, write_text


@dataclass(frozen=True, slots=True)
class ImportanceRow:
    """One sentence. What could not be measured is None, and `note` says why."""

    position: int
    sentence: str
    value: float | None
    """The importance; its sign is in the table's `meaning`."""
    low: float | None
    high: float | None
    """The interval's ends."""
    accuracy_kept: float | None
    """Share of right answers among those counted that keep the sentence."""
    accuracy_removed: float | None
    """The same in the arm it is compared with: all without the sentence; for `counterfactual` the different ones."""
    n_kept: int
    """Counted answers of the kept arm."""
    n_removed: int
    """Counted answers of the removed arm, similar and different first sentences together."""
    n_different: int | None
    """Counted answers of the removed arm whose first sentence differs; None where similarity was not asked for."""
    n_uncounted: int
    """Samples of both arms that the policy leaves out: no answer, truncated, error."""
    different_fraction: float | None
    """Share of the removed arm's first sentences that differ from this one."""
    overdeterminedness: float | None
    """1 - distinct first sentences / first sentences of the removed arm."""
    note: str = ""
    """Why there is no value."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ImportanceTable(Sequence[ImportanceRow]):
    """Importances along a trace, and how they were computed."""

    rows: tuple[ImportanceRow, ...]
    kind: str
    metric: str
    meaning: str
    """What the value is, with its sign."""
    smoothing: float | None
    """Added to every count before KL; None for other metrics."""
    threshold: float | None
    """Cosine below which a sentence is a different one; None where similarity was not asked for."""
    min_different: int | None
    interval: str
    """How the interval was made: `newcombe`, `bootstrap` or `none`."""
    confidence: float
    policy: str
    """What became of samples without an answer."""
    compat: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ImportanceRow]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> ImportanceRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ImportanceRow, ...]: ...
    def __getitem__(self, index: int | slice) -> ImportanceRow | tuple[ImportanceRow, ...]:
        return self.rows[index]

    @property
    def values(self) -> list[float | None]:
        """The importances in order of position."""
        return [row.value for row in self.rows]

    def top(self, n: int = 5) -> list[ImportanceRow]:
        """The rows of greatest size, whatever their sign; those without a value are left out."""
        known = [row for row in self.rows if row.value is not None]
        return sorted(known, key=lambda row: -abs(row.value or 0.0))[:n]

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary a row."""
        return [row.to_dict() for row in self.rows]

    def to_frame(self) -> Any:
        """A pandas DataFrame, indexed by position; how it was computed is in `.attrs`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        import pandas

        frame = pandas.DataFrame(self.to_records(), columns=[f.name for f in fields(ImportanceRow)]).set_index(
            "position"
        )
        frame.attrs.update(self.about())
        return frame

    def about(self) -> dict[str, Any]:
        """How the table was computed."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}

    def write_jsonl(self, path: str | Path) -> Path:
        """One JSON object a line: first how it was computed (`{"about": …}`), then the rows."""
        lines = [{"about": self.about()}, *self.to_records()]
        return write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def __str__(self) -> str:
        """The table in plain text."""
        head = f"{self.kind} importance, {self.metric}: {self.meaning}\n"
        lines = [f"{'':>4} {'value':>8} {'interval':>18} {'kept':>5} {'removed':>7} {'diff.':>5}  sentence"]
        for row in self.rows:
            value = "–" if row.value is None else f"{row.value:+.3f}"
            interval = "–" if row.low is None or row.high is None else f"[{row.low:+.3f}, {row.high:+.3f}]"
            different = "" if row.n_different is None else str(row.n_different)
            text = " ".join(row.sentence.split())
            text = text if len(text) <= 60 else text[:59] + "…"
            note = f"  ({row.note})" if row.note else ""
            lines.append(
                f"{row.position:>4} {value:>8} {interval:>18} {row.n_kept:>5} {row.n_removed:>7} {different:>5}  "
                f"{text}{note}"
            )
        return printable(head + "\n".join(lines))
