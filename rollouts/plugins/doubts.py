"""Signs that a plugin does not do what its author thinks: hooks that never fire, arguments that will go.

Knows nothing of loading, and the hooks only as functions with marks.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

_MARK = "rollouts_impl"
"""Attribute that `hookimpl` puts on a function (pluggy: project name and `_impl`)."""
_SPEC_MARK = "rollouts_spec"
"""The same of `hookspec`."""


def doubts(plugin: Any, specs: Any) -> list[str]:
    """What is doubtful about a plugin's hooks, one sentence each.

    Args:
        plugin: A module or an object.
        specs: The module with the hooks.
    """
    found: list[str] = []
    hooks = {name: getattr(member, _SPEC_MARK) for name, member in vars(specs).items() if hasattr(member, _SPEC_MARK)}
    for attribute in dir(plugin):
        function = _function(plugin, attribute)
        if function is None:
            continue
        options = getattr(function, _MARK, None)
        if options is None:
            if attribute in hooks and function.__module__ == getattr(plugin, "__name__", type(plugin).__module__):
                found.append(f"{attribute} has the name of a hook and is not marked @hookimpl, so it is never called")
            continue
        hook = options.get("specname") or attribute
        if hook not in hooks:
            close = difflib.get_close_matches(hook, hooks, n=1, cutoff=0.0)
            found.append(f"{hook} is no hook, so it is never called; the nearest is {close[0]}")
            continue
        if options.get("wrapper") or options.get("hookwrapper"):
            found.append(f"{hook} is a wrapper; no hook of rollouts can be wrapped, so it is never called")
        found += _doubtful_arguments(hook, function, hooks[hook].get("warn_on_impl_args") or {})
    return found


def _function(plugin: Any, attribute: str) -> Any:
    try:
        member = inspect.getattr_static(plugin, attribute)  # runs no property
    except AttributeError:
        return None
    member = getattr(member, "__func__", member)
    return member if inspect.isfunction(member) else None


def _doubtful_arguments(hook: str, function: Any, deprecated: Mapping[str, Warning]) -> list[str]:
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            found.append(f"{hook} gives {parameter.name} a default; some versions of pluggy then never pass it")
        elif parameter.kind is parameter.KEYWORD_ONLY:
            found.append(f"{hook} takes {parameter.name} by keyword only, which pluggy cannot pass")
        if parameter.name in deprecated:
            found.append(str(deprecated[parameter.name]))
    return found
