"""Settings from files and the environment, under those of client and call. Knows the table of settings, no client.

Order, the later wins: the user's file, the project's file, `ROLLOUTS_*` variables, the client, the call.

The project's file is `rollouts.toml`, or `[tool.rollouts]` in `pyproject.toml`, in the working directory or the nearest
directory above that has one. It comes with whatever repository one has cloned, so it may set nothing that could send a
key elsewhere or run code. A `.env` file is read only when asked for (`load_env_file`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.settings import SETTINGS, Secret

REFUSED_IN_PROJECT = frozenset(
    {
        *("base_url", "api_key", "plugins", "executor", "executor_options"),
        # These may name a server, a file to load, or a header.
        *("adapter_options", "cache_options", "limiter_options", "extra_headers", "service"),
    }
)
"""What the project's file may not set."""
REFUSED_IN_FILES = frozenset({"api_key", "plugins"})
"""What no file may set: a key would lie open, and plugins are objects."""
PREFIX = "ROLLOUTS_"
_NOT_SETTINGS = ("PLUGINS",)


@dataclass(frozen=True, slots=True)
class Config:
    """What files and environment say."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Settings by name, checked."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each came from: a file's path or a variable's name."""


def load_config(directory: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the user's file, the project's file and the environment.

    Args:
        directory: Where to look for the project's file; the working directory unless given.
        environ: The environment; this process's unless given.

    Raises:
        ConfigError: A file that is no TOML, or sets what it may not, or what is no setting.
    """
    variables = _ours(environ)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def take(found: Mapping[str, Any], origin: str, refused: frozenset[str], why: str) -> None:
        for name, value in found.items():
            if name not in SETTINGS:
                raise ConfigError(f"{origin}: {name} is no setting. `rollouts config --all` lists them.")
            if name in refused:
                raise ConfigError(f"{origin}: {name} cannot be set there: {why}")
            keep(name, value, origin)

    def keep(name: str, value: Any, origin: str) -> None:
        values[name] = _checked(name, value, origin)
        origins[name] = origin

    user = user_file()
    if user.is_file():
        take(_toml(user), str(user), REFUSED_IN_FILES, "give it in Python, or a key by its variable.")
    project, table = _project(Path.cwd() if directory is None else directory)
    if project is not None and project != user:
        why = "a cloned repository could send your key elsewhere or run code. Give it to the client, or set a variable."
        if isinstance(table.get("cache_dir"), str):  # beside the file, wherever below it one works
            table = {**table, "cache_dir": str(project.parent / table["cache_dir"])}
        take(table, str(project), REFUSED_IN_PROJECT, why)
    for variable, (name, text) in variables.items():
        keep(name, text if isinstance(text, Secret) else parse_value(text, name), variable)
    return Config(values, origins)


def from_variable(name: str) -> Any:
    """What the variable `ROLLOUTS_…` of a setting says now; None where it is not set.

    Raises:
        ConfigError: What the setting cannot be.
    """
    variable = PREFIX + name.upper()
    text = os.environ.get(variable, "")
    return _checked(name, parse_value(text, name), variable) if text.strip() else None


def _checked(name: str, value: Any, origin: str) -> Any:
    try:
        return None if value is None else SETTINGS[name].check(name, value)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _ours(environ: Mapping[str, str] | None) -> dict[str, tuple[str, str | Secret]]:
    """The variables that are settings, a key hidden: an error's frames must not hold the whole environment."""
    found: dict[str, tuple[str, str | Secret]] = {}
    for variable, text in (os.environ if environ is None else environ).items():
        name = variable[len(PREFIX) :].lower() if variable.startswith(PREFIX) else ""
        if name in SETTINGS and name.upper() not in _NOT_SETTINGS and text.strip():
            found[variable] = (name, Secret(text) if name == "api_key" else text)
    return found


def user_file() -> Path:
    """The user's own file: `rollouts.toml` in the user's configuration directory."""
    # Called for each client: the library is loaded only when its answer is not at hand.
    home = os.environ.get("XDG_CONFIG_HOME")
    if home and os.name == "posix":
        return Path(home) / "rollouts" / "rollouts.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("rollouts", appauthor=False)) / "rollouts.toml"


def load_env_file(path: str | Path) -> list[str]:
    """Set the variables of a `.env` file that are not set yet; returns their names.

    Lines are `NAME=value`, with an optional `export` before and quotes around; `#` begins a comment line.

    Raises:
        ConfigError: The file cannot be read, or a line is no assignment.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f"{path}, line {number} is no NAME=value.")  # its text may hold a key
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if name.strip() not in os.environ:
            os.environ[name.strip()] = value
            found.append(name.strip())
    return found


def _project(directory: Path) -> tuple[Path | None, Mapping[str, Any]]:
    for folder in (directory, *directory.parents):
        own = folder / "rollouts.toml"
        if own.is_file():
            return own, _toml(own)
        project = folder / "pyproject.toml"
        if project.is_file():
            table = _toml(project).get("tool", {}).get("rollouts")
            return (None, {}) if table is None else (project, table)
    return None, {}


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def parse_value(text: str, name: str) -> Any:
    """What the text of a variable or an option means as setting `name`: JSON where it is JSON, else text."""
    try:
        value = json.loads(text)
    except ValueError:
        lowered = text.strip().lower()
        return {"true": True, "yes": True, "false": False, "no": False}.get(lowered, text)
    if name in ("api_key", "model", "base_url", "system"):
        return text
    if isinstance(value, int) and isinstance(SETTINGS[name].default, bool):
        return bool(value)
    return value
