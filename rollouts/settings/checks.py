"""Checks of single values: each takes a name and a value, and gives the value back in plain form or raises.

Knows nothing of which settings there are. No message shows a value that could be a secret.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from rollouts.exceptions import ConfigError
from rollouts.settings.options import Options, public_url

Check: TypeAlias = Callable[[str, Any], Any]
"""`check(name, value)` gives the value as it is kept.

Raises:
    ConfigError: The value is of the wrong type or out of range.
"""


def refused(name: str, value: Any, wanted: str) -> ConfigError:
    """The error that tells what was given and what is wanted."""
    return ConfigError(f"{name}={reprlib.repr(value)} cannot be used: give {wanted}.")


def number(low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> Check:
    """A finite number from `low` (above it, with `above`) to `high`; whole ones stay whole. No bool."""
    start = f"above {low:g}" if above else f"from {low:g}"
    bounds = start if high == math.inf else f"{start} to {high:g}" if not above else f"{start}, at most {high:g}"

    def check(name: str, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise refused(name, value, f"a number {bounds}, not a {type(value).__name__}")
        plain = operator.index(value) if isinstance(value, numbers.Integral) else float(value)
        if not math.isfinite(plain) or not low <= plain <= high or (above and plain == low):
            raise refused(name, plain, f"a number {bounds}")
        return plain

    return check


def integer(low: int, high: int | None = None) -> Check:
    """A whole number from `low` to `high`. No bool, no float."""
    bounds = f"from {low} to {high}" if high is not None else f"of at least {low}"

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool):
            raise refused(name, value, f"a whole number {bounds}, not a bool")
        try:
            plain = operator.index(value)
        except TypeError:
            raise refused(name, value, f"a whole number {bounds}, not a {type(value).__name__}") from None
        if plain < low or (high is not None and plain > high):
            raise refused(name, plain, f"a whole number {bounds}")
        return plain

    return check


def boolean(name: str, value: Any) -> bool:
    """True or False, nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise refused(name, value, "True or False")
    return value


def choice(*known: str) -> Check:
    """One of a few words."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise refused(name, value, "one of " + ", ".join(map(repr, known)))
        return value

    return check


def text(longest: int | None = None) -> Check:
    """Text that is not empty, at most `longest` characters."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise refused(name, value, "text that is not empty")
        if longest is not None and len(value) > longest:
            raise refused(name, value, f"at most {longest} characters")
        return value

    return check


def word(name: str, value: Any) -> str:
    """A name: text without control characters, lone surrogates and surrounding white space."""
    if not isinstance(value, str) or not value.strip():
        raise refused(name, value, "a name that is not empty")
    if value != value.strip() or not value.isprintable():
        raise refused(name, value, "a name without control characters and surrounding white space")
    return value


def model_name(name: str, value: Any) -> str:
    """A model's name. A part `..` is refused, because the name becomes a folder of the cache."""
    plain = word(name, value)
    if ".." in plain.replace("\\", "/").split("/"):
        raise refused(name, value, "a model's name without '..' (as 'qwen/qwen3-30b-a3b')")
    return plain


def texts(name: str, value: Any) -> list[str]:
    """A list of texts, none empty."""
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or not value:
        raise refused(name, value, "a list of texts")
    return [text()(f"{name}[{i}]", item) for i, item in enumerate(value)]


def text_or_texts(name: str, value: Any) -> str | list[str]:
    """One text or a list of texts."""
    return text()(name, value) if isinstance(value, str) else texts(name, value)


def plain_json(name: str, value: Any) -> Any:
    """`value` as plain JSON, copied, so that a later change of the caller's object changes nothing here."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Real):
        return number()(name, value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{name} has the key {reprlib.repr(key)}: keys must be text.")
        return {key: plain_json(f"{name}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(f"{name}[{i}]", item) for i, item in enumerate(value)]
    raise ConfigError(f"{name} is a {type(value).__name__}: give JSON values (text, numbers, lists, dictionaries).")


def json_object(name: str, value: Any) -> dict[str, Any]:
    """A dictionary of JSON values."""
    if not isinstance(value, Mapping):
        raise refused(name, value, "a dictionary")
    plain: dict[str, Any] = plain_json(name, value)
    return plain


def json_objects(name: str, value: Any) -> list[dict[str, Any]]:
    """A list of dictionaries of JSON values."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, (list, tuple)):
        raise refused(name, value, "a list of dictionaries")
    return [json_object(f"{name}[{i}]", item) for i, item in enumerate(value)]


def text_or_object(name: str, value: Any) -> str | dict[str, Any]:
    """A word or a dictionary."""
    return text()(name, value) if isinstance(value, str) else json_object(name, value)


def token_biases(name: str, value: Any) -> dict[str, int | float]:
    """A dictionary from token number to a bias of -100 to 100; numbers as keys become text, as JSON has it."""
    if not isinstance(value, Mapping):
        raise refused(name, value, "a dictionary from token number to bias")
    biases = {}
    for key, bias in value.items():
        token = key if isinstance(key, str) else str(integer(0)(f"a key of {name}", key))
        biases[token] = number(-100, 100)(f"{name}[{token!r}]", bias)
    return biases


def options(name: str, value: Any) -> Options:
    """Options of a plugin: a dictionary with text as keys; values are the plugin's business."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} is no dictionary with text as keys.")
    return Options(value)


def folder(name: str, value: Any) -> Path:
    """A path; `~` is the home directory. Nothing is opened or made."""
    try:
        plain = os.fspath(value)
    except TypeError:
        raise refused(name, value, "a path") from None
    if not isinstance(plain, str) or not plain.strip() or "\0" in plain:
        raise refused(name, value, "a path that is not empty")
    return Path(plain).expanduser()


def http_url(name: str, value: Any) -> str:
    """An http or https URL without user, query and fragment; a trailing slash is dropped."""
    wanted = "a URL such as 'http://127.0.0.1:8000/v1'"
    if not isinstance(value, str):
        raise refused(name, value, wanted)
    try:
        parts = urlsplit(value.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not value.strip().isprintable() or any(character.isspace() for character in value.strip()):
        raise ConfigError(f"{name}={public_url(value)!r} is no http or https URL: give {wanted}.")
    shown = f"{name}={public_url(value)!r}"
    if "@" in parts.netloc:
        raise ConfigError(
            f"{shown} came with a user or a password (not shown), which would not be sent: give the key as api_key=…; "
            "another scheme of authorization is an adapter's business."
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{shown} came with a query or a fragment (not shown), but paths are put behind a base URL: give a key as "
            "api_key=…, and what the service reads from the body in extra_body={…}."
        )
    return value.strip().rstrip("/")


def name_or(*methods: str, described: str) -> Check:
    """The name of a plugin's thing, or an object that has `methods`."""

    def check(name: str, value: Any) -> Any:
        if isinstance(value, str):
            return word(name, value)
        if value is None or isinstance(value, type) or not all(callable(getattr(value, m, None)) for m in methods):
            raise refused(name, value, f"a name or {described} (an object with {', '.join(methods)})")
        return value

    return check


def cache(name: str, value: Any) -> Any:
    """True (the default cache), False (none), a name, or a cache backend."""
    if value is True:
        return "json"
    if value is False:
        return False
    return name_or("load_many", "store", "close", described="a cache backend")(name, value)


def progress(name: str, value: Any) -> Any:
    """A name, or a function that makes a progress reporter from `ProgressOptions`."""
    if isinstance(value, str):
        return word(name, value)
    if not callable(value):
        raise refused(name, value, "a name, or a function that makes a progress reporter")
    return value


def transforms(name: str, value: Any) -> tuple[Any, ...]:
    """A list of names, pairs of name and options, and functions."""
    if isinstance(value, (str, Mapping)) or callable(value):
        raise refused(name, value, "a list, also for a single transform")
    try:
        items = list(value)
    except TypeError:
        raise refused(name, value, "a list of transforms") from None
    return tuple(_transform(f"{name}[{i}]", item) for i, item in enumerate(items))


def _transform(name: str, item: Any) -> Any:
    if isinstance(item, str):
        return word(name, item)
    if isinstance(item, (list, tuple)) and len(item) == 2:
        return (word(name, item[0]), options(f"options of {name}", item[1]))
    if callable(item):
        return item
    raise refused(name, item, "a name, a pair (name, options), or a function")


def plugin_objects(name: str, value: Any) -> tuple[Any, ...]:
    """A list of plugin objects: modules, or objects with methods marked `@hookimpl`."""
    if isinstance(value, (str, Mapping)):
        raise refused(name, value, "a list of plugin objects; what a service calls plugins goes into extra_body")
    try:
        objects = tuple(value)
    except TypeError:
        raise refused(name, value, "a list of plugin objects") from None
    for i, item in enumerate(objects):
        if item is None or isinstance(item, (str, Mapping, type)):
            raise refused(f"{name}[{i}]", item, "a module or an object with methods marked @hookimpl")
    return objects
