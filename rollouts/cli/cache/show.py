"""`rollouts cache show`: one sample, its request and its answer."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from rollouts.cli.cache.ls import sample_id
from rollouts.cli.cache.options import add_cache, opened
from rollouts.cli.cache.showing import as_json, date, harden, safe
from rollouts.exceptions import ConfigError, NotFound
from rollouts.inventory import prompt_text
from rollouts.typing import StoredEntry

_ID = re.compile(r"([0-9a-f]{4,64})(?::(-?\d+))?")
_FIELDS = (
    *("finish_reason", "native_finish_reason", "completed_reasoning", "continued", "continued_reason", "provider"),
    *("model", "system_fingerprint", "response_id", "reasoning_kind", "refusal", "latency", "attempts", "origin"),
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "show",
        help="show one sample: request and answer",
        description="Shows one sample. Control characters in a text are shown as escapes.",
    )
    parser.add_argument("sample", metavar="ID", help="as `ls` lists it (3f2a9c1b04d5:0), or the sample's file or place")
    add_cache(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="write JSON")
    group.add_argument("--raw", action="store_true", help="write the service's answer, byte for byte")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Find the sample and show it."""
    harden()
    with opened(arguments) as cache:
        entry = find(cache.entries(), arguments.sample)
        if arguments.raw:
            body = None if entry.response is None else entry.response.raw_body
            if body is None:
                raise NotFound(f"No raw answer is stored with {entry.place}.")
            if sys.stdout.isatty():
                print(safe(body.decode("utf-8", "backslashreplace"), lines=True))
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(body)
        elif arguments.json:
            print(as_json(_record(entry)))
        else:
            print(_text(entry))
    return 0


def find(entries: Iterable[StoredEntry], name: str) -> StoredEntry:
    """The entry that `name` means: an ID, or a place.

    Raises:
        ConfigError: It means several.
        NotFound: It means none.
    """
    parts = _ID.fullmatch(name)
    found: list[StoredEntry] = []
    for entry in entries:
        if entry.place == name:
            return entry
        if parts is None or entry.request is None or not entry.request.fingerprint.startswith(parts[1]):
            continue
        if parts[2] is None or entry.number == int(parts[2]):
            found.append(entry)
            if len(parts[1]) == 64 and parts[2] is not None:
                break
            if len(found) > 20:
                break
    if not found:
        raise NotFound(f"There is no sample {safe(name)} in this cache: `rollouts cache ls` lists what there is.")
    if len(found) > 1 and len({(entry.request, entry.number) for entry in found}) > 1:
        some = ", ".join(str(sample_id(entry)) for entry in found[:5])
        raise ConfigError(f"{safe(name)} means several samples ({some} …): give more digits, and the number.")
    return found[0]


def _record(entry: StoredEntry) -> dict[str, Any]:
    request, response = entry.request, entry.response
    raw = None if response is None else response.raw_body
    return {
        "id": sample_id(entry),
        "place": entry.place,
        "bytes": entry.size,
        "problem": entry.problem,
        "detail": entry.detail or None,
        "number": entry.number,
        "fingerprint": None if request is None else request.fingerprint,
        "request": None if request is None else request.document,
        "context": None if request is None else request.context,
        "response": None if response is None else response.to_dict(),
        "raw": None if raw is None else raw.decode("utf-8", "backslashreplace"),
    }


def _text(entry: StoredEntry) -> str:
    request, response = entry.request, entry.response
    lines = [f"place: {safe(entry.place)}", f"bytes: {entry.size:,}", f"number: {entry.number}"]
    if entry.problem is not None:
        lines.append(f"problem: {entry.problem}" + (f" ({safe(entry.detail)})" if entry.detail else ""))
    if request is not None:
        body = {name: value for name, value in request.document["body"].items() if name != "messages"}
        lines += [
            f"fingerprint: {request.fingerprint}",
            f"adapter: {safe(request.adapter)}, service: {safe(request.service)}",
            f"request: {safe(json.dumps(body, ensure_ascii=False))}",
            *_block("prompt", prompt_text(request)),
            *_block("prefill", request.context["prefill"]),
        ]
    if response is not None:
        lines += [
            *_block("reasoning", response.reasoning),
            *_block("content", response.content),
            *(f"{name}: {safe(str(value))}" for name in _FIELDS if (value := getattr(response, name)) is not None),
            *(f"{name}: {value}" for name, value in response.usage.to_dict().items() if value is not None),
            f"created: {date(response.created)}, received: {date(response.received)} (UTC)",
        ]
        for name in ("tool_calls", "logprobs"):
            if getattr(response, name) is not None:
                lines.append(f"{name}: {safe(json.dumps(getattr(response, name), ensure_ascii=False))}")
    return "\n".join(lines)


def _block(name: str, text: str | None) -> list[str]:
    """A text under its name, moved in: a line of it cannot be taken for one of ours."""
    if text is None:
        return []
    return [f"{name}:", textwrap.indent(safe(text, lines=True), "  ", lambda line: True)]
