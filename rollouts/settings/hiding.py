"""Keeps keys out of the frames of calls: who shows a traceback with its variables shows no key. Knows no client."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

from rollouts.settings.options import Options
from rollouts.settings.secret import Secret
from rollouts.settings.table import SETTINGS

C = TypeVar("C", bound=type)

_CREDENTIAL = re.compile(r"key|token|secret|passw|auth|credential", re.IGNORECASE)


def hide(given: dict[str, Any]) -> None:
    """Put a `Secret` in place of each key in `given`, one under a wrong name (`token=`) too, and hide options."""
    for name, value in given.items():
        if name.endswith("_options") and type(value) is dict and all(type(key) is str for key in value):
            given[name] = Options(value)
        if isinstance(value, str) and (name == "api_key" or (name not in SETTINGS and _CREDENTIAL.search(name))):
            given[name] = Secret(value)


def hiding_keys(cls: C) -> C:
    """Let every public method of a class that takes settings hide the keys among them before it sees them."""
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        kinds = {parameter.kind for parameter in inspect.signature(method).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD in kinds and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, _hiding(method))
    return cls


def _hiding(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def hiding_async(self: Any, *args: Any, **given: Any) -> Any:
            hide(given)
            return await method(self, *args, **given)

        return hiding_async

    @functools.wraps(method)
    def hiding(self: Any, *args: Any, **given: Any) -> Any:
        hide(given)
        return method(self, *args, **given)

    return hiding
