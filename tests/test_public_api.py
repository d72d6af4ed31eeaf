"""What `import rollouts` gives, and what it does not do."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rollouts

ROOT = Path(rollouts.__file__).parents[1]

PUBLIC_MODULES = [
    "rollouts", "rollouts.events", "rollouts.exceptions", "rollouts.plugins", "rollouts.results", "rollouts.settings",
    "rollouts.testing",
]  # fmt: skip


def python(code, folder):
    """Run code in a fresh interpreter with the package on its path; its output."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_public_name_exists_and_the_list_is_sorted(name):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__, key=_as_ruff_sorts)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None


def _as_ruff_sorts(name):
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


def test_dir_shows_the_public_names():
    assert set(rollouts.__all__) <= set(dir(rollouts))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="RolloutClient"):
        _ = rollouts.RolloutClient


def test_the_version_is_that_of_the_distribution():
    assert rollouts.__version__ == "0.2.0"


WATCHED = ("requests", "requests_cache", "tqdm", "pluggy", "urllib3", "sqlite3", "rollouts.adapters", "rollouts.caches")


def test_importing_loads_no_plugin_and_no_library(tmp_path):
    assert python(f"import rollouts\nprint([m for m in {WATCHED} if m in sys.modules])", tmp_path) == "[]"


def test_making_a_client_loads_no_library_and_touches_no_file(tmp_path):
    code = (
        "from rollouts import RolloutsClient\n"
        "client = RolloutsClient(model='qwen/qwen3-8b', api_key='k')\n"
        "print([m for m in ('requests', 'requests_cache', 'tqdm', 'rollouts.adapters') if m in sys.modules])\n"
        "client.close()"
    )
    assert python(code, tmp_path) == "[]"
    assert list(tmp_path.iterdir()) == []


def test_importing_opens_no_socket_and_no_file_but_modules(tmp_path):
    code = (
        "import importlib, json, typing, dataclasses\n"
        "seen = []\n"
        "def watch(name, args):\n"
        "    if name.startswith('socket.') or name == 'subprocess.Popen':\n"
        "        seen.append(name)\n"
        "    if name == 'open' and not str(args[0]).endswith(('.py', '.pyc', '.so')):\n"
        "        seen.append(str(args[0]))\n"
        "sys.addaudithook(watch)\n"
        "import rollouts\n"
        "print(seen)"
    )
    assert python(code, tmp_path) == "[]"
