"""`docs/reference/hooks.md` and `public-api.md` say what the code says; a name that comes or goes turns this red.

After a change that is meant: `ROLLOUTS_TEST_WRITE=1 pytest tests/sdk/test_reference_pages.py` writes both anew. Take
the change to the CHANGELOG too: what stands on these pages is what plugins and programs are built on.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from rollouts import hookspecs
from rollouts.plugins import EVENTS, KINDS

DOCS = Path(__file__).parents[2] / "docs" / "reference"

PUBLIC = {
    "rollouts": "what most programs need",
    "rollouts.results": "what comes back",
    "rollouts.exceptions": "every error and the warning",
    "rollouts.settings": "settings as data",
    "rollouts.resampling": "cutting thoughts and asking again",
    "rollouts.typing": "Protocols of plugins, and the values that pass between the parts",
    "rollouts.hookspecs": "the hooks of plugins",
    "rollouts.events": "what observers are told",
    "rollouts.identity": "who a sample is",
    "rollouts.results.codec": "responses as records, for caches",
    "rollouts.plugins": "what is installed",
    "rollouts.testing": "a testing kit",
}
"""Modules whose names stay, with what they are for."""

PROTOCOLS = {
    "adapter": "ProviderAdapter", "cache": "CacheBackend", "limiter": "Limiter", "think_template": "ThinkTemplate",
    "transform": "PromptTransform", "splitter": "Splitter", "progress": "Progress", "executor": "ExecutorFactory",
    "command": "Command",
}  # fmt: skip
"""What the thing of each kind looks like, in `rollouts.typing`."""


def documented(module: ModuleType) -> dict[str, str]:
    """The public names of a module, each with the first line of what is said of it."""
    own = said_in(Path(inspect.getfile(module)))
    said = dict(own)
    for path in sorted(Path(inspect.getfile(module)).parent.glob("*.py")) if hasattr(module, "__path__") else ():
        said = said_in(path) | said
    names = getattr(module, "__all__", None) or [name for name in own if not name.startswith("_") and name != "T"]
    lines = {}
    for name in names:
        text = said.get(name) or ""
        value = getattr(module, name)
        if not text and (inspect.isclass(value) or inspect.isroutine(value)):
            text = inspect.getdoc(value) or ""
        lines[name] = " ".join(text.split("\n\n")[0].split())
    return lines


def said_in(path: Path) -> dict[str, str]:
    """The names that a file defines, with their documentation."""
    source = ast.parse(path.read_text(encoding="utf-8"))
    said: dict[str, str] = {}
    for node, after in zip(source.body, [*source.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            said[node.name] = ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                text = after.value if isinstance(after, ast.Expr) else None
                said[target.id] = str(text.value) if isinstance(text, ast.Constant) else ""
    return said


def public_api() -> str:
    parts = [
        "# Public API",
        "What stands on this page stays: a name goes, or changes what it means, in a minor version at the earliest, "
        "after a version in which it warned (`DeprecationWarning`), and the changelog says so. All else, and every "
        "name that begins with an underscore, may change at any time. A test holds this page against the code.",
        "Adding a field with a default to a value, an optional method to a Protocol, or an argument to a hook is no "
        "change for those who do not use it.",
    ]
    for name, what in PUBLIC.items():
        parts.append(f"## {name}\n\n{what[0].upper()}{what[1:]}.")
        rows = [f"| `{public}` | {text.replace('|', chr(92) + '|')} |" for public, text in documented(importlib.import_module(name)).items()]  # fmt: skip # noqa: E501
        parts.append("\n".join(["| name | |", "|---|---|", *rows]))
    parts.append("## Kinds of plugin\n\nEach thing fits a Protocol (or is a plain function) of `rollouts.typing`.")
    for kind, (hook, spec) in KINDS.items():
        protocol = getattr(importlib.import_module("rollouts.typing"), PROTOCOLS[kind])
        methods = [n for n, m in vars(protocol).items() if inspect.isfunction(m) and not n.startswith("_")]
        shape = ", ".join(f"`{n}{_signature(getattr(protocol, n))}`" for n in methods) or "a function"
        parts.append(
            f"- **{kind.replace('_', ' ')}**: `{PROTOCOLS[kind]}`, {shape}; offered by `{hook}` as `{spec.__name__}`"
        )
    parts.append("Observers need no Protocol: " + ", ".join(f"`{hook}`" for hook in EVENTS) + ".")
    return "\n\n".join(parts) + "\n"


def _signature(function) -> str:
    return str(inspect.signature(function)).replace("'", "").replace("(self, ", "(").replace("(self)", "()")


def hooks() -> str:
    parts = [
        "# Hooks",
        "A plugin is a module, found through an entry point of the group `rollouts`, with functions marked "
        "`@hookimpl`; or an object with such methods, given to a client: `RolloutsClient(model, plugins=[…])`. Name "
        "only the arguments that you use and give them no defaults. [Write a plugin](../how-to/write-a-plugin.md) "
        "shows the whole way. Order: the defaults, then installed plugins, then those given to the client.",
        "Which versions of rollouts a plugin works with is said in the `dependencies` of its pyproject, or by the "
        'module itself: `rollouts_requires = ">=0.3"`. A plugin that needs another version is named and not used.',
        "An argument of a hook that will go is deprecated for one minor version at least: a plugin that names it works "
        "on, its author is warned, and `rollouts plugins` calls it doubtful.",
    ]
    for title, names in (("Registration", [hook for hook, _ in KINDS.values()]), ("Events", EVENTS)):
        parts.append(f"# {title}")
        for name in names:
            text = inspect.getdoc(getattr(hookspecs, name)) or ""
            text = re.sub(r"(?m)(^|(?<=\. ))(When|Returns|Errors|Ownership):", r"\n**\2:**", text)
            parts.append(f"## {name}\n\n{text}")
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(?m) +$", "", "\n\n".join(parts))) + "\n"


@pytest.mark.parametrize("page", [public_api, hooks], ids=["public-api", "hooks"])
def test_the_page_says_what_the_code_says(page):
    path = DOCS / f"{page.__name__.replace('_', '-')}.md"
    if os.environ.get("ROLLOUTS_TEST_WRITE") == "1":
        path.write_text(page(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == page()


def test_every_public_name_is_there_and_explained():
    for name in PUBLIC:
        module = importlib.import_module(name)
        for public, text in documented(module).items():
            assert hasattr(module, public)
            assert text or public == "__version__" or public.isupper() or public in ("hookspec",), f"{name}.{public}"


def test_every_kind_has_its_protocol():
    assert set(PROTOCOLS) == set(KINDS)


def test_what_the_first_party_plugins_import_is_public():
    """They are the templates to copy: what they may import, anybody may."""
    folder = Path(__file__).parents[2] / "plugins"
    for path in folder.glob("*/rollouts_*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rollouts":
                assert node.module in PUBLIC or node.module.startswith("rollouts.testing"), f"{path}: {node.module}"
