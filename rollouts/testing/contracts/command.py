"""The rules that every sub-command keeps.

class TestMine(CommandContract):
    name = "mine"

    def make(self):
        return add_mine
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, ClassVar

from rollouts.typing import Command

__all__ = ["CommandContract"]


class CommandContract:
    """Subclass with `make` and the command's `name`; `arguments` where it needs some."""

    name: ClassVar[str]
    """What users write: `rollouts NAME`."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """The fewest arguments with which it can be called."""

    def make(self) -> Command:
        """The function that adds the command, under test."""
        raise NotImplementedError

    def _parser(self) -> tuple[argparse.ArgumentParser, Any]:
        parser = argparse.ArgumentParser(prog="rollouts", exit_on_error=False)
        commands = parser.add_subparsers()
        self.make()(commands)
        return parser, commands

    def test_adds_one_command_of_its_name(self, capsys: Any) -> None:
        """And says nothing while it does: it is added whenever another plugin's command is called."""
        _, commands = self._parser()
        assert list(commands.choices) == [self.name]
        said = capsys.readouterr()
        assert (said.out, said.err) == ("", "")

    def test_has_help_for_the_list_and_for_itself(self, capsys: Any) -> None:
        """`rollouts --help` shows one line, `rollouts NAME --help` all options."""
        parser, _ = self._parser()
        # argparse tells a choice without help from one with it only by leaving it out of the list.
        assert len([line for line in parser.format_help().splitlines() if line.strip().startswith(self.name)]) == 1
        with contextlib.suppress(SystemExit):  # so argparse ends after help
            parser.parse_args([self.name, "--help"])
        assert f"usage: rollouts {self.name}" in capsys.readouterr().out

    def test_sets_the_function_that_runs_it(self) -> None:
        """`run(arguments)` gives the exit code."""
        parser, _ = self._parser()
        assert callable(parser.parse_args([self.name, *self.arguments]).run)

    def test_stands_beside_others(self) -> None:
        """Its options and defaults are its own."""
        parser, commands = self._parser()
        assert self.name in commands.choices
        commands.add_parser("another").set_defaults(run=None)
        assert vars(parser.parse_args(["another"])) == {"run": None}
