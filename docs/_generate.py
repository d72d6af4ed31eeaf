"""Fills the reference pages from the code when the site is built: `<!-- generate: NAME -->` becomes what NAME makes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page."""
    return re.sub(r"<!-- generate: (\w+) -->", lambda match: GENERATORS[match[1]](), markdown)


def settings() -> str:
    """A table of every setting."""
    from rollouts.settings import SETTINGS

    def rows(kind: str) -> str:
        lines = ["| setting | default | meaning |", "|---|---|---|"]
        for setting in SETTINGS.values():
            if setting.kind == kind:
                default = "not sent" if kind == "sampling" else f"`{setting.default!r}`"
                default = re.sub(r"`\w*Path\('(.*)'\)`", r"`'\1'`", default)
                only = "" if setting.per_call else " *(client only)*"
                lines.append(f"| `{setting.name}` | {default} | {setting.doc.replace('|', chr(92) + '|')}{only} |")
        return "\n".join(lines)

    return f"## How we ask\n\n{rows('client')}\n\n## What is sent\n\n{rows('sampling')}\n"


def columns() -> str:
    """A table of the columns of data frames and JSONL."""
    from rollouts.results.tables import COLUMNS

    lines = ["| column | meaning |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in COLUMNS.items())]
    return "\n".join(lines)


def commands() -> str:
    """The help of every command."""
    from rollouts.cli import command_parsers

    return "\n\n".join(f"## rollouts {name}\n\n```text\n{_help(parser)}```" for name, parser in command_parsers())


def _help(parser: argparse.ArgumentParser) -> str:
    return re.sub(r"[ \t]+\n", "\n", parser.format_help())


GENERATORS: dict[str, Callable[[], str]] = {"settings": settings, "columns": columns, "commands": commands}
