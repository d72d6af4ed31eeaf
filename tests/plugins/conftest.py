from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rollouts

ROOT = Path(rollouts.__file__).parents[1]

PROLOGUE = """
import json, logging, sys, threading, warnings
from rollouts import RolloutsClient
from rollouts.exceptions import *
from rollouts.testing import LoopbackServer
logged = []
class Kept(logging.Handler):
    def emit(self, record):
        logged.append(record.getMessage())
logging.getLogger("rollouts").addHandler(Kept())
warned = []
warnings.showwarning = lambda message, *others: warned.append(str(message))
warnings.simplefilter("always")
server = LoopbackServer()
server.start()
def client(**settings):
    given = dict(model="test/model", adapter="openrouter", base_url=server.url, api_key="k", cache_dir="cache",
                 progress_bar=False, max_retries=0)
    return RolloutsClient(**given | settings)
def error(call):
    try:
        call()
    except Exception as e:
        slots = getattr(e, "rollouts", None)
        slots = None if slots is None else [getattr(s, "kind", "answer") for s in slots.slots]
        return [type(e).__name__, str(e), slots]
    return None
def tell(*values):
    print(json.dumps(values))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on `sys.path` of the child processes."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path) -> Callable[..., str]:
    """Lay a distribution out as pip does: a module, and metadata with an entry point."""

    def lay_out(distribution: str, text: str, *, version: str = "1.0", requires: tuple[str, ...] = ()) -> str:
        module = distribution.replace("-", "_") + "_module"
        head = "from rollouts.hookspecs import hookimpl\nfrom rollouts.typing import *\n"
        (site / f"{module}.py").write_text(head + textwrap.dedent(text))
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{needs}")
        (info / "entry_points.txt").write_text(f"[rollouts]\n{distribution.removeprefix('rollouts-')} = {module}\n")
        return module

    return lay_out


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run code in a fresh interpreter that has the distributions of `site`, a server and a client; what it told."""

    def go(code: str, *arguments: str, **environ: str) -> Any:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUTS", "PYTHON"))}
        env["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", PROLOGUE + textwrap.dedent(code), *arguments],
            env=env | environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return go
