"""The transform `few-shot`: worked examples between the system prompt and the question. Knows no service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.hookspecs import hookimpl
from rollouts.transforms._messages import n_system
from rollouts.typing import Conversation, Message, PromptTransform, TransformSpec


def make(examples: Any = ()) -> PromptTransform:
    """Put `examples`, pairs of question and answer, before the question.

    Raises:
        ConfigError: No example, or one that is no pair of texts.
    """
    turns: list[Message] = []
    pairs = list(examples.items()) if isinstance(examples, Mapping) else list(examples)
    for i, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(text, str) and text for text in pair):
            raise ConfigError(f"the transform 'few-shot': example {i} is no pair of texts (question, answer).")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    if not turns:
        raise ConfigError(
            'the transform \'few-shot\' needs examples: transforms=[("few-shot", {"examples": [("1+1?", "2")]})].'
        )

    def few_shot(conversation: Conversation) -> Conversation:
        at = n_system(conversation.messages)
        return replace(conversation, messages=(*conversation.messages[:at], *turns, *conversation.messages[at:]))

    return few_shot


@hookimpl
def rollouts_register_transforms() -> Sequence[TransformSpec]:
    """Offer `few-shot`; after `prompt-template`, whose text is for the question alone."""
    return [TransformSpec(name="few-shot", factory=make, order=10, description="worked examples before the question")]
