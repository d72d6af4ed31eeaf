"""`rollouts config`: every setting, its value here, and where it came from. Shows no key."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rollouts.config import load_config, user_file
from rollouts.settings import SETTINGS, shown


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "config",
        help="show the settings that files and environment give, and where each came from",
        description="Shows the settings in force here, before those of client and call.",
        epilog=(
            "examples:\n  rollouts config\n  rollouts config --all\n  ROLLOUTS_TEMPERATURE=0.2 rollouts config --json"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--all", action="store_true", help="those with their default too, with what each means")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    config = load_config()
    rows = [
        {
            "name": name,
            "value": _shown(name, config.values[name] if name in config.origins else setting.default),
            "origin": config.origins.get(name, "default" if setting.kind == "client" else "not sent"),
            "meaning": setting.doc,
        }
        for name, setting in SETTINGS.items()
        if arguments.all or name in config.origins
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print(f"Nothing is set by file or environment (looked for {user_file()}, rollouts.toml and pyproject.toml here")
        print("and above, and ROLLOUTS_* variables). `rollouts config --all` lists every setting.")
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        meaning = f"  # {row['meaning']}" if arguments.all else ""
        print(f"{row['name']:{width}} = {row['value']}  ({row['origin']}){meaning}")
    return 0


def _shown(name: str, value: Any) -> str:
    return repr(str(value)) if name == "cache_dir" else shown(name, value)
