"""`rollouts cache stats`: samples, tokens, cost, bytes and errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from rollouts.cli.cache.options import add_cache, add_filter, elsewhere, filter_of, opened
from rollouts.cli.cache.showing import as_json, cost, harden, progress, short, size, table
from rollouts.inventory import Tally, select, stats
from rollouts.typing import StoredEntry


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "stats",
        help="count samples, tokens, cost and bytes",
        description="Counts what a cache holds. A cost with '(k of n)' is known of k samples only.",
    )
    add_cache(parser)
    parser.add_argument(
        "--by",
        choices=("model", "parameters", "prompt"),
        default="parameters",
        help="how fine to count; each holds those before it (default: parameters)",
    )
    add_filter(parser)
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Count and show."""
    harden()
    with opened(arguments) as cache, progress("entries read") as tell:

        def listed() -> Iterator[StoredEntry]:
            for entry in cache.entries():
                tell()
                yield entry

        groups, total = stats(select(listed(), filter_of(arguments)), arguments.by)
    if arguments.json:
        print(as_json({"by": arguments.by, "groups": [group.to_dict() for group in groups], "total": total.to_dict()}))
        return 0
    heads = {"model": ("MODEL",), "parameters": ("MODEL", "PARAMETERS"), "prompt": ("MODEL", "PARAMETERS", "PROMPT")}
    names = heads[arguments.by]
    rows = [(*names, "SAMPLES", "TOKENS", "COST", "BYTES", "ERRORS")]
    rows += [_row(group, len(names)) for group in (*groups, total)]
    print(table(rows, frozenset(range(len(names), len(names) + 5))))
    if total.problems:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(total.problems.items()))
        print(f"errors: {kinds}. `rollouts cache verify` names them.", file=sys.stderr)
    if not groups and filter_of(arguments).is_empty and (hint := elsewhere(arguments)):
        print(hint, file=sys.stderr)
    return 0


def _row(group: Tally, names: int) -> tuple[str, ...]:
    words = (short(group.model, 48), short(group.parameters, 60), short(group.prompt, 48))[:names]
    tokens = group.prompt_tokens + group.completion_tokens
    return (
        *words,
        f"{group.samples:,}",
        f"{tokens:,}" if group.tokens_known else "-",
        cost(group.cost, group.cost_known, group.samples),
        size(group.bytes),
        f"{group.errors:,}",
    )
