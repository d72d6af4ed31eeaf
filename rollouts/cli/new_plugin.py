"""`rollouts plugins new`: writes a complete distribution for a plugin. Knows the templates beside it, and no plugin.

What is written passes its own tests at once: a working thing of its kind, to be replaced by the author's own.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.resources
import keyword
import re
import string
import sys
from pathlib import Path

import rollouts
from rollouts.exceptions import ConfigError
from rollouts.plugins import KINDS, plugin_manager

NEW_KINDS = {
    "adapter": ("An adapter", 'RolloutsClient("$name/some-model", api_key="…")'),
    "cache": ("A cache", 'RolloutsClient(model, use_cache="$name")'),
    "limiter": ("A limiter", 'RolloutsClient(model, limiter="$name")'),
    "think-template": ("A think template", 'RolloutsClient(model, template="$name")'),
    "transform": ("A transform", 'RolloutsClient(model, transforms=["$name"])'),
    "splitter": ("A splitter", 'client.resample(prompt, style="$name")'),
    "progress": ("A progress reporter", 'RolloutsClient(model, progress="$name")'),
    "executor": ("An executor", 'RolloutsClient(model, executor="$name")'),
    "command": ("A command", "rollouts $name"),
    "observer": ("An observer of runs", "RolloutsClient(model)  # it observes every client once installed"),
}
"""Each kind with what a README calls it, and how its thing is used."""

_EXAMPLES = """\
examples:
  rollouts plugins new rollouts-memcache --kind cache      writes ./rollouts-memcache
  rollouts plugins new acme-rollouts --kind adapter --into ~/src

then:
  pip install -e ./rollouts-memcache && pytest rollouts-memcache && rollouts plugins --check
"""

_DISTRIBUTION = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|[-_.](?=[A-Za-z0-9]))*\Z")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `new` to `rollouts plugins`."""
    parser = commands.add_parser(
        "new",
        help="write a new plugin's distribution",
        description="Writes a distribution with a working plugin and its contract test, ready to be changed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="name of the distribution: rollouts-memcache")
    parser.add_argument("--kind", required=True, choices=list(NEW_KINDS), help="what the plugin offers")
    parser.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="where to write it (default: here)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write it, and say what to do next."""
    folder = write(arguments.name, arguments.kind, arguments.into)
    print(f"wrote {folder}; next:\n  pip install -e {folder}\n  pytest {folder}\n  rollouts plugins --check")
    return 0


def write(distribution: str, kind: str, into: Path) -> Path:
    """Write a distribution and give its folder.

    Args:
        distribution: Its name; the thing is called the same without `rollouts-`.
        kind: One of `NEW_KINDS`.
        into: Where its folder is made.

    Raises:
        ConfigError: A name that cannot be one or is taken, or a folder that is there already.
    """
    words = _words(distribution, kind)
    folder = into / distribution
    if folder.exists():
        raise ConfigError(f"{folder} is there already, and nothing is overwritten: choose another name or --into.")
    package, name = words["package"], words["name"]
    files = {
        "pyproject.toml": _template("pyproject.toml.txt"),
        "README.md": _template("README.md.txt"),
        "LICENSE": _template("LICENSE.txt"),
        f"{package}/__init__.py": f'"""{words["Kind"]} for rollouts: `{name}`."""\n',
        f"{package}/plugin.py": _template(f"{kind}.py.txt"),
        f"{package}/py.typed": "",
        f"tests/test_{package}.py": _template(f"{kind}.test.txt"),
    }
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(string.Template(text).substitute(words), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error}.") from None
    return folder


def _words(distribution: str, kind: str) -> dict[str, str]:
    """What the templates' variables stand for."""
    if not _DISTRIBUTION.match(distribution):
        raise ConfigError(f"{distribution!r} is no name for a distribution: letters, digits and single hyphens.")
    package = re.sub(r"[-.]", "_", distribution).lower()
    name = re.sub(r"[_.]", "-", distribution.lower()).removeprefix("rollouts-")
    _check_free(distribution, package, name, kind)
    called, usage = NEW_KINDS[kind]
    fence = "sh" if kind == "command" else "python"
    return {
        "distribution": distribution,
        "package": package,
        "name": name,
        "function": name.replace("-", "_") + "_" * keyword.iskeyword(name),
        "Class": "".join(part.capitalize() for part in name.split("-")),
        "VARIABLE": name.upper().replace("-", "_"),
        "Kind": called,
        "usage": f"```{fence}\n{string.Template(usage).substitute(name=name)}\n```",
        "year": str(datetime.date.today().year),
        "at_least": ".".join(rollouts.__version__.split(".")[:2]),
    }


def _check_free(distribution: str, package: str, name: str, kind: str) -> None:
    if package == "rollouts" or package in sys.stdlib_module_names or keyword.iskeyword(package):
        raise ConfigError(f"{distribution!r} would be imported as {package!r}, which is taken: choose another name.")
    if name[0].isdigit() or name in ("plugin", "rollouts"):
        raise ConfigError(f"{distribution!r} names its {kind} {name!r}, which cannot be: choose another name.")
    known = kind.replace("-", "_")
    taken = [spec.name for spec in plugin_manager().specs(known)] if known in KINDS else []
    if kind == "command":
        from rollouts.cli import OWN_COMMANDS

        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers()
        for add_own in OWN_COMMANDS:
            add_own(commands)
        taken += commands.choices
    if name in taken:
        raise ConfigError(f"there is a {kind} {name!r} already (`rollouts plugins` shows whose): choose another name.")


def _template(name: str) -> str:
    return (importlib.resources.files("rollouts.cli") / "templates" / name).read_text(encoding="utf-8")
