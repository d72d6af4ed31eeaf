"""Samples as rows: records, data frames, JSONL, Parquet, Hugging Face data sets. Columns are documented and stable.

Libraries are imported when asked for; none is needed to import this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rollouts.exceptions import ConfigError, SamplingError
from rollouts.results.codec import from_record, to_record
from rollouts.results.response import Failure, Response

if TYPE_CHECKING:
    from rollouts.results.rollouts import Rollouts

COLUMNS: dict[str, str] = {
    "prompt_index": "position of the prompt among those of the call",
    "prompt": "the prompt; a message list as JSON text",
    "seed": "the sample's number",
    "index": "position among the samples of its prompt",
    "content": "the answer after the thought",
    "reasoning": "generated thought, without the injected part",
    "thought": "injected text and reasoning together",
    "full": "reasoning, </think> and content as one text",
    "prefill": "the partial assistant turn as sent",
    "finish_reason": "why generation ended",
    "native_finish_reason": "the same in the provider's word",
    "completed_reasoning": "whether the thought was closed",
    "continued": "whether the model went on from the prefill: yes, no, unknown",
    "continued_reason": "the evidence",
    "refusal": "the model's refusal where the service keeps it apart",
    "provider": "who computed the answer",
    "model": "the model that served",
    "system_fingerprint": "as the service states it",
    "response_id": "as the service states it",
    "created": "Unix time in seconds, as the service states it",
    "received": "Unix time in seconds at which the answer was complete",
    "prompt_tokens": "tokens of the prompt",
    "completion_tokens": "generated tokens",
    "total_tokens": "their sum",
    "reasoning_tokens": "generated tokens that were reasoning",
    "cached_tokens": "prompt tokens from the provider's own cache",
    "cost": "US dollars",
    "latency": "seconds of the attempt that succeeded",
    "attempts": "requests that the sample took",
    "cached": "whether no request was made",
    "origin": "0.1.x for answers of that version's cache",
    "failure": "failed, not_sent or cancelled; empty for an answer",
    "error": "why there is no answer",
}
"""Every column, in order, and what it holds. Unknown values are None."""


def records(everything: Rollouts | Sequence[Rollouts]) -> list[dict[str, Any]]:
    """One dictionary for each slot, with the keys of `COLUMNS`."""
    return [row(slot) for rollouts in _many(everything) for slot in rollouts.slots]


def _many(everything: Rollouts | Sequence[Rollouts]) -> Sequence[Rollouts]:
    return everything if isinstance(everything, list | tuple) else [everything]  # type: ignore[list-item]


def row(slot: Response | Failure) -> dict[str, Any]:
    """One slot as a dictionary with the keys of `COLUMNS`."""
    prompt = slot.prompt if isinstance(slot.prompt, str | None) else json.dumps(slot.prompt, ensure_ascii=False)
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    found.update(
        prompt_index=slot.prompt_index, prompt=prompt, seed=slot.seed, index=slot.index, attempts=slot.attempts
    )
    if isinstance(slot, Failure):
        found["failure"] = slot.kind
        found["error"] = None if slot.error is None else f"{type(slot.error).__name__}: {slot.error}"
        return found
    for name in COLUMNS:
        if found[name] is None and hasattr(slot, name):
            found[name] = getattr(slot, name)
    found.update(slot.usage.to_dict())
    return found


def dataframe(everything: Rollouts | Sequence[Rollouts], library: Literal["pandas", "polars"] = "pandas") -> Any:
    """The rows as a data frame.

    Raises:
        ConfigError: Neither name, or the library is not installed.
    """
    rows = records(everything)
    if library == "pandas":
        return _imported("pandas", "pandas").DataFrame(rows, columns=list(COLUMNS))
    if library == "polars":
        return _imported("polars", "polars").DataFrame(rows, schema=list(COLUMNS), infer_schema_length=None)
    raise ConfigError(f"library={library!r}: give 'pandas' or 'polars'.")


def write_parquet(everything: Rollouts | Sequence[Rollouts], path: str | Path) -> None:
    """Write the rows as Parquet.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    arrow, parquet = _imported("pyarrow", "parquet"), _imported("pyarrow.parquet", "parquet")
    rows = records(everything)
    parquet.write_table(arrow.table({name: [row[name] for row in rows] for name in COLUMNS}), path)


def dataset(everything: Rollouts | Sequence[Rollouts]) -> Any:
    """The rows as a Hugging Face data set.

    Raises:
        ConfigError: `datasets` is not installed.
    """
    return _imported("datasets", "datasets").Dataset.from_list(records(everything))


def _imported(module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{module.partition('.')[0]} is needed for this and is not installed: pip install 'rollouts[{extra}]'"
        ) from error


# ── JSONL that can be read back ──


def write_jsonl(everything: Rollouts | Sequence[Rollouts], path: str | Path) -> None:
    """Write one line for each slot: the columns, and under `sample` all that is needed to read it back."""
    with Path(path).open("w", encoding="utf-8") as file:
        for rollouts in _many(everything):
            head = {"asked": rollouts.model, "settings": dict(rollouts.settings), "cache_dir": rollouts.cache_dir}
            for slot in rollouts.slots:
                sample = to_record(slot) | {"injected": slot.injected} if isinstance(slot, Response) else None
                line = {**row(slot), "call": {**head, "prompt": rollouts.prompt}, "sample": sample}
                # ASCII only: a lone surrogate in a model's text has no UTF-8.
                file.write(json.dumps(line) + "\n")


def read_jsonl(path: str | Path) -> list[Rollouts]:
    """Read what `write_jsonl` wrote: one `Rollouts` for each prompt, without raw bodies.

    Raises:
        ConfigError: A line that was not written by `write_jsonl`; the message says which.
    """
    from rollouts.results.rollouts import Rollouts

    slots: dict[int, list[Response | Failure]] = {}
    heads: dict[int, dict[str, Any]] = {}
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                heads.setdefault(row["prompt_index"], row["call"])
                slots.setdefault(row["prompt_index"], []).append(_slot(row))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{path}, line {number}: no sample written by to_jsonl ({type(error).__name__}: {error})."
                ) from error
    return [
        Rollouts(tuple(slots[i]), head["prompt"], head["asked"], head["settings"], head["cache_dir"])
        for i, head in heads.items()
    ]


def _slot(row: dict[str, Any]) -> Response | Failure:
    place = {name: row[name] for name in ("index", "prompt_index")}
    prompt, record = row["call"]["prompt"], row["sample"]
    if record is None:
        error = None if row["error"] is None else SamplingError(row["error"])
        return Failure(row["failure"], error, row["seed"], **place, prompt=prompt, attempts=row["attempts"] or 0)
    response = from_record(
        record, seed=row["seed"], prefill=row["prefill"], injected=record["injected"], origin=row["origin"]
    )
    for name, value in {**place, "prompt": prompt, "cached": row["cached"]}.items():
        object.__setattr__(response, name, value)  # made here, and nobody else's yet
    return response


def merge(parts: Iterable[Rollouts]) -> list[Rollouts]:
    """The parts with their prompts numbered through, for one table of several calls."""
    from dataclasses import replace

    merged = []
    for i, rollouts in enumerate(parts):
        merged.append(replace(rollouts, slots=tuple(replace(slot, prompt_index=i) for slot in rollouts.slots)))
    return merged
