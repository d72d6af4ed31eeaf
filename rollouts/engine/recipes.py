"""What another process needs to make the same call: settings without secrets, as bytes. Knows no channel.

Prompts travel encoded, so that transforms act in this process only and need not be picklable.
"""

from __future__ import annotations

import base64
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rollouts.engine.jobs import Ask, Call
from rollouts.exceptions import ConfigError
from rollouts.settings import Options, Settings

_STAY = frozenset(
    {"api_key", "executor", "executor_options", "max_cost", "max_total_tokens", "offline", "on_error", "progress",
     "progress_bar", "seed", "system", "template", "transforms", "verbose"}
)  # fmt: skip
"""Settings that act in the coordinating process."""

_OWN_LIMITERS = ("adaptive", "none")
"""Limiters that each worker can have for itself; every other asks here."""

KEY = "ROLLOUTS_WORKER_KEY"
"""Environment variable in which a worker on this machine gets the key, and the secrets among options of plugins."""


@dataclass(slots=True, kw_only=True)
class ShardedCall(Call):
    """A call whose samples are asked for by workers elsewhere."""

    recipe: bytes
    """Pickled (plugins as bytes, settings)."""
    key: str | None = field(default=None, repr=False)
    """For the environment of workers on this machine, as `unlocked` reads it; never pickled."""
    granted: bool = False
    """True where each request needs leave from this process."""


def sharded(
    call: Call, settings: Settings, transport: Any, *, adapter: str, base_url: str, key: str | None, carries: bool
) -> Call:
    """`call` for workers elsewhere.

    Args:
        call: The call as this process would make it.
        settings: Its settings.
        transport: What cuts the requests of those workers.
        adapter: Name of the adapter.
        base_url: Where requests go, as resolved here.
        key: The key as found here.
        carries: Whether a worker's environment can be given the key.

    Raises:
        ConfigError: Something in the settings cannot travel.
    """
    if not carries:
        if settings.api_key is not None:
            raise ConfigError(
                "api_key= does not travel to these workers: set the adapter's environment variable where they run, and "
                "leave api_key= out."
            )
        key = None
    limiter = settings.limiter
    granted = bool(settings.requests_per_minute or settings.tokens_per_minute or limiter not in _OWN_LIMITERS)
    given = {name: value for name, value in settings.given.items() if name not in _STAY}
    for name in ("limiter", "limiter_options", "requests_per_minute", "tokens_per_minute") if granted else ():
        given.pop(name, None)
    given["adapter"] = adapter
    if base_url:
        given["base_url"] = base_url
    given["cache_dir"] = settings.cache_dir.absolute()
    plugins = given.pop("plugins", ())
    secrets = {name: held for name, value in given.items() if isinstance(value, Options) and (held := value.secrets())}
    if secrets and not carries:
        named = ", ".join(f"{name}[{option!r}]" for name, held in secrets.items() for option in held)
        raise ConfigError(
            f"{named}: a secret, which does not travel to these workers. Let them read it from their own environment: "
            "a database's url by url_from='VARIABLE'."
        )
    recipe = pickle.dumps((_travelling("plugins", plugins), _settings(given)), 5)
    values: dict[str, Any] = {f.name: getattr(call, f.name) for f in fields(Call)}
    values["transport"] = transport
    if not carries:
        values["missing_key"] = None  # each worker looks for its own
    return ShardedCall(**values, recipe=recipe, key=_locked(key, secrets), granted=granted)


def _locked(key: str | None, secrets: Mapping[str, Any]) -> str | None:
    """What a worker's environment is given; None for nothing."""
    return None if key is None and not secrets else base64.b64encode(pickle.dumps((key, secrets), 5)).decode()


def unlocked(text: str | None, settings: Settings) -> dict[str, Any]:
    """In the worker: the settings that travelled in its environment, for `override`."""
    key, secrets = (None, {}) if text is None else pickle.loads(base64.b64decode(text))
    own: dict[str, Any] = {} if key is None else {"api_key": key}
    for name, held in secrets.items():
        own[name] = Options(getattr(settings, name)).with_secrets(held)
    return own


def _settings(given: Mapping[str, Any]) -> bytes:
    for name, value in given.items():
        _travelling(name, value)
    return pickle.dumps(Settings(given), 5)


def _travelling(name: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value, 5)
    except Exception as error:
        raise ConfigError(
            f"{name}= cannot be sent to worker processes ({type(error).__name__}: {error}). Give it by name, or as an "
            "object that pickle can copy: of a class at the top of a module that the workers can import."
        ) from None


def opened(recipe: bytes, make: Callable[[tuple[Any, ...]], Any]) -> tuple[Any, Settings]:
    """In the worker: what `make` makes of the plugins, and the settings.

    Raises:
        ConfigError: Something cannot be read here.
    """
    plugins, settings = pickle.loads(recipe)
    try:
        return make(pickle.loads(plugins)), pickle.loads(settings)
    except (AttributeError, ImportError) as error:
        raise ConfigError(
            f"a setting of this call cannot be read in worker process {os.getpid()} ({type(error).__name__}: {error}). "
            "Plugins and caches given as objects must be of a class in a module that the workers can import, not of "
            "the script or notebook itself."
        ) from None


def travelling_ask(ask: Ask) -> bytes:
    """One prompt of a call, encoded, as bytes.

    Raises:
        ConfigError: It holds what cannot travel.
    """
    return _travelling("a prompt or its template", (ask.request, ask.prompt, ask.prompt_index, dict(ask.pin)))
