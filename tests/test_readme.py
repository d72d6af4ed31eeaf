"""Every code block of the README, the documents and the plugins' READMEs is run as it stands.

Python blocks of one document run from top to bottom in one namespace, as a reader would type them; `await` may
stand at the top level, as in a notebook. OpenRouter is a server on this machine, the local model is the real one. Of
a console block the lines behind `$` are run (all of them where none has a `$`); `pip install …` is run by `.ci/run`,
in fresh environments. JSON and TOML blocks must parse; `text` blocks are not run.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollouts import RolloutsClient
from rollouts.testing import LoopbackServer

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")])
LANGUAGES = {"python", "console", "json", "toml", "text"}


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    code: str
    line: int
    """Line of the document where the code begins."""


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(match[2], inspect.cleandoc("\n" + match[3]), text[: match.start(3)].count("\n") + 1)
        for match in re.finditer(r"^( *)```([^\n]*)\n(.*?)^\1``` *$", text, flags=re.M | re.S)
    ]


def commands_of(block: Block) -> list[str]:
    lines = [line for line in block.code.splitlines() if line and not line.startswith("#")]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] or lines


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


RUN_ELSEWHERE = {
    # Its blocks need the distribution that it has you make and install: tests/sdk/test_write_a_plugin.py.
    "docs/how-to/write-a-plugin.md",
}
"""Documents whose blocks another test runs."""


def with_blocks(language: str) -> list[Path]:
    mine = [d for d in DOCUMENTS if name_of(d) not in RUN_ELSEWHERE]
    return [d for d in mine if any(block.language == language for block in blocks_of(d))]


@pytest.fixture
def _services(monkeypatch: pytest.MonkeyPatch, local_model: str) -> Iterator[None]:
    with LoopbackServer() as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-of-the-documents")
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_block_says_what_it_is(document: Path) -> None:
    for block in blocks_of(document):
        assert block.language in LANGUAGES, f"{name_of(document)}:{block.line}: ```{block.language}"


@pytest.mark.local_model
@pytest.mark.usefixtures("_services")
@pytest.mark.filterwarnings("default::rollouts.exceptions.RolloutsWarning")  # a short example pins no provider
@pytest.mark.parametrize("document", with_blocks("python"), ids=name_of)
def test_python_blocks_run(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    try:
        for block in blocks_of(document):
            if block.language == "python":
                padded = "\n" * (block.line - 1) + block.code
                code = compile(padded, str(document), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                result = eval(code, module.__dict__)
                if inspect.iscoroutine(result):
                    asyncio.run(result)
    finally:
        for value in vars(module).values():
            if isinstance(value, RolloutsClient):
                value.close()


@pytest.mark.local_model
@pytest.mark.usefixtures("_services")
@pytest.mark.parametrize("document", with_blocks("console"), ids=name_of)
def test_console_commands_succeed(document: Path) -> None:
    for block in blocks_of(document):
        if block.language == "console":
            for command in commands_of(block):
                if not command.startswith("pip install "):
                    done = subprocess.run(
                        command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
                    )
                    assert done.returncode == 0, f"{name_of(document)}:{block.line}: {command}\n{done.stderr}"


def test_data_blocks_parse() -> None:
    for document in DOCUMENTS:
        for block in blocks_of(document):
            if block.language == "json":
                json.loads(block.code)
            if block.language == "toml":
                tomllib.loads(block.code)


@pytest.mark.parametrize("ending", ["python example.py", "pytest"])
def test_the_two_commands_stand_in_the_readme(ending: str) -> None:
    wanted = {
        "python example.py": "pip install . ./plugins/rollouts-local && python example.py",
        "pytest": "pip install -r requirements-dev.txt && pytest -n 2 --dist worksteal",
    }
    commands = [c for b in blocks_of(ROOT / "README.md") if b.language == "console" for c in commands_of(b)]
    assert wanted[ending] in commands
