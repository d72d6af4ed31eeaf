"""`rollouts cache import`: takes in for good what rollouts 0.1.x stored."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rollouts.cli.cache.convert import show, teller
from rollouts.cli.cache.options import add_cache, made, opened
from rollouts.cli.cache.showing import harden, progress
from rollouts.exceptions import ConfigError
from rollouts.identity import SampleRequest
from rollouts.inventory import copy
from rollouts.typing import StoredEntry

_ABOUT = """\
rollouts 0.1.x kept neither stop, reasoning, include_reasoning nor any further setting with its answers. They are taken
as answers to plain requests without those. An answer that betrays another request (a thought that ended without an
answer, more tokens than max_tokens, tool calls, reasoning in some samples of a prompt and none in others) is named
and left out, unless --ambiguous is given. If you know what the settings were, say it:

  rollouts cache import old/.rollouts
  rollouts cache import old/.rollouts --with reasoning='{"effort": "low"}' --with stop='["END"]' --ambiguous

The old files are not changed. Imported answers say response.origin == "0.1.x". Exit code 0: every entry is in the
cache now. 1: something was left out, and is named. 2: there is nothing of 0.1.x in SOURCE.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "import",
        help="take in what rollouts 0.1.x stored",
        description="Stores the answers in a cache of rollouts 0.1.x (its JSON folders and its .db files) in a cache "
        "of today, and tells what was left out and why.",
        epilog=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the cache_dir of 0.1.x, or one of its .db files")
    add_cache(parser)
    parser.add_argument("--ambiguous", action="store_true", help="take in ambiguous answers too")
    parser.add_argument(
        "--with",
        dest="also",
        action="append",
        default=[],
        type=_field,
        metavar="NAME=JSON",
        help="a field of the request that all these answers were made with",
    )
    parser.add_argument("--json", action="store_true", help="write JSON: each entry left out, then the counts")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import and tell; exit code 1 where something was left out."""
    harden()
    if not arguments.source.exists():
        raise ConfigError(f"There is no {arguments.source}.")
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(opened(arguments, exists=False))
        tell = stack.enter_context(progress("entries imported"))
        done = copy(
            _asked_with(_old_entries(arguments.source, stack), dict(arguments.also)),
            target,
            take=("ambiguous",) if arguments.ambiguous else (),
            skipped=teller(arguments.json),
            tell=tell,
        )
    if not done.met:
        raise ConfigError(f"There is nothing of rollouts 0.1.x in {arguments.source}: name the cache_dir it had.")
    show(done, "imported", arguments.json)
    return 0 if done.complete else 1


def _old_entries(source: Path, stack: contextlib.ExitStack) -> Iterator[StoredEntry]:
    """Both kinds of storage that 0.1.x had lie in one folder."""
    if source.is_dir():
        yield from stack.enter_context(made("json", str(source), {})).old_entries()
        yield from stack.enter_context(made("sql", str(source), {})).old_entries()
        return
    name = f"{source.name}, "
    for entry in stack.enter_context(made("sql", str(source.parent), {})).old_entries():
        if entry.place == source.name or entry.place.startswith(name):
            yield entry


def _asked_with(entries: Iterator[StoredEntry], also: dict[str, Any]) -> Iterator[StoredEntry]:
    for entry in entries:
        request = entry.request
        if request is None or not also:
            yield entry
            continue
        document = {**request.document, "body": {**request.document["body"], **also}}
        yield replace(entry, request=SampleRequest.stored(document, request.context))


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or name in ("model", "messages", "prompt", "seed"):
        raise argparse.ArgumentTypeError(f"{text!r}: give NAME=JSON, such as stop='[\"END\"]'")
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: the value is no JSON ({error})") from error
