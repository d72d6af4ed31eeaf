"""`rollouts generate`: prompts in, answers out. Resumes by itself: what was answered is in the cache."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rollouts.cli.options import add_settings, client_of
from rollouts.exceptions import ConfigError
from rollouts.results import Failure, Response
from rollouts.results.tables import COLUMNS, row

EPILOG = """\
examples:
  rollouts generate "What is 5*10?" -n 10 --model qwen/qwen3-30b-a3b --temperature 0.7
  rollouts generate --file question.txt -n 100 --jsonl > answers.jsonl
  cat prompts.jsonl | rollouts generate - -n 3 --model local/smollm2-135m-instruct --jsonl > answers.jsonl
  rollouts generate 'What is 5*10?
  <think>
  5*1' --model local/smollm2-135m-instruct --max-tokens 30

A line of a JSONL file is an object with `prompt` (text or a list of messages) or `messages`; its other columns come
back with each sample. Run the same command again: only what is missing is asked. Exit code 1: some samples have no
answer (their lines say why); 2: wrong use; 130: Ctrl-C, after which the same command goes on.
"""


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "generate",
        help="sample answers to one prompt or to many",
        usage="rollouts generate (PROMPT | - | --file PATH) [-n N] [--text | --jsonl | --json] [--SETTING VALUE …]",
        description="Samples answers to a prompt, or to each prompt of a JSONL file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", nargs="?", help="the prompt; - reads a prompt or JSONL from standard input")
    parser.add_argument("--file", metavar="PATH", help="read the prompt, or JSONL, from a file")
    parser.add_argument("--input", choices=["auto", "text", "jsonl"], default="auto", help="what - or --file holds")
    parser.add_argument(
        "-n", "--n-samples", type=int, default=1, metavar="N", help="samples of each prompt (default 1)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--text", dest="form", action="store_const", const="text", help="print the answers (default)")
    form.add_argument("--jsonl", dest="form", action="store_const", const="jsonl", help="one line a sample")
    form.add_argument("--json", dest="form", action="store_const", const="json", help="one JSON list of all samples")
    parser.add_argument("--unordered", action="store_true", help="print samples as they are done")
    parser.add_argument("--quiet", action="store_true", help="no progress and no closing line on standard error")
    add_settings(parser)
    parser.set_defaults(run=run, form="text")


def run(arguments: argparse.Namespace) -> int:
    """Sample and print."""
    prompts = _prompts(arguments)
    client = client_of(arguments, on_error="keep", **({"progress_bar": False} if arguments.quiet else {}))
    inputs: dict[int, dict[str, Any]] = {}

    def read() -> Iterator[Any]:
        for i, (prompt, columns) in enumerate(prompts):
            inputs[i] = columns
            yield prompt

    n = arguments.n_samples
    with client:
        stream: Iterable[Response | Failure] = client.as_completed(read(), n)
        if not arguments.unordered:
            stream = _in_order(stream, n)
        several = n > 1 or not isinstance(prompts, list)
        tally = _print(stream, inputs, n, arguments.form, several=several)
    if not arguments.quiet:
        print(tally, file=sys.stderr)
    return 1 if tally.failed else 0


class _Tally:
    """What a run came to."""

    answered = cached = failed = 0
    cost = 0.0
    known = 0

    def count(self, slot: Response | Failure) -> None:
        """Count one sample."""
        if isinstance(slot, Failure):
            self.failed += 1
        elif slot.cached:
            self.cached += 1
        else:
            self.answered += 1
            if slot.usage.cost is not None:
                self.cost += slot.usage.cost
                self.known += 1

    def __str__(self) -> str:
        cost = f", ${self.cost:.6g} (known for {self.known:,})" if self.known else ""
        return f"{self.answered:,} asked{cost}, {self.cached:,} cached, {self.failed:,} failed"


def _print(
    stream: Iterable[Response | Failure], inputs: dict[int, dict[str, Any]], n: int, form: str, *, several: bool
) -> _Tally:
    tally, left = _Tally(), dict[int, int]()
    rows: list[dict[str, Any]] = []
    for slot in stream:
        tally.count(slot)
        i = slot.prompt_index
        if form == "text":
            _print_text(slot, several=several)
        elif form == "jsonl":
            print(json.dumps(_merged(inputs[i], slot)), flush=True)
        else:
            rows.append(_merged(inputs[i], slot))
        left[i] = left.get(i, n) - 1
        if not left[i]:
            del left[i], inputs[i]
    if form == "json":
        json.dump(rows, sys.stdout, indent=2)
        print()
    return tally


def _print_text(slot: Response | Failure, *, several: bool) -> None:
    if several:
        print(f"── prompt {slot.prompt_index}, seed {slot.seed}")
    if isinstance(slot, Failure):
        print(f"prompt {slot.prompt_index}, seed {slot.seed}: {slot.error or slot.kind}", file=sys.stderr)
        return
    if slot.thought is not None:
        print(f"<think>\n{_printable(slot.thought)}{'' if slot.completed_reasoning is False else chr(10) + '</think>'}")
    print(_printable(slot.content), flush=True)


def _printable(text: str) -> str:
    # A terminal must not take a model's text for orders; a lone surrogate cannot be printed at all.
    if sys.stdout.isatty():
        text = "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text.encode("utf-8", "backslashreplace").decode()


def _merged(columns: dict[str, Any], slot: Response | Failure) -> dict[str, Any]:
    own = row(slot)
    given = {f"input_{k}" if k in COLUMNS and k != "prompt" else k: v for k, v in columns.items()}
    return {**given, **own}


def _in_order(stream: Iterable[Response | Failure], n: int) -> Iterator[Response | Failure]:
    waiting: dict[int, Response | Failure] = {}
    turn = itertools.count()
    wanted = next(turn)
    for slot in stream:
        waiting[slot.prompt_index * n + slot.index] = slot
        while wanted in waiting:
            yield waiting.pop(wanted)
            wanted = next(turn)
    for place in sorted(waiting):  # after a stop some are missing before them
        yield waiting[place]


def _prompts(arguments: argparse.Namespace) -> Iterable[tuple[Any, dict[str, Any]]]:
    if (arguments.prompt is None) == (arguments.file is None):
        raise ConfigError("give one prompt: as an argument, - for standard input, or --file PATH.")
    if arguments.prompt is not None and arguments.prompt != "-":
        return [(arguments.prompt, {})]
    if arguments.file is None:
        return _read(sys.stdin, arguments.input, "standard input")
    path = Path(arguments.file)
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    known = "jsonl" if path.suffix in (".jsonl", ".ndjson") else arguments.input
    return _read(file, known if arguments.input == "auto" else arguments.input, str(path))


def _read(file: TextIO, form: str, name: str) -> Iterable[tuple[Any, dict[str, Any]]]:
    if form == "text":
        return [(file.read().rstrip("\n"), {})]
    first = next((line for line in file if line.strip()), "")
    if form == "auto" and not _is_prompt_line(first):
        return [((first + file.read()).rstrip("\n"), {})]
    return _lines(itertools.chain([first], file), name)


def _is_prompt_line(line: str) -> bool:
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and ("prompt" in value or "messages" in value)


def _lines(lines: Iterable[str], name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            prompt = value["prompt"] if "prompt" in value else value["messages"]
        except (ValueError, TypeError, KeyError):
            raise ConfigError(
                f"{name}, line {number}: no JSON object with `prompt` or `messages`. For plain text say --input text."
            ) from None
        yield prompt, value
