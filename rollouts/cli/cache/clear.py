"""`rollouts cache clear`: deletes samples. Tells what it would delete unless it is told to."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

from rollouts.cli.cache.options import add_cache, add_filter, filter_of, keeper, opened
from rollouts.cli.cache.showing import as_json, cost, harden, progress, size
from rollouts.exceptions import ConfigError
from rollouts.inventory import Tally
from rollouts.typing import StoredEntry

_AT_ONCE = 500


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "clear",
        help="delete samples; a dry run without --yes",
        description="Deletes the samples that the options mean, for good. Without --yes it only tells what it would "
        "delete. Entries without a readable answer are kept: `verify --repair` is for those.",
    )
    add_cache(parser)
    add_filter(parser)
    parser.add_argument("--all", action="store_true", help="every sample, where no other option chooses")
    parser.add_argument("--yes", action="store_true", help="really delete")
    parser.add_argument("--dry-run", action="store_true", help="only tell, whatever else is given")
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Delete, or tell."""
    harden()
    wanted = filter_of(arguments)
    if wanted.is_empty and not arguments.all:
        raise ConfigError("Say which samples to delete: --model, --prompt, --older-than …, or --all.")
    really = arguments.yes and not arguments.dry_run
    total, deleted = Tally("total"), 0
    with opened(arguments) as cache, progress("entries read") as tell:

        def meant() -> Iterator[StoredEntry]:
            for entry in cache.entries():
                tell()
                if (
                    entry.problem in (None, "error", "unreached")
                    and entry.response is not None
                    and wanted.matches(entry)
                ):
                    total.add(entry)
                    yield entry

        entries = meant()
        while some := list(itertools.islice(entries, _AT_ONCE)):
            if really:
                deleted += keeper(cache, arguments).remove(some)
    if arguments.json:
        print(as_json({"deleted": deleted, "dry_run": not really, "meant": total.to_dict()}))
        return 0
    what = f"{total.samples + total.errors:,} samples, {size(total.bytes)}"
    spent = cost(total.cost, total.cost_known, total.samples)
    what += f", which cost {spent}" if spent != "-" else ""
    print(f"{deleted:,} samples deleted ({what})." if really else f"Would delete {what}. --yes deletes them.")
    return 0
