"""`rollouts cache verify`: what is not in order, and moving it aside."""

from __future__ import annotations

import argparse
import itertools
from collections import Counter

from rollouts.cli.cache.options import add_cache, keeper, opened
from rollouts.cli.cache.showing import as_json, harden, progress, safe
from rollouts.inventory import REPAIRED, Finding, verify

_MOVED_AT_ONCE = 1000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "verify",
        help="check every stored sample",
        description="Reads every entry, raw answers included, and names what is damaged, foreign, stored twice, in "
        "another sample's place, not to be read, or of another version. Exit code 1 where there is such, and it was "
        "not moved.",
    )
    add_cache(parser)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move it aside: to the folder set-aside (json), the table damaged (sql), the names ….damaged "
        "(requests-cache); nothing is deleted. Entries of other versions, and what cannot be read here, stay.",
    )
    parser.add_argument("--json", action="store_true", help="write JSON: one object a finding, then the counts")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, tell, and move aside."""
    harden()
    n = moved = 0
    found: Counter[str] = Counter()
    with opened(arguments) as cache, progress("entries checked") as shown:

        def tell() -> None:
            nonlocal n
            n += 1
            shown()

        findings = verify(cache.entries(), tell)
        while some := list(itertools.islice(findings, _MOVED_AT_ONCE)):
            found.update(finding.kind for finding in some)
            moves: dict[str, str] = {}
            if arguments.repair:
                wrong = [finding.entry for finding in some if finding.kind in REPAIRED]
                moves = {entry.place: aside for entry, aside in keeper(cache, arguments).set_aside(wrong)}
                moved += len(moves)
            for finding in some:
                _tell(finding, moves.get(finding.entry.place), arguments.json)
    left = found.total() - moved - found["0.1.x"]  # those are in order, if old
    if arguments.json:
        print(as_json({"entries": n, "found": dict(found), "moved": moved}))
    else:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.items()))
        print(f"{n:,} entries checked: {kinds or 'all in order'}." + (f" {moved:,} moved aside." if moved else ""))
        if not arguments.repair and any(found[kind] for kind in REPAIRED):
            print("`rollouts cache verify --repair` moves them aside, and deletes nothing.")
    return 1 if left else 0


def _tell(finding: Finding, aside: str | None, json: bool) -> None:
    place = finding.entry.place
    if json:
        number = finding.entry.number
        told = {"place": place, "kind": finding.kind, "number": number, "detail": finding.detail, "moved_to": aside}
        print(as_json(told))
    else:
        print(f"{finding.kind}: {safe(place)}: {safe(finding.detail)}" + (f" → {safe(aside)}" if aside else ""))
