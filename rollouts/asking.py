"""From a prompt to an `Ask`: parsed, transformed, encoded, its identity taken. Once per prompt; sends nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rollouts.continuation import choose_pin
from rollouts.engine import Ask, Call
from rollouts.engine.guests import blame
from rollouts.exceptions import ConfigError, PluginError, RolloutsError, RolloutsWarning
from rollouts.identity import SampleRequest
from rollouts.plugins import TemplateChoice
from rollouts.prompts import parse_prompt
from rollouts.resources import Resolved, Resources
from rollouts.settings import AdapterSettings
from rollouts.typing import Conversation, PromptTransform, WireRequest

MAX_SAMPLES = 1_000_000
"""Samples of one prompt in one call."""


class Asking:
    """Makes the asks of one call. What it warns of is said once per call."""

    def __init__(self, resources: Resources, resolved: Resolved, call: Call | None) -> None:
        """Encode for `resolved`; `call` is None where nothing will be asked."""
        self._resources = resources
        self._resolved = resolved
        self._call = call
        self._warned: set[str] = set()
        self._settings: dict[int, AdapterSettings] = {}
        self._transforms: list[PromptTransform] = resources.transforms(resolved.settings)[0]

    def check(self, prompt: Any) -> None:
        """Look at a prompt without transforming or encoding it.

        Raises:
            ConfigError: It can never be sent.
        """
        parse_prompt(prompt, self._resources.template(self._resolved, prompt).template, self._resolved.settings.system)

    def conversation(self, prompt: Any) -> tuple[Conversation, AdapterSettings]:
        """Parse a prompt and fold the transforms over it.

        Raises:
            ConfigError: A prompt that cannot be sent.
            PluginError: A transform failed.
        """
        choice = self._resources.template(self._resolved, prompt)
        conversation, notes = self._parsed(prompt, choice)
        for note in [choice.warning, *notes]:
            self.warn(note)
        for transform in self._transforms:
            conversation = transform(conversation)
        settings = self._settings.get(id(choice.template))
        if settings is None:
            settings = self._resolved.settings.for_adapter(model=self._resolved.model, template=choice.template)
            self._settings[id(choice.template)] = settings
        return conversation, settings

    def request(self, prompt: Any) -> SampleRequest:
        """Encode a prompt and take its identity.

        Raises:
            ConfigError: A prompt or setting that this service does not take.
            PrefillUnsupported: The model cannot go on from the prefill.
        """
        conversation, settings = self.conversation(prompt)
        resolved = self._resolved
        try:
            wire = resolved.service.adapter.encode(conversation, settings)
        except RolloutsError:
            raise
        except Exception as error:
            raise blame(resolved.service.credit, "encode", error) from error
        if not isinstance(wire, WireRequest):
            raise PluginError(f"{resolved.service.credit}: encode gave a {type(wire).__name__}, not a WireRequest.")
        wire = self._pinned(wire)
        return SampleRequest(
            adapter=resolved.spec.name,
            service=resolved.identity,
            model=resolved.model,
            wire=wire,
            extra_headers=resolved.settings.extra_headers,
            prompt=prompt,
        )

    def ask(self, prompt: Any, *, prompt_index: int, n: int) -> Ask:
        """The ask of `n` samples of a prompt."""
        assert self._call is not None
        first = self._resolved.settings.seed
        return Ask(self._call, self.request(prompt), prompt=prompt, prompt_index=prompt_index, first_number=first, n=n)

    def warn(self, note: str | None) -> None:
        """Warn the user, once per call and text."""
        if note is not None and note not in self._warned:
            self._warned.add(note)
            warnings.warn(note, RolloutsWarning, stacklevel=_caller())

    def _parsed(self, prompt: Any, choice: TemplateChoice) -> tuple[Conversation, list[str]]:
        try:
            return parse_prompt(prompt, choice.template, self._resolved.settings.system)
        except RolloutsError:
            raise
        except Exception as error:
            raise blame(self._resources.manager.credit("think_template", choice.name), "open", error) from error

    def _pinned(self, wire: WireRequest) -> WireRequest:
        if wire.conversation.prefill is None or self._resolved.spec.name != "openrouter":
            return wire
        pin, note = choose_pin(self._resolved.spec.name, self._resolved.model, wire.body)
        self.warn(note)
        return replace(wire, pin=pin) if pin else wire


def count(n_samples: Any) -> int:
    """Check a number of samples.

    Raises:
        ConfigError: It is no whole number from 1 to 1,000,000.
    """
    if isinstance(n_samples, bool) or not hasattr(n_samples, "__index__"):
        raise ConfigError(f"n_samples is {n_samples!r}: give a whole number from 1 to {MAX_SAMPLES:,}.")
    n = n_samples.__index__()
    if not 1 <= n <= MAX_SAMPLES:
        more = " For more, use as_completed with several first seeds." if n > MAX_SAMPLES else ""
        raise ConfigError(f"n_samples is {n:,}: give a whole number from 1 to {MAX_SAMPLES:,}.{more}")
    return int(n)


def one_prompt(prompts: Any) -> bool:
    """Whether what was given for many prompts is a single one: a string, or a list of messages."""
    if isinstance(prompts, str | Mapping):
        return True
    return isinstance(prompts, list | tuple) and bool(prompts) and all(isinstance(p, Mapping) for p in prompts)


def _caller() -> int:
    """How far up the stack the user's own code is, so that warnings point there."""
    import sys

    depth, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "rollouts":
        frame = frame.f_back
        depth += 1
    return depth
