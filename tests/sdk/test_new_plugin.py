"""`rollouts plugins new`: what it writes works at once, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rollouts
from rollouts.cli import main
from rollouts.cli.new_plugin import NEW_KINDS
from rollouts.plugins import KINDS

ROOT = Path(rollouts.__file__).parents[1]


def new(name, kind, into):
    return main(["plugins", "new", name, "--kind", kind, "--into", str(into)])


def child(command, folder, *paths):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUTS", "PY"))}
    env["PYTHONPATH"] = os.pathsep.join(map(str, [*paths, ROOT]))
    return subprocess.run(
        [sys.executable, "-m", *command], env=env, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def test_there_is_one_for_every_kind_and_for_observers():
    assert {kind.replace("-", "_") for kind in NEW_KINDS} == {*KINDS, "observer"}


def test_what_is_written_for_every_kind_passes_its_own_tests_at_once(tmp_path):
    for kind in NEW_KINDS:
        assert new(f"rollouts-my-{kind}", kind, tmp_path) == 0
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    command = ["pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--strict-markers"]
    done = child([*command, "-c", "pytest.ini", *(f"{folder.name}/tests" for folder in folders)], tmp_path, *folders)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(folders) == len(NEW_KINDS)


def test_a_distribution_is_complete_and_names_its_plugin(tmp_path, capsys):
    assert new("rollouts-memcache", "cache", tmp_path) == 0
    folder = tmp_path / "rollouts-memcache"
    assert f"pip install -e {folder}" in capsys.readouterr().out
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "LICENSE", "README.md", "pyproject.toml", "rollouts_memcache/__init__.py", "rollouts_memcache/plugin.py",
        "rollouts_memcache/py.typed", "tests/test_rollouts_memcache.py",
    }  # fmt: skip
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["rollouts"] == {"memcache": "rollouts_memcache.plugin"}
    assert project["dependencies"] == ["rollouts>=0.2"]
    assert 'use_cache="memcache"' in (folder / "README.md").read_text()
    assert not any("$" in (folder / path).read_text() for path in written)


def test_a_contract_that_is_broken_turns_its_tests_red(tmp_path):
    new("rollouts-lossy", "splitter", tmp_path)
    folder = tmp_path / "rollouts-lossy"
    module = folder / "rollouts_lossy" / "plugin.py"
    module.write_text(module.read_text().replace("text[start:end])", "text[start:end].strip())"))
    done = child(["pytest", "-q", "-p", "no:cacheprovider"], folder)
    assert done.returncode == 1
    assert "test_is_lossless" in done.stdout


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("rollouts-json", "cache", "there is a cache 'json' already"),
        ("rollouts-openrouter", "adapter", "already"),
        ("rollouts-think-tags", "think-template", "already"),
        ("rollouts-plugins", "command", "already"),
        ("rollouts", "cache", "taken"),
        ("json", "cache", "taken"),
        ("class", "cache", "taken"),
        ("Rollouts", "cache", "taken"),
        ("rollouts-plugin", "cache", "cannot be"),
        ("rollouts-3d", "cache", "cannot be"),
        ("a b", "cache", "no name"),
        ("../up", "cache", "no name"),
        ("a--b", "cache", "no name"),
        ("-x", "cache", ""),
        ("x-", "cache", "no name"),
        ("é", "cache", "no name"),
        ("", "cache", "no name"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(tmp_path, capsys, name, kind, said):
    try:
        code = new(name, kind, tmp_path)
    except SystemExit as end:  # argparse takes it for an option
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path, capsys):
    assert new("rollouts-memcache", "cache", tmp_path) == 0
    module = tmp_path / "rollouts-memcache" / "rollouts_memcache" / "plugin.py"
    module.write_text("mine")
    assert new("rollouts-memcache", "cache", tmp_path) == 2
    assert "is there already" in capsys.readouterr().err
    assert module.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert new("rollouts-memcache", "cache", tmp_path / "file") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_unknown_kind_lists_the_known_ones(tmp_path, capsys):
    with pytest.raises(SystemExit):
        new("rollouts-x", "cash", tmp_path)
    assert "think-template" in capsys.readouterr().err


def test_names_with_dots_underscores_and_keywords_make_code_that_imports(tmp_path):
    for name, kind in (("rollouts-class", "transform"), ("Acme.Fast_Cache", "cache")):
        assert new(name, kind, tmp_path) == 0
        done = child(["pytest", "-q", "-p", "no:cacheprovider"], tmp_path / name)
        assert done.returncode == 0, done.stdout
