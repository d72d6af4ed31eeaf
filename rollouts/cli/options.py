"""Settings as options of a command: one for each of the table, read as JSON where they are JSON, else as text."""

from __future__ import annotations

import argparse
from typing import Any

from rollouts.client import RolloutsClient
from rollouts.config import load_env_file, parse_value
from rollouts.settings import SETTINGS

_NOT_OPTIONS = ("plugins", "api_key")
"""Objects, and what every user of the machine could read in the list of processes."""


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting, and `--env-file`."""
    group = parser.add_argument_group(
        "settings", "what is not given comes from file and environment (`rollouts config`)"
    )
    group.add_argument("--env-file", metavar="PATH", help="set the variables of a .env file first")
    for name, setting in SETTINGS.items():
        if name not in _NOT_OPTIONS:
            flag = f"--{name.replace('_', '-')}"
            text = setting.doc.replace("%", "%%")
            group.add_argument(flag, dest=f"setting_{name}", metavar="VALUE", default=None, help=text)


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line."""
    if arguments.env_file is not None:
        load_env_file(arguments.env_file)
    found = {name: getattr(arguments, f"setting_{name}", None) for name in SETTINGS}
    return {name: parse_value(text, name) for name, text in found.items() if text is not None}


def client_of(arguments: argparse.Namespace, **defaults: Any) -> RolloutsClient:
    """A client with the settings of the command line over `defaults`."""
    return RolloutsClient(**{**defaults, **settings_of(arguments)})
