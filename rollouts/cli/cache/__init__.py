"""`rollouts cache …`: what the caches hold, and its upkeep. One file a sub-command; the work is done by `inventory`."""

from __future__ import annotations

import argparse

from rollouts.cli.cache import clear, convert, export, import_old, ls, show, stats, verify

_EXAMPLES = """\
examples:
  rollouts cache stats                            samples, tokens, cost and bytes, by model and settings
  rollouts cache ls --model 'qwen/*' --limit 20   one line a sample
  rollouts cache show 3f2a9c1b:0                  a sample with its request
  rollouts cache export samples.csv               a table; .jsonl and .parquet too
  rollouts cache convert --to sql --to-dir fast   the same samples in another kind of cache
  rollouts cache verify --repair                  move what is damaged aside
  rollouts cache import old/.rollouts             take in what rollouts 0.1.x stored
  rollouts cache clear --older-than 90d           tell what that would delete; --yes deletes it
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its sub-commands."""
    parser = commands.add_parser(
        "cache",
        help="list, count, export, convert, check and clear stored samples",
        description="Looks at a cache and keeps it in order. Nothing is deleted but by `clear --yes`.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda arguments: parser.print_help())
    below = parser.add_subparsers(title="sub-commands", metavar="SUB-COMMAND")
    for command in (stats, ls, show, export, import_old, convert, verify, clear):
        command.add(below)
