"""What may differ between services that speak the OpenAI chat API, as data. Knows no service by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Way: TypeAlias = Literal["assistant", "prefix", "continue", "reasoning", "completion"]
"""How a partial assistant turn goes on the wire.

- `assistant`: a trailing assistant message, nothing else.
- `prefix`: the same, marked `"prefix": true`.
- `continue`: the same, with `continue_final_message: true` and `add_generation_prompt: false`.
- `reasoning`: the thought in the trailing message's own reasoning field, with empty content.
- `completion`: the prompt rendered on this side and sent to `/completions`.
"""

WAYS: tuple[Way, ...] = ("assistant", "prefix", "continue", "reasoning", "completion")

STANDARD: frozenset[str] = frozenset(
    {
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "presence_penalty", "frequency_penalty",
        "response_format", "tools", "tool_choice", "parallel_tool_calls", "logprobs", "top_logprobs", "logit_bias",
        "user", "reasoning", "reasoning_effort", "include_reasoning", "metadata", "service_tier",
    }
)  # fmt: skip
"""Settings of OpenAI's own chat API, and those that are translated for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One service's way with the OpenAI chat API."""

    title: str
    """The service's name in messages."""
    ways: tuple[Way, ...] = ("assistant",)
    """Ways of continuing that it offers, the default first; empty where it continues nothing."""
    no_prefill: str = ""
    """Why it continues nothing."""
    partial_reasoning: Callable[[str], Mapping[str, Any]] | None = None
    """Builds the trailing message of the way `reasoning` from the thought."""
    reasoning_flags: Mapping[str, Any] = field(default_factory=dict)
    """Body fields that the way `reasoning` needs."""
    continue_flags: Mapping[str, Any] = field(
        default_factory=lambda: {"continue_final_message": True, "add_generation_prompt": False}
    )
    """Body fields that the way `continue` needs."""
    drops_opening_tag: bool = False
    """True where the server writes the opening tag itself for models whose chat template opens the thought."""
    renders_gpt_oss: bool = False
    """True where gpt-oss goes on inside its analysis channel, by the way `reasoning`."""
    refused_models: Mapping[str, str] = field(default_factory=dict)
    """Models (patterns as `fnmatch`, lower case) that do not continue here though they may elsewhere, and why."""
    switch_allowed: bool = False
    """True where thinking may have to be switched off in the chat template for the prefill to be taken."""
    echoes: bool = False
    """True where the answer may repeat the prefill."""
    inline: bool = False
    """True where text without tags after an open thought is thought: the server adds nothing of its own."""
    accepts: frozenset[str] | None = None
    """Settings that it takes; None for any."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Its own names of settings."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Settings that it does not take, and why."""
    reasoning: Literal["object", "pass", "effort", "none"] = "pass"
    """How it takes `reasoning={…}` and `include_reasoning`: as OpenRouter's object, both as they are, `effort` alone as
    `reasoning_effort`, or not at all."""
    include_reasoning_field: bool = False
    """True where it takes `include_reasoning` under that name."""
    seed_field: str | None = "seed"
    """The body's field for the sample's number; None where seeds are not taken."""
    logprobs: Literal["yes", "integer", "no"] = "yes"
    """`integer`: `logprobs` is the number of alternatives."""
    no_logprobs: str = ""
    """Why it gives none."""
    prices_path: str | None = None
    """Path of the catalogue that states prices; None where it states none."""
