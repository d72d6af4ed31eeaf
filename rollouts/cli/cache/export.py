"""`rollouts cache export`: samples as a table in a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rollouts.cli.cache.options import add_cache, add_filter, filter_of, opened
from rollouts.cli.cache.showing import progress
from rollouts.exceptions import ConfigError
from rollouts.inventory import COLUMNS, FORMATS, rows, select, write, writer_of
from rollouts.typing import StoredEntry


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "export",
        help="write samples as JSONL, CSV or Parquet",
        description="Writes one row a sample. A file that is there is never overwritten.",
        epilog="columns:\n" + "\n".join(f"  {name:22} {meaning}" for name, meaning in COLUMNS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="where to; - for standard output")
    parser.add_argument("--format", choices=FORMATS, help="(default: by the file's ending; jsonl for -)")
    parser.add_argument("--raw", action="store_true", help="with a column for the service's whole answer")
    add_cache(parser)
    add_filter(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export; exit code 1 where entries hold no answer."""
    format = arguments.format or _format_of(arguments.file)
    left_out = 0
    with opened(arguments) as cache, progress("samples exported") as tell:

        def listed() -> Iterator[StoredEntry]:
            nonlocal left_out
            for entry in select(cache.entries(), filter_of(arguments)):
                tell()
                left_out += entry.problem is not None or entry.response is None
                yield entry

        found = rows(listed(), raw=arguments.raw)
        if arguments.file == "-":
            n = _to_stdout(found, format, arguments.raw)
        else:
            n = write(found, arguments.file, format, raw=arguments.raw)
    print(f"{n:,} samples exported.", file=sys.stderr)
    if left_out:
        print(
            f"{left_out:,} entries hold no answer, and were left out: `rollouts cache verify` names them.",
            file=sys.stderr,
        )
    return 1 if left_out else 0


def _to_stdout(found: Iterator[dict[str, Any]], format: str, raw: bool) -> int:
    if format == "parquet" and sys.stdout.isatty():
        raise ConfigError("Parquet is nothing to be seen on a terminal: give a file.")
    sys.stdout.flush()
    n = writer_of(format)(found, sys.stdout.buffer, [*COLUMNS, "raw"] if raw else list(COLUMNS))
    sys.stdout.buffer.flush()
    return n


def _format_of(name: str) -> str:
    if name == "-":
        return "jsonl"
    ending = Path(name).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ConfigError(f"{name} does not say its format: end it in {', '.join(FORMATS)}, or give --format.")
    return ending
