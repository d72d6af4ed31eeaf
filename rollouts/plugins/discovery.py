"""Which plugins are installed: entry points of the group `rollouts`. Imports none of them.

The scan reads the `entry_points.txt` of each distribution, once per process and `sys.path`; other metadata only of
those that have our group. (`importlib.metadata.entry_points()` parses every distribution's, and one that is damaged
fails them all.)
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rollouts

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "rollouts"
CORE = "rollouts"

DEFAULT_PLUGINS: dict[str, str] = {
    "adapter-openrouter": "rollouts.adapters.openrouter",
    "adapter-openai-compatible": "rollouts.adapters.openai_compatible",
    "adapter-dialects": "rollouts.adapters.dialects",
    "adapter-anthropic": "rollouts.adapters.anthropic",
    "cache-json": "rollouts.caches.json_files",
    "cache-sql": "rollouts.caches.sql",
    "cache-requests-cache": "rollouts.caches.requests_cache",
    "limiter-adaptive": "rollouts.limiters.adaptive",
    "limiter-per-minute": "rollouts.limiters.per_minute",
    "limiter-unlimited": "rollouts.limiters.unlimited",
    "think-template-tags": "rollouts.think_templates.think_tags",
    "think-template-harmony": "rollouts.think_templates.harmony",
    "think-template-mistral": "rollouts.think_templates.mistral",
    "think-template-none": "rollouts.think_templates.none",
    "transform-system": "rollouts.transforms.system",
    "transform-few-shot": "rollouts.transforms.few_shot",
    "transform-prompt-template": "rollouts.transforms.prompt_template",
    "transform-strip": "rollouts.transforms.strip",
    "transform-redact": "rollouts.transforms.redact",
    "progress-tqdm": "rollouts.progress.tqdm_bar",
    "progress-none": "rollouts.progress.none",
    "executor-threads": "rollouts.executors.threads",
    "executor-processes": "rollouts.executors.processes",
    "executor-elsewhere": "rollouts.executors.elsewhere",
    "splitter-sentences": "rollouts.resampling.splitters",
}
"""The core's own plugins, in order: the entry points of its pyproject (a test holds the two equal). Used where the
core has no metadata of its own version: copied into another project, in a zip, run from a checkout."""

_ORDER = {name: place for place, name in enumerate(DEFAULT_PLUGINS)}


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that is installed, not imported."""

    name: str
    """Name of the entry point."""
    target: str
    """`package.module` or `package.module:attribute`."""
    distribution: str
    version: str
    default: bool = False
    """True for the core's own."""
    problem: str | None = None
    """Why it must not be imported; None where nothing speaks against it."""

    def load(self) -> Any:
        """Import it. Raises whatever its import raises."""
        from importlib.metadata import EntryPoint

        return EntryPoint(self.name, self.target, GROUP).load()


_scans: dict[tuple[str, ...], tuple[Found, ...]] = {}
_scanning = threading.Lock()


def installed() -> tuple[Found, ...]:
    """The defaults, then the plugins of other distributions, in the order of `sys.path`."""
    key = tuple(sys.path)
    with _scanning:
        if key not in _scans:
            _scans.clear()
            others, own = _scan()
            defaults = own or tuple(
                Found(name, target, CORE, rollouts.__version__, default=True)
                for name, target in DEFAULT_PLUGINS.items()
            )
            _scans[key] = (*defaults, *others)
        return _scans[key]


def switched_off(found: Found, environ: Mapping[str, str] = os.environ) -> str | None:
    """Which environment variable switches a plugin off; None for one that is on. The defaults are always on."""
    if found.default:
        return None
    if environ.get("ROLLOUTS_PLUGIN_AUTOLOAD", "").strip() == "0":
        return "ROLLOUTS_PLUGIN_AUTOLOAD"
    named = {normalised(name) for name in environ.get("ROLLOUTS_DISABLE_PLUGINS", "").split(",") if name.strip()}
    return "ROLLOUTS_DISABLE_PLUGINS" if named & {normalised(found.name), normalised(found.distribution)} else None


def normalised(name: str) -> str:
    """A distribution's name without differences that mean nothing (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _scan() -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """Plugins of others, and the core's own where its metadata is of this version."""
    from importlib.metadata import distributions  # a fifth of what making a client would cost, were it loaded above

    others: list[Found] = []
    own: tuple[Found, ...] = ()
    seen: set[str] = set()
    for distribution in distributions():
        text = _entry_points_text(distribution)
        if text is None or f"[{GROUP}]" not in text.replace(" ", ""):
            continue
        name, version, requires = _identity(distribution)
        if normalised(name) in seen:
            continue  # an older copy further down sys.path
        seen.add(normalised(name))
        if normalised(name) == CORE:
            if version == rollouts.__version__:
                # Installers write entry points in an order of their own.
                ours = sorted(_entries(text), key=lambda entry: _ORDER.get(entry[0], len(_ORDER)))
                own = tuple(Found(n, t, name, version, default=True) for n, t in ours)
            continue
        problem = unmet(requires, rollouts.__version__)
        others += [Found(n, t, name, version, problem=problem) for n, t in _entries(text)]
    return tuple(others), own


def _entry_points_text(distribution: Distribution) -> str | None:
    try:
        return distribution.read_text("entry_points.txt")
    except (OSError, ValueError):
        return None  # damaged or unreadable: nobody's plugin


def _identity(distribution: Distribution) -> tuple[str, str, list[str]]:
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "?", metadata["Version"] or "?", list(metadata.get_all("Requires-Dist") or [])
    except Exception:  # damaged metadata costs a name, not a plugin
        return "?", "?", []


def _entries(text: str) -> Iterator[tuple[str, str]]:
    import configparser

    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    try:
        parser.read_string(text)
        yield from parser.items(GROUP)
    except configparser.Error:
        return


_REQUIREMENT = re.compile(r"\s*rollouts(?![-.\w])\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(;.*)?\Z", re.IGNORECASE)
_CLAUSE = re.compile(r"(===|==|~=|!=|>=|<=|>|<)\s*([^\s,]+)")


def unmet(requires: list[str], version: str) -> str | None:
    """Which requirement on `rollouts` this version does not meet; None where all are met.

    Compares release numbers only (0.3.0rc1 counts as 0.3.0); requirements with a marker are left to pip.
    """
    for requirement in requires:
        match = _REQUIREMENT.match(requirement)
        if match is None or match.group(2):
            continue
        for operator, wanted in _CLAUSE.findall(match.group(1)):
            if not _meets(_release(version), operator, wanted):
                return f"needs rollouts{operator}{wanted}, and this is rollouts {version}"
    return None


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in match.group(1).split(".")] if match else [0]
    return tuple(numbers + [0] * (4 - len(numbers)))


def _meets(have: tuple[int, ...], operator: str, wanted: str) -> bool:
    prefix = wanted.removesuffix(".*")
    length = prefix.count(".") + 1
    want = _release(prefix)
    same = have[:length] == want[:length] if wanted.endswith(".*") else have == want
    if operator == "~=":
        return have >= want and have[: length - 1] == want[: length - 1]
    return {
        "==": same,
        "===": same,
        "!=": not same,
        ">=": have >= want,
        "<=": have <= want,
        ">": have > want,
        "<": have < want,
    }[operator]
