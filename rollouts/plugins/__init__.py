"""Plugins: found through entry points, loaded when first needed, each isolated from the others.

manager = plugin_manager()
cache = manager.make("cache", "json", CacheOptions(cache_dir=Path(".rollouts")))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rollouts.plugins.choosing import TemplateChoice, wire_model
from rollouts.plugins.discovery import DEFAULT_PLUGINS
from rollouts.plugins.manager import EVENTS, HOOKS, KINDS, PluginManager
from rollouts.plugins.records import PluginInfo

__all__ = [
    "DEFAULT_PLUGINS",
    "EVENTS",
    "HOOKS",
    "KINDS",
    "PluginInfo",
    "PluginManager",
    "TemplateChoice",
    "plugin_manager",
    "wire_model",
]


def plugin_manager(plugins: Iterable[Any] = ()) -> PluginManager:
    """A manager for one client: the defaults, the installed plugins, then `plugins`. Loads nothing yet."""
    return PluginManager(plugins)
