"""Finds and changes the text in chat messages. Knows no transform and no service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rollouts.typing import Message

SYSTEM_ROLES = ("system", "developer")


def n_system(messages: tuple[Message, ...]) -> int:
    """How many messages at the beginning are the system's."""
    return next((i for i, message in enumerate(messages) if message.get("role") not in SYSTEM_ROLES), len(messages))


def with_first_text(message: Message, change: Callable[[str], str]) -> Message | None:
    """`message` with its text (the first one, where it has several parts) changed; None where it has no text."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": change(content)}
    if not isinstance(content, list | tuple):
        return None
    for i, part in enumerate(content):
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            changed = {**part, "text": change(part["text"])}
            return {**message, "content": [*content[:i], changed, *content[i + 1 :]]}
    return None


def with_all_text(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text in it changed; names of fields and roles of messages stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: item if name in ("role", "type") else with_all_text(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_all_text(item, change) for item in value]
    return value
