"""The transform `system`: a system prompt before every conversation. Knows no service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.hookspecs import hookimpl
from rollouts.transforms._messages import SYSTEM_ROLES, with_first_text
from rollouts.typing import Conversation, PromptTransform, TransformSpec


def make(text: Any = None) -> PromptTransform:
    """Put `text` first; where the prompt has a system message already, before what that says.

    Raises:
        ConfigError: `text` is missing, empty, or no text.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigError('the transform \'system\' needs its text: transforms=[("system", {"text": "Be brief."})].')

    def system(conversation: Conversation) -> Conversation:
        messages = conversation.messages
        if messages and messages[0].get("role") in SYSTEM_ROLES:
            joined = with_first_text(messages[0], lambda own: f"{text}\n\n{own}")
            if joined is not None:
                return replace(conversation, messages=(joined, *messages[1:]))
        return replace(conversation, messages=({"role": "system", "content": text}, *messages))

    return system


@hookimpl
def rollouts_register_transforms() -> Sequence[TransformSpec]:
    """Offer `system`."""
    return [TransformSpec(name="system", factory=make, description="a system prompt before every conversation")]
