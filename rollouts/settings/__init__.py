"""The settings of a client and of one call: checked, merged, frozen. Knows nothing of files and environment.

A setting that was not given has its default; a sampling setting that was not given is not sent. `None` means "not
given", so that a call can take back what the client has: `generate(prompt, top_p=None)` sends no `top_p`. A
dictionary given in a call replaces the client's, it is not merged into it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from rollouts.exceptions import ConfigError, UnknownSetting
from rollouts.settings.checks import http_url
from rollouts.settings.hiding import hide, hiding_keys
from rollouts.settings.options import Options, public_url
from rollouts.settings.secret import Secret, api_key
from rollouts.settings.table import SAID_OTHERWISE, SAMPLING_NAMES, SETTINGS, Setting

if TYPE_CHECKING:
    from rollouts.typing import JsonObject, ThinkTemplate

__all__ = [
    "SAMPLING_NAMES",
    "SETTINGS",
    "AdapterSettings",
    "Options",
    "Secret",
    "Setting",
    "Settings",
    "api_key",
    "hiding_keys",
    "http_url",
    "make_settings",
    "public_url",
    "shown",
]


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """What an adapter sees of the settings (`rollouts.typing.Settings`)."""

    model: str
    sampling: JsonObject
    extra_body: JsonObject
    extra_headers: Mapping[str, str]
    template: ThinkTemplate
    require_prefill: bool


class Settings:
    """Checked settings, read as attributes. Immutable; made by `make_settings` and `override`.

    Sampling settings can be read as attributes too (None where not given). The repr shows no key and no secret among
    the options of plugins; a pickle holds none either, so that another process reads its own from its environment.
    """

    __slots__ = ("_given", "given", "given_sampling")

    given: Mapping[str, Any]
    """What was given, by name, as it is kept."""
    given_sampling: Mapping[str, Any]
    """The sampling settings that were given: what goes over the wire."""

    # Types for readers and checkers; the values come from the table (a test holds the two together).
    model: str
    adapter: str | None
    base_url: str | None
    service: str | None
    api_key: Secret | None
    adapter_options: Mapping[str, Any]
    extra_body: Mapping[str, Any]
    extra_headers: Mapping[str, str]
    system: str | None
    template: Any
    transforms: tuple[Any, ...]
    require_prefill: bool
    seed: int
    max_concurrency: int
    max_retries: int
    timeout: float
    requests_per_minute: float | None
    tokens_per_minute: float | None
    limiter: Any
    limiter_options: Mapping[str, Any]
    max_cost: float | None
    max_total_tokens: int | None
    executor: Any
    executor_options: Mapping[str, Any]
    worker_affinity: Literal["one-cpu"] | None
    strict: bool
    on_error: Literal["raise", "keep"]
    use_cache: Any
    cache_dir: Path
    cache_options: Mapping[str, Any]
    offline: bool
    progress_bar: bool
    progress: Any
    verbose: bool
    plugins: tuple[Any, ...]

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Keep values that are checked already; users call `make_settings`."""
        values = dict(given)
        sampling = {name: values[name] for name in SAMPLING_NAMES if name in values}
        object.__setattr__(self, "_given", values)
        object.__setattr__(self, "given", MappingProxyType(values))
        object.__setattr__(self, "given_sampling", MappingProxyType(sampling))

    def override(self, **given: Any) -> Settings:
        """These settings with those of one call; a None takes back what the client has.

        Raises:
            UnknownSetting: A name that is no setting.
            ConfigError: A value out of range, two values that contradict, or a setting of the client alone.
        """
        hide(given)
        for name in given:
            if name in SETTINGS and not SETTINGS[name].per_call:
                raise ConfigError(f"{name}= belongs to the client: give it to RolloutsClient, not to one call.")
        if not given:
            return self
        return _merged(self._given, given)

    def for_adapter(self, *, model: str, template: ThinkTemplate) -> AdapterSettings:
        """What the adapter gets, with the model's name as the service has it and the template that was chosen."""
        return AdapterSettings(
            model=model,
            sampling=self.given_sampling,
            extra_body=self.extra_body,
            extra_headers=self.extra_headers,
            template=template,
            require_prefill=self.require_prefill,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in SETTINGS:
            raise AttributeError(f"settings have no {name!r}")
        if name in self._given:
            return self._given[name]
        default = SETTINGS[name].default
        return {} if isinstance(default, dict) else default  # a fresh one: nobody can change the table's

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("settings are frozen: use override(...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("settings are frozen: use override(...)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._given == other._given

    __hash__ = None  # type: ignore[assignment]  # values may be dictionaries

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={shown(name, value)}' for name, value in self._given.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all but the key; options leave out their secrets."""
        return (Settings, ({name: value for name, value in self._given.items() if name != "api_key"},))


def make_settings(**given: Any) -> Settings:
    """Check a client's settings.

    Raises:
        UnknownSetting: A name that is no setting; the message names the nearest one.
        ConfigError: A value out of range or of the wrong type, no model, or two values that contradict.
    """
    hide(given)
    return _merged({}, given)


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    values = dict(base)
    for name, value in given.items():
        if name not in SETTINGS:
            raise UnknownSetting(_unknown(name))
        if value is None:
            values.pop(name, None)
        else:
            values[name] = SETTINGS[name].check(name, value)
    if "model" not in values:
        raise ConfigError("No model is given: name one, as in model='qwen/qwen3-30b-a3b'.")
    _refuse_contradictions(values)
    return Settings(values)


def _unknown(name: str) -> str:
    if name == "stream":
        return "stream= is no setting: answers are read whole."
    nearest = SAID_OTHERWISE.get(name.lower())
    if nearest is None:
        close = difflib.get_close_matches(name.lower(), [*SETTINGS, "n_samples"], n=1)
        nearest = close[0] if close else None
    hint = f" Did you mean {nearest}=?" if nearest else ""
    if nearest == "n_samples":
        hint = " Did you mean n_samples= of generate?"
    return (
        f"{name}= is no setting.{hint} What the service takes and we do not know goes into extra_body={{{name!r}: …}}."
    )


def _refuse_contradictions(values: Mapping[str, Any]) -> None:
    for name, value in values.get("extra_body", {}).items():
        if name in values and name in SAMPLING_NAMES and values[name] != value:
            raise ConfigError(f"{name} is given twice, as a setting and in extra_body, with two values: give it once.")
    if values.get("top_logprobs") is not None and values.get("logprobs") is not True:
        raise ConfigError("top_logprobs needs logprobs=True.")
    effort = (values.get("reasoning") or {}).get("effort")
    alone = values.get("reasoning_effort")
    if effort is not None and alone is not None and effort != alone:
        raise ConfigError(
            f"reasoning_effort={alone!r} contradicts reasoning={{'effort': {effort!r}}}: give one of them."
        )
    limit, newer = values.get("max_tokens"), values.get("max_completion_tokens")
    if limit is not None and newer is not None and limit != newer:
        raise ConfigError(f"max_tokens={limit} contradicts max_completion_tokens={newer}: give one of them.")


def shown(name: str, value: Any) -> str:
    """The repr of a setting's value, without what must not be shown."""
    return repr(public_url(value)) if name == "base_url" and isinstance(value, str) else repr(value)
