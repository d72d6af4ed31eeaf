"""The command line as a shell sees it: output, exit codes, closed pipes, commands of plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rollouts
from rollouts.cli import main

ROOT = Path(rollouts.__file__).parents[1]

COMMAND = """
from rollouts.exceptions import ConfigError, NotFound
from rollouts.hookspecs import hookimpl
from rollouts.typing import Spec

def run(arguments):
    if arguments.how == "interrupt":
        raise KeyboardInterrupt
    if arguments.how == "config":
        raise ConfigError("bad input")
    if arguments.how == "missing":
        raise NotFound("no such model")
    print("hello", arguments.how)
    return 7

def add(commands):
    parser = commands.add_parser("hello", help="says hello")
    parser.add_argument("how")
    parser.set_defaults(run=run)

def fail(commands):
    raise RuntimeError("boom")

@hookimpl
def rollouts_register_commands():
    return [Spec(name="hello", factory=add), Spec(name="shaky", factory=fail), Spec(name="plugins", factory=fail)]
"""


@pytest.fixture
def site(tmp_path):
    """A folder with one installed distribution that brings commands."""
    (tmp_path / "hello_command.py").write_text(COMMAND)
    info = tmp_path / "rollouts_hello-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rollouts-hello\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[rollouts]\nhello = hello_command\n")
    return tmp_path


def shell(folder, *arguments, **environ):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUTS", "PYTHON"))}
    env["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
    command = [sys.executable, "-m", "rollouts", *arguments]
    return subprocess.run(
        command, env=env | environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_plugins_are_listed_with_name_offer_distribution_version_and_state(site):
    done = shell(site, "plugins")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["NAME", "OFFERS", "DISTRIBUTION", "VERSION", "STATE"] in lines
    assert ["cache-json", "cache:json", "rollouts", rollouts.__version__, "ok"] in lines
    assert any(line[:1] == ["hello"] and line[-3:] == ["rollouts-hello", "1.2", "ok"] for line in lines)


def test_plugins_as_json(site):
    plugins = json.loads(shell(site, "plugins", "--json").stdout)
    hello = next(plugin for plugin in plugins if plugin["name"] == "hello")
    assert hello["kinds"] == ["command"]
    assert (hello["distribution"], hello["version"], hello["state"]) == ("rollouts-hello", "1.2", "ok")


def test_check_fails_for_a_broken_plugin_and_shows_why(site):
    (site / "hello_command.py").write_text("")
    assert shell(site, "plugins", "--check").returncode == 0
    (site / "hello_command.py").write_text("import not_there_at_all")
    plain, checked = shell(site, "plugins"), shell(site, "plugins", "--check")
    assert (plain.returncode, checked.returncode) == (0, 1)
    assert "broken" in plain.stdout
    assert "Traceback" not in plain.stdout
    assert "Traceback" in checked.stdout
    assert "not_there_at_all" in checked.stdout


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import threading; threading.Event().wait()", "did not end within 2 s"),
        ("import os; os._exit(9)", "ended the interpreter (exit code 9)"),
    ],
)
def test_check_survives_an_import_that_hangs_or_ends_the_interpreter(site, module, said):
    (site / "hello_command.py").write_text(module)
    done = shell(site, "plugins", "--check", "--timeout", "2")
    assert done.returncode == 1
    assert said in done.stdout
    assert "rollouts-hello" in done.stdout
    assert "cache:json" in done.stdout


def test_check_asks_nothing_of_a_plugin_that_is_switched_off(site):
    (site / "hello_command.py").write_text("import os; os._exit(9)")
    assert shell(site, "plugins", "--check", ROLLOUTS_DISABLE_PLUGINS="rollouts-hello").returncode == 0


def test_a_plugin_brings_a_command_and_one_that_fails_harms_no_other(site):
    done = shell(site, "hello", "world")
    assert (done.returncode, done.stdout.strip()) == (7, "hello world")
    assert "RuntimeError: boom" in done.stderr


def test_our_own_commands_cannot_be_taken_over(site):
    assert shell(site, "plugins").returncode == 0
    assert "left out" in shell(site, "--help").stderr


@pytest.mark.parametrize(("how", "code", "said"), [("config", 2, "error: bad input"), ("missing", 1, "error: no such")])
def test_errors_are_one_line_on_stderr_and_an_exit_code(site, how, code, said):
    done = shell(site, "hello", how)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_ctrl_c_is_130(site):
    done = shell(site, "hello", "interrupt")
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_wrong_use(site):
    done = shell(site, "plugin")
    assert done.returncode == 2
    assert "plugins" in done.stderr


def test_help_lists_all_commands(site):
    done = shell(site, "--help")
    assert done.returncode == 0
    assert "plugins" in done.stdout
    assert "hello" in done.stdout


def test_without_arguments_help_is_shown(capsys):
    assert main([]) == 0
    assert "usage: rollouts" in capsys.readouterr().out


def test_the_version(site):
    assert shell(site, "--version").stdout.strip() == f"rollouts {rollouts.__version__}"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX shells")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(site, unbuffered):
    read, write = os.pipe()
    os.close(read)  # gone before the first line
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(write, "w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "rollouts", "plugins"],
            stdout=output, stderr=subprocess.PIPE, text=True, env=env, timeout=60, cwd=site, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_unicode_shows_the_list(site):
    assert shell(site, "plugins", PYTHONIOENCODING="ascii").returncode == 0
