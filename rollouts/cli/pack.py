"""`rollouts pack` and `rollouts unpack`: a study's samples in one file, and back into a cache."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rollouts
from rollouts.cli.cache.options import add_cache, any_kind, elsewhere, named, opened
from rollouts.exceptions import ConfigError
from rollouts.packing import Manifest, read_manifest, unpack, write_pack

_PACK_EXAMPLES = """\
examples:
  rollouts pack study.zip                              all samples of the cache that is configured here
  rollouts pack study.zip --model 'qwen/*' --prompt "hotel"
  rollouts pack study.zip --cache-dir runs --use-cache sql
  rollouts pack study.zip --use-cache postgresql --cache-options '{"url_from": "CACHE_URL"}'

Another machine replays it: `rollouts unpack study.zip --cache-dir study`, then run the study with
cache_dir="study" and ROLLOUTS_OFFLINE=1. No key is needed, and nothing is sent.
"""

_UNPACK_EXAMPLES = """\
examples:
  rollouts unpack study.zip --list                     what is in it
  rollouts unpack study.zip --cache-dir study          its samples in study/, as files unless configured otherwise
  rollouts unpack study.zip --cache-dir study --use-cache sql

The pack is checked before anything is stored. Samples that the cache has already stay as they are.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both sub-commands."""
    parser = commands.add_parser(
        "pack",
        help="write a study's samples to one file",
        description="Writes the samples of a cache to one file, with a manifest.",
        epilog=_PACK_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the pack to write")
    add_cache(parser)
    parser.add_argument("--model", action="append", default=[], metavar="PATTERN", help="only models like this")
    parser.add_argument("--prompt", metavar="TEXT", help="only prompts in which this text occurs")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--json", action="store_true", help="write the manifest as JSON")
    parser.set_defaults(run=run_pack)

    parser = commands.add_parser(
        "unpack",
        help="put a pack's samples into a cache",
        description="Puts the samples of a pack into a cache, where offline runs find them.",
        epilog=_UNPACK_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the pack to read")
    add_cache(parser)
    parser.add_argument("--list", action="store_true", help="tell what is in it, and store nothing")
    parser.add_argument("--json", action="store_true", help="with --list: write the manifest as JSON")
    parser.set_defaults(run=run_unpack)


def run_pack(arguments: argparse.Namespace) -> int:
    """Write a pack and tell what is in it."""
    if arguments.file.exists() and not arguments.force:
        raise ConfigError(f"{arguments.file} is there already: give another name, or --force.")
    with opened(arguments) as cache, _counter("packed") as tell:
        if next(iter(cache.entries()), None) is None:
            raise ConfigError(elsewhere(arguments) or f"There is nothing in {_place(cache, arguments)}.")
        manifest = write_pack(
            cache,
            arguments.file,
            written_by=f"rollouts {rollouts.__version__}",
            models=arguments.model,
            prompt=arguments.prompt,
            overwrite=arguments.force,
            tell=tell,
        )
    _show(manifest, arguments)
    return 0


def run_unpack(arguments: argparse.Namespace) -> int:
    """Store a pack's samples, or tell what is in it."""
    if arguments.list:
        _show(read_manifest(arguments.file), arguments)
        return 0
    with any_kind(*named(arguments)) as cache, _counter("unpacked") as tell:
        done = unpack(arguments.file, cache, tell=tell)
        place = _place(cache, arguments)
    print(f"{done.stored:,} samples stored in {place}, {done.present:,} were there already.")
    if done.differing:
        print(f"{done.differing:,} samples were there with another answer, which was kept.", file=sys.stderr)
    return 0


def _place(cache: Any, arguments: argparse.Namespace) -> str:
    """Where a cache keeps its samples, with its kind."""
    kind, folder, _ = named(arguments)
    return str(getattr(cache, "location", f"{kind}:{folder}"))


@contextmanager
def _counter(word: str) -> Iterator[Any]:
    """Shows how far it is, to people alone."""
    if not sys.stderr.isatty():
        yield None
        return

    def tell(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done:,} of {total:,} samples {word}")
        sys.stderr.flush()

    try:
        yield tell
    finally:
        sys.stderr.write("\r\033[K")


def _show(manifest: Manifest, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(asdict(manifest), indent=2))
        return
    cost = "unknown" if manifest.cost is None else f"${manifest.cost:,.4f}"
    dates = "unknown" if manifest.dates is None else " to ".join(dict.fromkeys(manifest.dates))
    lines = [
        f"{arguments.file}: {_number(manifest.samples, 'sample')} of {_number(len(manifest.requests), 'request')}",
        f"  models     {_counts(manifest.total('models'))}",
        f"  providers  {_counts(manifest.total('providers'))}",
        f"  dates      {dates}",
        f"  cost       {cost}",
        f"  written by {manifest.written_by or 'unknown'}",
    ]
    if manifest.left_out:
        lines.append(f"  left out   {_counts(manifest.left_out)} (no samples)")
    text = "\n".join(lines)
    print(text.encode("utf-8", "backslashreplace").decode())


def _number(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def _counts(counts: Any) -> str:
    shown = [f"{name} {n:,}" for name, n in list(counts.items())[:6]]
    return ", ".join(shown) + (", …" if len(counts) > 6 else "")
