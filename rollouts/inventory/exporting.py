"""Entries of a cache as rows of a file: JSONL, CSV, Parquet. One row in memory at a time (Parquet: a thousand)."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from rollouts.exceptions import CacheError, ConfigError
from rollouts.inventory.words import parameters, prompt_text
from rollouts.results import Response
from rollouts.results.tables import COLUMNS as RESULT_COLUMNS
from rollouts.typing import StoredEntry

COLUMNS: dict[str, str] = {
    **{name: meaning for name, meaning in RESULT_COLUMNS.items() if name not in ("failure", "error")},
    "injected": "the injected thought without tags",
    "reasoning_kind": "text, summary or encrypted",
    "tool_calls": "JSON text in the OpenAI shape",
    "logprobs": "JSON text in the OpenAI shape",
    "fingerprint": "SHA-256 of the whole request",
    "adapter": "the adapter that encoded the request",
    "service": "who was asked",
    "asked_model": "the model asked for",
    "parameters": "the body of the request without model and prompt, as JSON text",
    "messages": "the prompt as it was sent, as JSON text",
    "headers": "the user's own headers, as JSON text",
    "place": "the file, or table and row",
}
"""Every column, in order: those of `Rollouts.to_records`, then what belongs to the request."""

FORMATS = ("jsonl", "csv", "parquet")

_BLOCK = 1000  # rows of Parquet in memory at once
_WHOLE = frozenset(("prompt_index", "seed", "index", "created", "attempts", *(
    f"{name}_tokens" for name in ("prompt", "completion", "total", "reasoning", "cached"))))  # fmt: skip
_REAL = frozenset(("received", "cost", "latency"))
_TRUTH = frozenset(("completed_reasoning", "cached"))


def rows(entries: Iterable[StoredEntry], *, raw: bool = False) -> Iterator[dict[str, Any]]:
    """One dictionary for each answer, with the keys of `COLUMNS` (and `raw`, the service's answer as text).

    `prompt_index` counts the requests, `index` the samples of each. Entries with a problem are left out.
    """
    last, prompt_index, index = None, -1, 0
    for entry in entries:
        request, response = entry.request, entry.response
        if entry.problem is not None or request is None or response is None:
            continue
        if last != request:
            last, index, prompt_index = request, 0, prompt_index + 1
            shared = _shared(entry)
        row: dict[str, Any] = {name: getattr(response, name, None) for name in COLUMNS}
        row.update(response.usage.to_dict())
        row.update(shared, prompt_index=prompt_index, index=index, seed=entry.number, place=entry.place)
        row["tool_calls"], row["logprobs"] = _json(response.tool_calls), _json(response.logprobs)
        if raw:
            row["raw"] = _raw(response)
        index += 1
        yield row


def _shared(entry: StoredEntry) -> dict[str, Any]:
    request = entry.request
    assert request is not None
    body = request.document["body"]
    settings = parameters(request)
    return {
        "prompt": prompt_text(request),
        "fingerprint": request.fingerprint,
        "adapter": request.adapter,
        "service": request.service,
        "asked_model": request.model,
        "parameters": json.dumps(settings),
        "messages": json.dumps({name: value for name, value in body.items() if name not in (*settings, "model")}),
        "headers": json.dumps(request.document["headers"]),
    }


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _raw(response: Response) -> str | None:
    body = response.raw_body
    return None if body is None else body.decode("utf-8", "backslashreplace")


def write(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike[str], format: str, *, raw: bool = False) -> int:
    """Write rows to a new file, which appears when it is whole; how many there were.

    Args:
        rows: As `rows` yields them.
        path: The file.
        format: One of `FORMATS`.
        raw: True where the rows have the column `raw`.

    Raises:
        ConfigError: There is such a file already, no such format, or pyarrow is not installed.
        CacheError: The file cannot be written.
    """
    writer = writer_of(format)
    target = Path(path)
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already and is not overwritten: give another name, or move it away.")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with draft.open("xb") as file:
                n = writer(rows, file, [*COLUMNS, "raw"] if raw else list(COLUMNS))
            if os.path.lexists(target):
                raise ConfigError(f"{target} was made by somebody else meanwhile, and is not overwritten.")
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(f"{target} cannot be written: {error.strerror or error}. Nothing is left of it.") from error
    return n


Writer = Callable[[Iterable[Mapping[str, Any]], IO[bytes], list[str]], int]


def writer_of(format: str) -> Writer:
    """What writes this format to an open file.

    Raises:
        ConfigError: No such format, or pyarrow is not installed.
    """
    if format == "jsonl":
        return _write_jsonl
    if format == "csv":
        return _write_csv
    if format != "parquet":
        raise ConfigError(f"No format {format!r}: there are {', '.join(FORMATS)}.")
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from error
    return lambda rows, file, columns: _write_parquet(arrow, parquet, rows, file, columns)


def _write_jsonl(rows: Iterable[Mapping[str, Any]], file: IO[bytes], columns: list[str]) -> int:
    n = 0
    for n, row in enumerate(rows, 1):  # noqa: B007  (the count is returned)
        file.write(json.dumps(row).encode("ascii") + b"\n")  # ASCII: a lone surrogate has no UTF-8
    return n


class _Encoded:
    """A text file for `csv`, which closes nothing and escapes a lone surrogate."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode("utf-8", "backslashreplace"))


def _write_csv(rows: Iterable[Mapping[str, Any]], file: IO[bytes], columns: list[str]) -> int:
    writer = csv.DictWriter(_Encoded(file), columns)
    writer.writeheader()
    n = 0
    for n, row in enumerate(rows, 1):  # noqa: B007
        writer.writerow(row)
    return n


def _write_parquet(
    arrow: Any, parquet: Any, rows: Iterable[Mapping[str, Any]], file: IO[bytes], columns: list[str]
) -> int:
    types = {**dict.fromkeys(_WHOLE, arrow.int64()), **dict.fromkeys(_REAL, arrow.float64())}
    types |= dict.fromkeys(_TRUTH, arrow.bool_())
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in columns])
    stream, n = iter(rows), 0
    with parquet.ParquetWriter(file, schema) as writer:
        while block := list(itertools.islice(stream, _BLOCK)):
            values = {name: [_clean(row[name]) for row in block] for name in columns}
            writer.write_table(arrow.table(values, schema=schema))
            n += len(block)
    return n


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
