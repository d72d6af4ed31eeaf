"""`rollouts cache ls`: one line a sample."""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import Any

from rollouts.cli.cache.options import add_cache, add_filter, elsewhere, filter_of, opened, whole
from rollouts.cli.cache.showing import as_json, date, harden, safe, short
from rollouts.inventory import moment, parameters, prompt_text, select
from rollouts.typing import StoredEntry

_LINE = "{:<18} {:<28} {:<14} {:>7} {:>10} {:<16} {}"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "ls",
        help="list samples, one a line",
        description="Lists what a cache holds. The ID is what `rollouts cache show` takes. Times are in UTC.",
    )
    add_cache(parser)
    add_filter(parser)
    parser.add_argument("--limit", type=whole, metavar="N", help="at most so many")
    parser.add_argument("--json", action="store_true", help="write one JSON object a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the entries as they are read."""
    harden()
    n = 0
    with opened(arguments) as cache:
        entries = itertools.islice(select(cache.entries(), filter_of(arguments)), arguments.limit)
        for n, entry in enumerate(entries, 1):
            if arguments.json:
                print(as_json(_record(entry)))
                continue
            if n == 1:
                print(_LINE.format("ID", "MODEL", "FINISH", "TOKENS", "COST", "RECEIVED", "PROMPT"))
            print(_line(entry))
    if not n and filter_of(arguments).is_empty and arguments.limit != 0 and (hint := elsewhere(arguments)):
        print(hint, file=sys.stderr)
    return 0


def sample_id(entry: StoredEntry) -> str | None:
    """What names the sample on the command line: the beginning of its request's fingerprint, and its number."""
    return None if entry.request is None else f"{entry.request.fingerprint[:12]}:{entry.number}"


def _line(entry: StoredEntry) -> str:
    request, response = entry.request, entry.response
    if request is None or response is None:
        what = f" ({entry.detail})" if entry.detail else ""
        return _LINE.format(sample_id(entry) or "-", "-", f"!{entry.problem}", "-", "-", "-", safe(entry.place + what))
    tokens, cost = response.usage.completion_tokens, response.usage.cost
    return _LINE.format(
        sample_id(entry) or "-",
        short(request.model, 28),
        short(response.finish_reason or "-", 14),
        "-" if tokens is None else tokens,
        "-" if cost is None else f"${cost:.6f}",
        date(moment(response)),
        short(prompt_text(request), 60),
    )


def _record(entry: StoredEntry) -> dict[str, Any]:
    request, response = entry.request, entry.response
    record: dict[str, Any] = {
        "id": sample_id(entry),
        "place": entry.place,
        "bytes": entry.size,
        "problem": entry.problem,
        "detail": entry.detail or None,
        "number": entry.number,
    }
    if request is not None:
        record |= {
            "fingerprint": request.fingerprint,
            "model": request.model,
            "adapter": request.adapter,
            "service": request.service,
            "parameters": parameters(request),
            "prompt": prompt_text(request),
        }
    if response is not None:
        record |= {
            "finish_reason": response.finish_reason,
            "provider": response.provider,
            "time": moment(response),
            "usage": response.usage.to_dict(),
            "content": response.content,
        }
    return record
