"""`rollouts cache convert`: the same samples in another kind of cache."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rollouts.cli.cache.options import add_cache, add_filter, filter_of, json_object, made, named, opened
from rollouts.cli.cache.showing import as_json, harden, progress, safe
from rollouts.inventory import Copied, check_apart, copy, select
from rollouts.typing import StoredEntry


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "convert",
        help="copy a cache into one of another kind",
        description="Copies samples, raw answers included, and reads each back. What the target holds already stays "
        "as it is; the source is not changed. Exit code 1 where something could not be copied.",
        epilog="example: rollouts cache convert --cache-dir .rollouts --to sql --to-dir fast",
    )
    add_cache(parser)
    parser.add_argument("--to", required=True, metavar="KIND", help="the target's kind: json, sql, requests-cache …")
    parser.add_argument("--to-dir", metavar="DIR", help="the target's folder (default: the same)")
    parser.add_argument("--to-options", type=json_object, default={}, metavar="JSON", help="the target's options")
    add_filter(parser)
    parser.add_argument("--json", action="store_true", help="write JSON: the counts, and each entry left out")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy and tell."""
    harden()
    folder = arguments.to_dir or named(arguments)[1]
    with (
        opened(arguments) as source,
        made(arguments.to, folder, arguments.to_options) as target,
        progress("entries converted") as tell,
    ):
        check_apart(source, target)
        skipped = teller(arguments.json)
        done = copy(select(source.entries(), filter_of(arguments)), target, skipped=skipped, tell=tell)
    show(done, "converted", arguments.json)
    return 0 if done.complete else 1


def teller(json: bool) -> Callable[[StoredEntry, str], None]:
    """What tells of each entry that is left out, as it is met; JSON lines with `json`."""

    def tell(entry: StoredEntry, why: str) -> None:
        if json:
            print(as_json({"skipped": entry.place, "number": entry.number, "problem": entry.problem, "why": why}))
        else:
            print(f"left out {safe(entry.place)}: {safe(why)}", file=sys.stderr)

    return tell


def show(done: Copied, word: str, json: bool) -> None:
    """Tell the counts."""
    if json:
        counts = {"copied": done.copied, "there": done.there, "different": done.different}
        print(as_json({**counts, "skipped": dict(done.skipped)}))
        return
    print(f"{done.copied:,} samples {word}, each read back equal; {done.there:,} were there already.")
    if done.different:
        print(f"{done.different:,} were there with another answer, which stays.")
    if done.skipped:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(done.skipped.items()))
        print(f"{done.skipped.total():,} left out: {kinds}.")
