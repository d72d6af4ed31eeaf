"""What registration hooks return: a named thing, how it is made, and what must be known before it exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A named thing that a plugin offers."""

    name: str
    """What users write: `use_cache="json"`."""
    factory: Callable[..., Any]
    """Makes the thing; imports what it needs when called, not before."""
    description: str = ""
    """One line for `rollouts plugins`."""
    override: bool = False
    """True where this is meant to replace another plugin's thing of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec(Spec):
    """An adapter: `factory(AdapterOptions) -> ProviderAdapter`, and what must be known before it exists."""

    base_url: str = ""
    """The service's own base URL; empty where the user must give one or the adapter serves itself."""
    needs_base_url: bool = False
    """True where a base URL must be given."""
    key_variable: str | None = None
    """Environment variable of the key (`OPENROUTER_API_KEY`); None where there is no key."""
    key_required: bool = True
    """False for servers that answer without a key."""
    key_header: str = "Authorization"
    """Header that carries the key."""
    key_prefix: str = "Bearer "
    """What stands before the key in that header."""
    hosts: tuple[str, ...] = ()
    """Hosts of the service itself, to which a key from the environment may go; also choose by base URL."""
    model_prefixes: tuple[str, ...] = ()
    """`("vllm/",)`: a model so named chooses this adapter, and the prefix is taken off."""
    http: bool = True
    """False for an adapter with its own `send`."""
    states_cost: bool = False
    """True where answers state their cost in US dollars, so that `max_cost` can be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSpec(Spec):
    """A think template: `factory() -> ThinkTemplate`."""

    models: tuple[str, ...] = ()
    """Patterns (as `fnmatch`, lower case) of the models that write thought this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSpec(Spec):
    """A transform: `factory(**options) -> PromptTransform | ResponseTransform`."""

    acts_on: Literal["prompt", "response"] = "prompt"
    order: int = 0
    """Transforms are folded from the lowest to the highest."""
