"""The transforms `redact` and `redact-prompt`: what matches a pattern is blotted out of answers or prompts.

`redact` acts on what is shown: the cache keeps the answer as it came. `redact-prompt` acts before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.hookspecs import hookimpl
from rollouts.results import Response
from rollouts.transforms._messages import with_all_text
from rollouts.typing import Conversation, PromptTransform, ResponseTransform, TransformSpec

PATTERNS = (
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    r"\b(?:sk|pk|gsk|hf|ghp|xox[abp])[-_][A-Za-z0-9_-]{16,}",
    r"\b\d{3}-\d{2}-\d{4}\b",
    r"\b(?:\d[ -]?){12,18}\d\b",
)
"""Blotted out unless told otherwise: mail addresses, keys, US social security numbers, card numbers."""


def make_for_answers(patterns: Any = PATTERNS, replacement: Any = "[redacted]") -> ResponseTransform:
    """Blot out of an answer all that matches, in every text of it; it has no `raw` and no `logprobs`.

    Args:
        patterns: Regular expressions.
        replacement: What is put in place, as it stands.

    Raises:
        ConfigError: An expression that cannot be read.
    """
    blot = _blotter(patterns, replacement)

    def redact(response: Response) -> Response:
        texts = {name: with_all_text(getattr(response, name), blot) for name in _TEXTS}
        # The raw body has more texts than we read from it, and the tokens have them in pieces.
        return replace(response, **texts, raw_source=None, logprobs=None)

    return redact


_TEXTS = ("content", "reasoning", "refusal", "prefill", "injected", "tool_calls", "prompt")


def make_for_prompts(patterns: Any = PATTERNS, replacement: Any = "[redacted]") -> PromptTransform:
    """As `make_for_answers`, for every text of a prompt."""
    blot = _blotter(patterns, replacement)

    def redact_prompt(conversation: Conversation) -> Conversation:
        return Conversation(
            messages=tuple(with_all_text(message, blot) for message in conversation.messages),
            prefill=with_all_text(conversation.prefill, blot),
            thought=with_all_text(conversation.thought, blot),
            partial=with_all_text(conversation.partial, blot),
        )

    return redact_prompt


def _blotter(patterns: Any, replacement: Any) -> Callable[[str], str]:
    if isinstance(patterns, str) or not isinstance(replacement, str):
        raise ConfigError("the transform 'redact': patterns is a list of regular expressions, replacement a text.")
    try:
        expressions = [re.compile(pattern) for pattern in patterns]
    except (re.error, TypeError) as error:
        raise ConfigError(f"the transform 'redact' cannot read a pattern: {error}.") from None

    def blot(text: str) -> str:
        for expression in expressions:
            text = expression.sub(lambda match: replacement, text)
        return text

    return blot


@hookimpl
def rollouts_register_transforms() -> Sequence[TransformSpec]:
    """Offer both. They act last: what another transform adds is blotted out too."""
    return [
        TransformSpec(
            name="redact",
            factory=make_for_answers,
            acts_on="response",
            order=100,
            description="blots patterns out of answers as they are shown",
        ),
        TransformSpec(
            name="redact-prompt",
            factory=make_for_prompts,
            order=100,
            description="blots patterns out of prompts before they are sent",
        ),
    ]
