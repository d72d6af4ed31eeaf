"""`rollouts probe`: does a model really go on from a prefill, by which way, and at which provider."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from rollouts.client import RolloutsClient
from rollouts.config import parse_value
from rollouts.continuation import Memory, ProbeResult
from rollouts.continuation.probe import MAX_TOKENS, TRIALS

_EXAMPLES = """\
examples:
  rollouts probe local/smollm2-135m-instruct
  rollouts probe qwen/qwen3-32b --provider deepinfra --provider nebius
  rollouts probe my-model --adapter vllm --base-url http://localhost:8000/v1
  rollouts probe my-model --adapter llama-cpp --adapter-options '{"chat_template": "chatml"}'

The model is given the beginning of a row of random digits in its own thought. Only one that goes on from there can
write the other half. What is found is remembered with its date in the user's cache directory, and routing goes by it.
Exit code 0 when a way continues, 1 when none does.
"""
_HEAD = ("way", "provider", "verdict", "arrives in", "echo", "closed", "evidence")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `probe` to the program's commands."""
    parser = commands.add_parser(
        "probe",
        help="whether a model goes on from a prefill",
        description="Find out whether a model at a server or provider goes on from a begun thought.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--provider",
        metavar="SLUG",
        action="append",
        help="an OpenRouter provider, asked alone; may be repeated (default: those known to continue the model)",
    )
    parser.add_argument("--way", action="append", help="a way of continuing; may be repeated (default: all)")
    parser.add_argument(
        "--trials",
        type=int,
        default=TRIALS,
        help=f"requests of {MAX_TOKENS} tokens for each way (default {TRIALS})",
    )
    parser.add_argument("--adapter", metavar="NAME", help="as in the client")
    parser.add_argument("--base-url", metavar="URL", help="as in the client")
    parser.add_argument("--adapter-options", metavar="JSON", help="as in the client")
    parser.add_argument("--template", metavar="NAME", help="the think template, as in the client")
    parser.add_argument("--json", action="store_true", help="for programs: one object for each verdict, trials too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Probe, and print a line for each verdict."""
    names = ("adapter", "base_url", "adapter_options", "template")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if "adapter_options" in given:
        given["adapter_options"] = parse_value(given["adapter_options"], "adapter_options")
    with RolloutsClient(arguments.model, **given) as client:
        results = client.verify_prefill(arguments.way, arguments.trials, arguments.provider)
    if arguments.json:
        print(json.dumps([_record(result) for result in results], indent=1))
    else:
        for line in table([_HEAD, *map(_cells, results)]):
            print(line)
        print(f"remembered in {Memory().path}", file=sys.stderr)
    return 0 if any(result.verdict == "yes" for result in results) else 1


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns; the last column is left as long as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _cells(result: ProbeResult) -> tuple[str, ...]:
    closed = {trial.closed for trial in result.trials} - {None}
    return (
        result.way,
        result.provider or "-",
        result.verdict,
        result.found_in or "-",
        "yes" if result.echoed else "no",
        "sometimes" if len(closed) == 2 else "yes" if True in closed else "no" if closed else "-",
        result.reason,
    )


def _record(result: ProbeResult) -> dict[str, Any]:
    trials = [{name: getattr(trial, name) for name in trial.__slots__} for trial in result.trials]
    own = {name: getattr(result, name) for name in ("way", "provider", "verdict", "reason", "found_in", "echoed")}
    return {**own, "trials": trials}
