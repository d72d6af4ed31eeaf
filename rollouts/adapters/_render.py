"""Renders a conversation into one text for `/completions`: layouts as data. Knows no server.

A think template with a method `render(messages, prefill) -> str` (Harmony has one) renders itself; for the other
families the layout is named by `adapter_options={"chat_template": "chatml"}`. Layouts hold what the families' own
chat templates write around plain text turns; tools and images have no place in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.typing import Conversation, ThinkTemplate


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands around each turn."""

    turn: str
    """One finished turn, with `{role}` and `{text}`."""
    reply: str
    """What opens the assistant's turn."""
    start: str = ""
    """What opens the whole text; empty where the server's tokenizer adds it."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """A turn of its own for some roles."""


LAYOUTS: dict[str, Layout] = {
    "chatml": Layout("<|im_start|>{role}\n{text}<|im_end|>\n", "<|im_start|>assistant\n"),
    "llama-3": Layout(
        "<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "deepseek": Layout(
        "",
        "<｜Assistant｜>",
        roles={
            "system": "{text}",
            "user": "<｜User｜>{text}",
            "assistant": "<｜Assistant｜>{text}<｜end▁of▁sentence｜>",
        },
    ),
    "mistral": Layout(
        "",
        "",
        roles={
            "system": "[SYSTEM_PROMPT]{text}[/SYSTEM_PROMPT]",
            "user": "[INST]{text}[/INST]",
            "assistant": "{text}</s>",
        },
    ),
}
"""Layouts by name: ChatML (Qwen, SmolLM2, Hermes), Llama 3, DeepSeek V3 and R1, Mistral from its tokenizer v7 on."""


def render_for(conversation: Conversation, template: ThinkTemplate, layout: str | None, title: str) -> str:
    """The text whose continuation is the answer.

    Raises:
        ConfigError: No layout is known, or a message holds more than text.
    """
    own: Callable[[Sequence[Mapping[str, Any]], str], str] | None = getattr(template, "render", None)
    if layout is None and own is not None:
        return own(conversation.messages, conversation.prefill or "")
    if layout is None or layout not in LAYOUTS:
        problem = "needs a layout" if layout is None else f"has no layout {layout!r}"
        raise ConfigError(
            f"A prompt rendered for {title}'s /completions {problem}: set "
            f"adapter_options={{'chat_template': …}} to one of {', '.join(LAYOUTS)}."
        )
    chosen = LAYOUTS[layout]
    turns = [_turn(chosen, message) for message in conversation.messages]
    last = conversation.messages[-1]["role"] if conversation.messages else None
    reply = "" if last == "assistant" else chosen.reply
    return chosen.start + "".join(turns) + reply + (conversation.prefill or "")


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message.

    Raises:
        ConfigError: It holds something else.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "".join(part["text"] for part in content)
    raise ConfigError(
        f"A {message.get('role')} message without plain text cannot be rendered for /completions: use the chat "
        "endpoint."
    )


def _turn(layout: Layout, message: Mapping[str, Any]) -> str:
    role = str(message["role"])
    # Concatenation by parts, since a text may hold braces.
    before, _, after = layout.roles.get(role, layout.turn).partition("{text}")
    if not before and not after and layout.turn == "" and role not in layout.roles:
        raise ConfigError(f"This layout has no turn for the role {role!r}.")
    return before.replace("{role}", role) + text_of(message) + after.replace("{role}", role)
