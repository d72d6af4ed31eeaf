"""The command line: `rollouts …` and `python -m rollouts`. Finds the sub-command and turns errors into exit codes.

Exit codes: 0 well, 1 an error or a check that failed, 2 wrong use, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import rollouts
from rollouts.cli import cache, catalogue, config_command, generate, pack, plugins_command, probe
from rollouts.exceptions import ConfigError, PluginError, RolloutsError
from rollouts.plugins import PluginManager, plugin_manager

__all__ = ["main"]

OWN_COMMANDS = (cache.add, catalogue.add, config_command.add, generate.add, pack.add, plugins_command.add, probe.add)
"""The core's sub-commands, one file each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: Arguments without the program's name; those of the process unless given.

    Returns:
        The exit code.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has what it wanted (`rollouts plugins | head`). Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except RolloutsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def _run(argv: Sequence[str] | None) -> int:
    parser, commands = _parser()
    arguments_given = list(sys.argv[1:] if argv is None else argv)
    if _first_word(arguments_given) not in commands.choices:
        # Only now is a plugin loaded: the core's own commands work whatever is installed.
        _add_third_party(commands, plugin_manager())
    arguments = parser.parse_args(arguments_given)
    run = getattr(arguments, "run", None)
    if run is None:
        parser.print_help()
        return 0
    return int(run(arguments) or 0)


def _parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="rollouts",
        description="Sample many answers from a language model and keep every one.",
        epilog="`rollouts COMMAND --help` shows a command's options and examples.",
    )
    parser.add_argument("--version", action="version", version=f"rollouts {rollouts.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in OWN_COMMANDS:
        add(commands)
    return parser, commands


def command_parsers() -> list[tuple[str, argparse.ArgumentParser]]:
    """The core's own commands with their parsers, for the reference page."""
    return sorted(_parser()[1].choices.items())


def _first_word(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def _add_third_party(commands: Any, manager: PluginManager) -> None:
    """Add the plugins' commands; one that fails is told on stderr and costs the others nothing."""
    for spec in manager.specs("command"):
        if spec.name in commands.choices:
            print(f"warning: a plugin's command {spec.name!r} is left out: it is one of our own", file=sys.stderr)
            continue
        try:
            manager.make("command", spec.name, commands)
        except PluginError as error:
            print(f"warning: {error}", file=sys.stderr)
