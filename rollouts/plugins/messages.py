"""What users are told when a plugin is missing, broken or claimed twice. Loads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.exceptions import ConfigError, PluginError, RolloutsError
from rollouts.plugins.discovery import normalised

if TYPE_CHECKING:
    from rollouts.plugins.records import Plugin

_ASKED_BY = {
    "adapter": "adapter",
    "cache": "use_cache",
    "limiter": "limiter",
    "think_template": "template",
    "transform": "transforms",
    "splitter": "style",
    "progress": "progress",
    "executor": "executor",
    "command": "command",
}
"""The setting by which each kind is chosen."""

_DISTRIBUTIONS = {
    ("adapter", "local"): "rollouts-local",
    ("cache", "postgresql"): "rollouts-shared",
    ("executor", "dask"): "rollouts-dask",
    ("progress", "rich"): "rollouts-rich",
}
"""Names that come with first-party distributions."""


def short(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def words(kind: str) -> str:
    """A kind as users read it."""
    return kind.replace("_", " ")


def credit(kind: str, name: str, plugin: Plugin | None) -> str:
    """A thing and, where it is not the core's own, whose it is."""
    known = plugin is not None and not (plugin.found is not None and plugin.found.default)
    return f"the {words(kind)} {name!r}" + (f" (plugin {plugin.label})" if known and plugin is not None else "")


def factory_failed(kind: str, name: str, label: str, error: BaseException) -> str:
    """The factory of a spec raised."""
    return f"The {words(kind)} {name!r} of plugin {label} could not be made: {short(error)}."


def claimed_twice(kind: str, name: str, labels: Sequence[str]) -> str:
    """Two plugins offer one name."""
    return (
        f"The {words(kind)} {name!r} is claimed by the plugins {' and '.join(labels)}: "
        "uninstall one, switch it off with ROLLOUTS_DISABLE_PLUGINS, or let exactly one say override=True."
    )


def missing(kind: str, name: str, known: Sequence[str], plugins: Sequence[Plugin]) -> RolloutsError:
    """Nobody offers a name: because there is no such thing, or because its plugin is broken or off."""
    likely = [plugin for plugin in plugins if _may_offer(plugin, kind, name)]
    for plugin in likely:
        if plugin.error is not None:
            error = PluginError(
                f"The {words(kind)} {name!r} belongs to plugin {plugin.label}, which is broken: "
                f"{short(plugin.error)}. `rollouts plugins` shows more."
            )
            error.__cause__ = plugin.error
            return error
    message = f"{_ASKED_BY[kind]}={name!r} names no {words(kind)}. There are: {', '.join(sorted(known)) or 'none'}."
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        message += f" Did you mean {close[0]!r}?"
    for plugin in likely:
        if plugin.disabled_by:
            message += f" Plugin {plugin.label} is switched off by {plugin.disabled_by}."
    distribution = _DISTRIBUTIONS.get((kind, name))
    if distribution and not likely:
        message += f" {name!r} comes with the distribution {distribution}: install it."
    broken = [plugin.label for plugin in plugins if plugin.error is not None and not _other_kind(plugin, kind)]
    if broken:
        message += f" Broken plugins, any of which might offer it: {', '.join(broken)} (see `rollouts plugins`)."
    return ConfigError(message)


def _may_offer(plugin: Plugin, kind: str, name: str) -> bool:
    if plugin.found is None:
        return False
    own = normalised(plugin.name)
    family = normalised(plugin.found.distribution)
    prefix = normalised(kind) + "-"
    return normalised(name) in {own, own.removeprefix(prefix), family, family.removeprefix("rollouts-")}


def _other_kind(plugin: Plugin, kind: str) -> bool:
    """True for a default of another kind: the names of their entry points begin with the kind."""
    default = plugin.found is not None and plugin.found.default
    return default and not plugin.name.startswith(normalised(kind) + "-")
