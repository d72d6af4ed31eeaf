"""`rollouts plugins`: what is installed, from where, and whether it works."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import textwrap
from collections.abc import Sequence

from rollouts.cli import new_plugin
from rollouts.plugins import PluginInfo, PluginManager, plugin_manager
from rollouts.plugins.discovery import installed, switched_off
from rollouts.plugins.trial import Trial, try_in_child

_EXAMPLES = """\
examples:
  rollouts plugins              a table of all plugins
  rollouts plugins --check      the same with tracebacks, after each was tried in a process of its own and held to
                                the cheap part of its contract; exit code 1 when one is broken or doubtful
  rollouts plugins --json       the same for programs, tracebacks included
  rollouts plugins new rollouts-memcache --kind cache       a distribution of your own, tested at once

A broken plugin is left out and harms no other. ROLLOUTS_DISABLE_PLUGINS=a,b switches plugins off by the name of
the plugin or its distribution, ROLLOUTS_PLUGIN_AUTOLOAD=0 all but the defaults.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "plugins",
        help="list plugins and what is wrong with them",
        description="Lists every plugin: name, what it offers, distribution, version and state.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="show tracebacks; exit 1 when one is broken or doubtful")
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="with --check: how long the import of a plugin may take, in a process of its own (default: 30)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.set_defaults(run=run)
    new_plugin.add(parser.add_subparsers(title="commands", metavar="COMMAND"))


def run(arguments: argparse.Namespace) -> int:
    """List the plugins; the exit code tells what `--check` found."""
    plugins = _checked(arguments.timeout) if arguments.check else plugin_manager().report()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(plugin) for plugin in plugins], indent=2))
    else:
        print(_table(plugins))
        for plugin in plugins:
            _tell_trouble(plugin, tracebacks=arguments.check)
    failed = any(plugin.state in ("broken", "doubtful") for plugin in plugins)
    return 1 if arguments.check and failed else 0


def _checked(seconds: float) -> list[PluginInfo]:
    """The report, after each installed plugin was tried in a child; what would hang or kill us is left out."""
    strangers = [found for found in installed() if not found.default and not found.problem and not switched_off(found)]
    trials = {(found.distribution, found.name): try_in_child(found, seconds) for found in strangers}
    own = try_in_child(None, seconds)
    off = [name for (_, name), trial in trials.items() if trial.trouble is not None]
    off = [os.environ.get("ROLLOUTS_DISABLE_PLUGINS", ""), *off]
    plugins = PluginManager(environ={**os.environ, "ROLLOUTS_DISABLE_PLUGINS": ",".join(off)}).report()
    return [
        _tried(plugin, own if plugin.default else trials.get((plugin.distribution or "", plugin.name), Trial()))
        for plugin in plugins
    ]


def _tried(plugin: PluginInfo, trial: Trial) -> PluginInfo:
    """What is known of a plugin, with what its trial found."""
    if trial.trouble is not None and plugin.state == "disabled":
        return dataclasses.replace(plugin, state="broken", error=trial.trouble, hints=())
    offers = {
        f"{kind.replace('_', ' ')} {name!r}" for kind, _, name in (offer.partition(":") for offer in plugin.offers)
    }
    broken = [rule for rule in trial.broken_rules if not plugin.default or rule.partition(": ")[0] in offers]
    if not broken:
        return plugin
    state = "doubtful" if plugin.state == "ok" else plugin.state
    return dataclasses.replace(plugin, state=state, hints=(*plugin.hints, *broken))


def _table(plugins: Sequence[PluginInfo]) -> str:
    rows = [("NAME", "OFFERS", "DISTRIBUTION", "VERSION", "STATE")]
    rows += [
        (
            plugin.name,
            ", ".join((*plugin.offers, *("events" for kind in plugin.kinds if kind == "events"))) or "-",
            plugin.distribution or "-",
            plugin.version or "-",
            plugin.state,
        )
        for plugin in plugins
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _tell_trouble(plugin: PluginInfo, *, tracebacks: bool) -> None:
    if plugin.error is None and not plugin.hints:
        return
    print(f"\n{plugin.name} ({plugin.distribution or 'given'} {plugin.version or ''}".rstrip() + f"): {plugin.state}")
    if plugin.error is not None:
        print(f"  {plugin.error}")
    for hint in plugin.hints:
        print(f"  {hint}")
    if tracebacks and plugin.traceback is not None:
        print(textwrap.indent(plugin.traceback.rstrip(), "    "))
