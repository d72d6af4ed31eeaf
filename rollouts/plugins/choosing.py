"""Which adapter and which think template serve a model, when the user names none. Pure choice over specs."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from rollouts.typing import AdapterSpec, TemplateSpec, ThinkTemplate

if TYPE_CHECKING:
    from rollouts.plugins.manager import PluginManager

DEFAULT_ADAPTER = "openrouter"
FOREIGN_ADAPTER = "openai-compatible"
"""For a base URL that no adapter knows."""
INJECTED_TEMPLATE = "think-tags"
"""For an unknown model whose prompt holds `<think>`: the user says that it speaks tags."""
NEUTRAL_TEMPLATE = "none"
"""Writes no marks, so that no family can misunderstand them."""
UNKNOWN_TEMPLATE = NEUTRAL_TEMPLATE
"""For an unknown model otherwise: its answers are not guessed apart."""


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """The think template of one prompt."""

    template: ThinkTemplate
    name: str
    """The spec's name; the class's name for a template given as an object."""
    warning: str | None = None
    """Set where the choice is a guess that the user should know of."""
    forced: str | None = None
    """What tells it from others, where it is not the one that the model would get by itself."""


def choose_adapter(manager: PluginManager, model: str, base_url: str | None, adapter: str | None) -> AdapterSpec:
    """The adapter by name, by the host of the base URL, by the model's prefix, or the default."""
    if adapter is not None:
        return cast(AdapterSpec, manager.spec("adapter", adapter))
    specs = cast("list[AdapterSpec]", manager.specs("adapter"))
    if base_url is not None:
        known = [spec for spec in specs if _serves(spec, base_url)]
        if known:
            return known[-1]
    prefixed = [(len(p), i, spec) for i, spec in enumerate(specs) for p in spec.model_prefixes if model.startswith(p)]
    if prefixed:
        return max(prefixed, key=lambda entry: entry[:2])[2]
    if base_url is not None:
        return cast(AdapterSpec, manager.spec("adapter", FOREIGN_ADAPTER))
    if model.startswith("local/"):
        # OpenRouter has no such vendor: say what is missing rather than let it answer 404.
        return cast(AdapterSpec, manager.spec("adapter", "local"))
    return cast(AdapterSpec, manager.spec("adapter", DEFAULT_ADAPTER))


def wire_model(spec: AdapterSpec, model: str) -> str:
    """The model's name as the service has it: without the prefix that chose the adapter."""
    prefix = max((p for p in spec.model_prefixes if model.startswith(p)), key=len, default="")
    return model[len(prefix) :] or model


def choose_template(manager: PluginManager, model: str, template: Any, *, injecting: bool) -> TemplateChoice:
    """The think template by name or object, by the longest fitting pattern, or the one for unknown models."""
    if template is not None and not isinstance(template, str):
        return TemplateChoice(template, type(template).__name__, forced=_told(template))
    warning = None
    own = _longest_match(cast("list[TemplateSpec]", manager.specs("think_template")), model)
    unasked = own or (INJECTED_TEMPLATE if injecting else UNKNOWN_TEMPLATE)
    name = template or own
    if template is not None and own is not None and template not in (own, NEUTRAL_TEMPLATE):
        speaks = "marks no thought in its text" if own == NEUTRAL_TEMPLATE else f"marks thought by {own!r}"
        warning = (
            f"template={template!r} is forced on {model!r}, whose family {speaks}: the marks are mere text to it. "
            "Leave template= out."
        )
    if name is None:
        name = unasked
        if injecting:
            warning = (
                f"It is not known how the model {model!r} marks its thought; <think> tags are assumed because the "
                f"prompt has one. Say template={INJECTED_TEMPLATE!r} to confirm, or name another."
            )
    return TemplateChoice(
        cast(ThinkTemplate, manager.make("think_template", name)), name, warning, None if name == unasked else name
    )


def _told(template: Any) -> str:
    """What tells a template given as an object from others: its class, and its values where `repr` shows them."""
    shown = repr(template)
    name = f"{type(template).__module__}.{type(template).__qualname__}"
    return name if " at 0x" in shown else f"{name}: {shown}"


def _longest_match(specs: list[TemplateSpec], model: str) -> str | None:
    lowered = model.lower()
    fitting = [
        (len(pattern), i, spec.name)
        for i, spec in enumerate(specs)
        for pattern in spec.models
        if _may_fit(lowered, pattern.lower()) and fnmatchcase(lowered, pattern.lower())
    ]
    return max(fitting)[2] if fitting else None


def _may_fit(name: str, pattern: str) -> bool:
    """False where a part between wildcards is missing: most patterns need not be compiled, which takes longest here."""
    return "[" in pattern or all(part in name for part in pattern.replace("?", "*").split("*"))


def _serves(spec: AdapterSpec, base_url: str) -> bool:
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    full = parts.netloc.rpartition("@")[2].lower()
    return any(fnmatchcase(host, known.lower()) or fnmatchcase(full, known.lower()) for known in spec.hosts)
