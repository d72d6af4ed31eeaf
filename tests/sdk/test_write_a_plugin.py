"""`docs/how-to/write-a-plugin.md`, run as it stands, in an empty folder and a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

import rollouts

ROOT = Path(rollouts.__file__).parents[1]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plugin.md"

TIMEOUT = 300


@pytest.fixture
def fresh(tmp_path, outside_environment):
    """A new environment that has what this one has; gives a function that runs a command in it, in an empty folder."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # What is here stands behind what is installed there: nothing is downloaded but the build backend.
    here = sysconfig.get_paths()["purelib"]
    (site / "behind.pth").write_text(f"import site; site.addsitedir({here!r})\n{ROOT}\n")
    binaries = folder / "bin"
    (binaries / "rollouts").write_text(
        f"#!{binaries / 'python'}\nfrom rollouts.cli import main\nraise SystemExit(main())\n"
    )
    (binaries / "pytest").write_text(f"#!{binaries / 'python'}\nimport pytest\nraise SystemExit(pytest.main())\n")
    for script in ("rollouts", "pytest"):
        (binaries / script).chmod(0o755)
    env = {
        n: v for n, v in outside_environment.items() if not n.startswith(("PYTHON", "PYTEST", "ROLLOUTS", "VIRTUAL"))
    }
    env |= {"PATH": f"{binaries}{os.pathsep}{env['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*command):
        done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.mark.slow
def test_the_page_does_what_it_says(fresh):
    blocks = re.findall(r"^```(console|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert [language for language, _ in blocks] == ["console", "console", "python", "python", "console"]
    said = {}
    for language, text in blocks:
        if language == "python":
            fresh("python", "-W", "error", "-c", text)
            continue
        for line in text.splitlines():
            assert line.startswith("$ ")
            said[line[2:]] = fresh("bash", "-euc", line[2:])
    assert re.search(r"\d+ passed", said["pytest rollouts-memcache"])
    assert re.search(r"memcache +cache:memcache +rollouts-memcache +0\.1\.0 +ok", said["rollouts plugins --check"])
    assert "VIRTUAL" not in said


@pytest.mark.slow
def test_a_distribution_of_each_kind_installs_and_is_found_sound(fresh, tmp_path):
    kinds = ("adapter", "limiter", "think-template", "transform", "splitter", "progress", "executor", "command",
             "observer")  # fmt: skip
    for kind in kinds:
        fresh("rollouts", "plugins", "new", f"rollouts-my-{kind}", "--kind", kind)
    fresh("pip", "install", "-q", "--no-deps", "--no-build-isolation", *(f"./rollouts-my-{kind}" for kind in kinds))
    table = fresh("rollouts", "plugins", "--check")
    for kind in kinds:
        assert re.search(rf"^my-{kind} .* rollouts-my-{kind} +0\.1\.0 +ok$", table, re.M), table
    assert fresh("rollouts", "my-command").strip().isdecimal()
