"""The arrows between the parts hold, a broken arrow is noticed, and modules stay small."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rollouts

ROOT = Path(__file__).parents[1]
PACKAGE = Path(rollouts.__file__).parent

LONGEST = 380
"""Lines that a module may have: about 350."""
LONGER = {"testing/contracts/cache.py": 500}
"""The one page that plugin authors read (Protocols and values with their documentation), and a suite of tests."""

PLUGIN_FOLDERS = {"adapters", "caches", "executors", "limiters", "progress", "think_templates", "transforms"}
OPEN_TO_PLUGINS = {"events", "exceptions", "hookspecs", "identity", "results", "typing"}


def lint(folder, package):
    """Run import-linter by the contracts in `folder`, as a contributor does."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(package), "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def contracts():
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    return {name.rpartition(":")[2]: parser[name] for name in parser.sections() if "contract" in name}


def names(contract, field):
    return {line.strip().removeprefix("rollouts.") for line in contract[field].split() if line.strip()}


if (ROOT / ".importlinter").exists():  # in the sources; tests of an installed wheel have no contracts

    def test_every_arrow_of_the_architecture_holds():
        done = lint(ROOT, PACKAGE.parent)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_broken_arrow_is_noticed(tmp_path):
        shutil.copytree(PACKAGE, tmp_path / "rollouts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / ".importlinter", tmp_path)
        breakages = {
            "identity.py": "import rollouts.client",
            "caches/layout.py": "import rollouts.engine",
            "events.py": "import rollouts.limiters",
            "retry.py": "import requests",
            "settings/table.py": "import sqlite3",
            "resources.py": "import tqdm",
            "prompts.py": "import pluggy",
        }
        for path, line in breakages.items():
            module = tmp_path / "rollouts" / path
            module.write_text(module.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
        done = lint(tmp_path, tmp_path)
        assert done.returncode != 0
        for contract in contracts().values():
            assert f"{contract['name']} BROKEN" in done.stdout, done.stdout

    def test_every_module_stands_in_the_contracts():
        """Or a new one could import what it likes: add it to .importlinter, at its layer and in both lists."""
        modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
        parts = modules - PLUGIN_FOLDERS - {"__init__", "__main__"}
        held = contracts()
        assert names(held["nobody-imports-plugins"], "source_modules") == parts
        assert names(held["nobody-imports-plugins"], "forbidden_modules") == modules & PLUGIN_FOLDERS
        assert names(held["plugin-folders"], "source_modules") == modules & PLUGIN_FOLDERS
        assert names(held["plugin-folders"], "forbidden_modules") == parts - OPEN_TO_PLUGINS


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_stays_small_and_says_what_it_is_for(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGER.get(str(path.relative_to(PACKAGE)), LONGEST)
    assert not lines or lines[0].startswith(('"""', 'r"""'))
