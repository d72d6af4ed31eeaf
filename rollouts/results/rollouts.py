"""All samples of one prompt: `Rollouts`. Knows nothing of how they were got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from rollouts.exceptions import ConfigError
from rollouts.results.response import Failure, Response

if TYPE_CHECKING:
    from rollouts.results.summary import Summary


@dataclass(frozen=True, slots=True)
class Continuation:
    """How many of the answers to a prefill went on from it."""

    yes: int = 0
    no: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """Answers that had a prefill."""
        return self.yes + self.no + self.unknown


@dataclass(frozen=True, slots=True, eq=False)
class Rollouts(Sequence[Response]):
    """The samples of one prompt, in the order of their numbers.

    A sequence of the successes; `slots` has one entry for each number asked. Slicing gives a list.
    """

    slots: tuple[Response | Failure, ...]
    """One `Response` or `Failure` for each number asked, in number order."""
    prompt: Any = None
    """The prompt as the caller gave it."""
    model: str = ""
    """The model asked for."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The sampling settings that were given, by wire name."""
    cache_dir: str | None = None
    """Where the answers are kept; None without a cache."""
    responses: tuple[Response, ...] = field(init=False)
    """The successes."""
    failures: tuple[Failure, ...] = field(init=False)
    """The samples without an answer."""

    def __post_init__(self) -> None:
        failures = tuple(s for s in self.slots if isinstance(s, Failure))
        responses = tuple(s for s in self.slots if isinstance(s, Response)) if failures else tuple(self.slots)
        object.__setattr__(self, "responses", responses)
        object.__setattr__(self, "failures", failures)

    # ── Sequence ──

    def __len__(self) -> int:
        return len(self.responses)

    def __iter__(self) -> Iterator[Response]:
        return iter(self.responses)

    @overload
    def __getitem__(self, index: int) -> Response: ...
    @overload
    def __getitem__(self, index: slice) -> list[Response]: ...
    def __getitem__(self, index: int | slice) -> Response | list[Response]:
        return list(self.responses[index]) if isinstance(index, slice) else self.responses[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rollouts):
            return NotImplemented
        return (self.prompt, self.model, self.slots) == (other.prompt, other.model, other.slots)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return (
            f"Rollouts({len(self)} of {self.n_requested} samples{failed}, {self.n_cached} cached, model={self.model!r})"
        )

    # ── Counts ──

    @property
    def n_requested(self) -> int:
        """How many samples were asked for."""
        return len(self.slots)

    @property
    def n_cached(self) -> int:
        """How many answers came from the cache."""
        return sum(r.cached for r in self.responses)

    @property
    def cost(self) -> float | None:
        """US dollars of all answers whose cost is known (cached ones too); None where none is."""
        known = [r.usage.cost for r in self.responses if r.usage.cost is not None]
        return sum(known) if known else None

    @property
    def cost_known_for(self) -> int:
        """How many answers have a known cost."""
        return sum(r.usage.cost is not None for r in self.responses)

    # ── What the answers have in common, and where not ──

    @property
    def duplicates(self) -> list[tuple[Response, ...]]:
        """Groups of answers with the same text byte for byte: expected at temperature 0, suspicious above."""
        groups: dict[tuple[str | None, str], list[Response]] = {}
        for response in self.responses:
            groups.setdefault((response.reasoning, response.content), []).append(response)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    @property
    def providers(self) -> dict[str | None, int]:
        """How many answers each provider computed; None stands for those that did not say."""
        return dict(Counter(r.provider for r in self.responses))

    @property
    def provenance(self) -> dict[str, dict[Any, int]]:
        """Providers, served models, fingerprints, days (UTC), and the package's own routing pins, each with counts."""
        from rollouts.results.days import day_of

        return {
            "provider": self.providers,
            "model": dict(Counter(r.model for r in self.responses)),
            "system_fingerprint": dict(Counter(r.system_fingerprint for r in self.responses)),
            "date": dict(Counter(map(day_of, self.responses))),
            "pin": dict(Counter(None if r.pin is None else str(dict(r.pin)) for r in self.responses)),
            "origin": dict(Counter(r.origin for r in self.responses)),
        }

    @property
    def continuation(self) -> Continuation:
        """How many answers went on from the prefill; all 0 without one."""
        count = Counter(r.continued for r in self.responses)
        return Continuation(count["yes"], count["no"], count["unknown"])

    # ── Elsewhere ──

    def summary(self) -> Summary:
        """How the samples ended, what they took, who computed them; `print` it."""
        from rollouts.results.summary import summarise

        return summarise(self)

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary for each slot, with the keys of `rollouts.results.tables.COLUMNS`."""
        from rollouts.results import tables

        return tables.records(self)

    def to_dataframe(self, library: Literal["pandas", "polars"] = "pandas") -> Any:
        """One row for each slot.

        Raises:
            ConfigError: The library is not installed.
        """
        from rollouts.results import tables

        return tables.dataframe(self, library)

    def to_parquet(self, path: str | Path) -> None:
        """Write one row for each slot.

        Raises:
            ConfigError: pyarrow is not installed.
        """
        from rollouts.results import tables

        tables.write_parquet(self, path)

    def to_dataset(self) -> Any:
        """One row for each slot, as a Hugging Face data set.

        Raises:
            ConfigError: `datasets` is not installed.
        """
        from rollouts.results import tables

        return tables.dataset(self)

    def to_jsonl(self, path: str | Path) -> None:
        """Write one line for each slot; `from_jsonl` reads it back (all but the raw bodies)."""
        from rollouts.results import tables

        tables.write_jsonl(self, path)

    @classmethod
    def from_jsonl(cls, path: str | Path) -> Rollouts:
        """Read what `to_jsonl` wrote.

        Raises:
            ConfigError: The file was not written by it, or holds several prompts (`tables.read_jsonl` reads those).
        """
        from rollouts.results import tables

        found = tables.read_jsonl(path)
        if len(found) != 1:
            raise ConfigError(f"{path} holds {len(found)} prompts: read it with rollouts.results.tables.read_jsonl.")
        return found[0]

    def _repr_html_(self) -> str:
        from rollouts.results.html import rollouts_html

        return rollouts_html(self)

    # ── Names of rollouts 0.1.x ──

    def get_texts(self) -> list[str]:
        """`full` of each answer."""
        return [r.full for r in self.responses]

    def get_reasonings(self) -> list[str | None]:
        """`reasoning` of each answer."""
        return [r.reasoning for r in self.responses]

    def get_contents(self) -> list[str]:
        """`content` of each answer."""
        return [r.content for r in self.responses]

    def get_total_tokens(self) -> int:
        """Tokens of all answers that state them, prompts included."""
        return sum(r.usage.total_tokens or 0 for r in self.responses)

    def get_finish_reasons(self) -> dict[str, int]:
        """How many answers ended for each reason."""
        return dict(Counter(r.finish_reason for r in self.responses if r.finish_reason))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, without the raw bodies."""
        return {
            "prompt": self.prompt,
            "num_responses": self.n_requested,
            "model": self.model,
            **{name: self.settings.get(name) for name in ("temperature", "top_p", "max_tokens")},
            "settings": dict(self.settings),
            "responses": [r.to_dict() for r in self.responses],
            "failures": [f.to_dict() for f in self.failures],
            "cache_dir": self.cache_dir,
        }
