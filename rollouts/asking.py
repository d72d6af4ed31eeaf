"""From a prompt to an `Ask`: parsed, transformed, encoded, its identity taken. Once per prompt; sends nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rollouts.continuation import Memory, choose_pin, doubt
from rollouts.engine import Ask, Call
from rollouts.engine.guests import blame
from rollouts.exceptions import ConfigError, PluginError, RolloutsError, RolloutsWarning
from rollouts.extending import check_extendable, extend_conversation, extended_prompt
from rollouts.identity import SampleRequest
from rollouts.plugins import TemplateChoice
from rollouts.prompts import OPENING, parse_prompt
from rollouts.resources import Resolved, Resources
from rollouts.results import Response
from rollouts.settings import SAMPLING_NAMES, AdapterSettings, Settings
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
        self.quiet = False
        """Warn of nothing."""
        self._warned: set[str] = set()
        self._others: dict[str, Asking] = {}
        self._settings: dict[int, AdapterSettings] = {}
        self._transforms: list[PromptTransform] = resources.transforms(resolved.settings)[0]

    @property
    def settings(self) -> Settings:
        """The settings that its asks are encoded with."""
        return self._resolved.settings

    def under(self, **given: Any) -> Asking:
        """The asks of the same call under other sampling settings, or from another first number.

        Raises:
            ConfigError: A setting that is no sampling setting: it holds for a whole call.
        """
        if wrong := sorted(set(given) - set(SAMPLING_NAMES) - {"seed", "extra_body"}):
            raise ConfigError(f"{', '.join(wrong)} cannot differ within one stream of samples: give it to the call.")
        kind = repr(sorted(given.items()))
        if kind not in self._others:
            other = Asking(
                self._resources, replace(self._resolved, settings=self.settings.override(**given)), self._call
            )
            other._warned = self._warned
            self._others[kind] = other
        return self._others[kind]

    def check(self, prompt: Any) -> None:
        """Look at a prompt without transforming or encoding it.

        Raises:
            ConfigError: It can never be sent.
        """
        parse_prompt(prompt, self._resources.template(self._resolved, prompt).template, self._resolved.settings.system)

    def conversation(self, prompt: Any) -> tuple[Conversation, TemplateChoice]:
        """Parse a prompt by its think template and fold the transforms over it.

        Raises:
            ConfigError: A prompt that cannot be sent.
            PluginError: A transform failed.
        """
        choice = self._resources.template(self._resolved, prompt)
        conversation, notes = self._parsed(prompt, choice)
        for note in [choice.warning, *notes]:
            self.warn(note)
        return self._transformed(conversation), choice

    def _transformed(self, conversation: Conversation) -> Conversation:
        for transform in self._transforms:
            conversation = transform(conversation)
        return conversation

    def _settings_for(self, choice: TemplateChoice) -> AdapterSettings:
        settings = self._settings.get(id(choice.template))
        if settings is None:
            settings = self._resolved.settings.for_adapter(model=self._resolved.model, template=choice.template)
            self._settings[id(choice.template)] = settings
        return settings

    def request(self, prompt: Any) -> SampleRequest:
        """Encode a prompt and take its identity.

        Raises:
            ConfigError: A prompt or setting that this service does not take.
            PrefillUnsupported: The model cannot go on from the prefill.
        """
        return self._encoded(*self.conversation(prompt), prompt)

    def _encoded(
        self, conversation: Conversation, choice: TemplateChoice, prompt: Any, pin: Mapping[str, Any] | None = None
    ) -> SampleRequest:
        resolved = self._resolved
        try:
            wire = resolved.service.adapter.encode(conversation, self._settings_for(choice))
        except RolloutsError:
            raise
        except Exception as error:
            raise blame(resolved.service.credit, "encode", error) from error
        if not isinstance(wire, WireRequest):
            raise PluginError(f"{resolved.service.credit}: encode gave a {type(wire).__name__}, not a WireRequest.")
        wire = self._pinned(wire) if pin is None else replace(wire, pin=pin)
        return SampleRequest(
            adapter=resolved.spec.name,
            service=resolved.identity,
            model=resolved.model,
            wire=wire,
            extra_headers=resolved.settings.extra_headers,
            prompt=prompt,
            template=choice.forced,
        )

    def ask(self, prompt: Any, *, prompt_index: int, n: int) -> Ask:
        """The ask of `n` samples of a prompt."""
        assert self._call is not None
        first = self._resolved.settings.seed
        return Ask(self._call, self.request(prompt), prompt=prompt, prompt_index=prompt_index, first_number=first, n=n)

    def extension(self, response: Response, n: int) -> Ask:
        """The ask of `n` samples that go on where a cut answer stopped.

        Raises:
            ConfigError: There is nothing to go on from.
            PrefillUnsupported: The model cannot go on from a prefill.
        """
        assert self._call is not None
        check_extendable(response)
        # An answer with thought is a turn with thought, whatever its prompt said.
        marked = OPENING if response.reasoning is not None else response.prompt
        choice = self._resources.template(self._resolved, marked)
        self.warn(choice.warning)
        asked, _ = self._parsed(response.prompt, choice)
        conversation = extend_conversation(self._transformed(asked), response, choice.template)
        prompt = extended_prompt(response.prompt, conversation, choice.template)
        # Half an answer by one provider and half by another would be no sample of either.
        request = self._encoded(conversation, choice, prompt, response.pin)
        first = self._resolved.settings.seed
        return Ask(self._call, request, prompt=prompt, prompt_index=0, first_number=first, n=n)

    def warn(self, note: str | None) -> None:
        """Warn the user, once per call and text."""
        if note is not None and not self.quiet and note not in self._warned:
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
        if wire.conversation.prefill is None:
            return wire
        resolved = self._resolved
        name, model = resolved.spec.name, resolved.model
        verdicts = [item for item in Memory().verdicts() if item.service in ("", resolved.identity)]
        way = resolved.settings.adapter_options.get("continuation")
        self.warn(doubt(name, model, way or next(iter(offered_ways(resolved)), None), verdicts))
        pin, note = choose_pin(name, model, wire.body, verdicts)
        self.warn(note)
        return replace(wire, pin=pin) if pin else wire


def offered_ways(resolved: Resolved) -> tuple[str, ...]:
    """The ways in which the adapter can send a partial turn, the default first; `assistant` where it does not say."""
    ways: tuple[str, ...] = tuple(getattr(resolved.service.adapter, "ways", ("assistant",)))
    return ways


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
