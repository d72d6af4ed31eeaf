"""The transform `prompt-template`: the question inside a text of the user's, with variables. Knows no service."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.hookspecs import hookimpl
from rollouts.transforms._messages import with_first_text
from rollouts.typing import Conversation, PromptTransform, TransformSpec

PROMPT = "prompt"
"""The variable that stands for the question."""


def make(template: Any = None, variables: Any = None) -> PromptTransform:
    """Put the last user message into `template`.

    Args:
        template: Text with `{prompt}` and further `{names}`; a brace itself is written twice.
        variables: Values of the further names. Braces in values and in the question are plain text.

    Raises:
        ConfigError: No `{prompt}` in the template, a name without a value, or a value without a place.
    """
    pieces = _pieces(template)
    values = {name: str(value) for name, value in (variables or {}).items()} if _is_plain(variables) else None
    if values is None or PROMPT in values:
        raise ConfigError("the transform 'prompt-template': variables is a mapping from names other than 'prompt'.")
    wanted = {name for _, name in pieces if name is not None}
    if PROMPT not in wanted:
        raise ConfigError("the transform 'prompt-template': the template has no {prompt}, so the question would go.")
    if lacking := sorted(wanted - {PROMPT} - set(values)):
        raise ConfigError(f"the transform 'prompt-template' has no value for {', '.join(lacking)}: give variables=.")
    if unused := sorted(set(values) - wanted):
        raise ConfigError(f"the transform 'prompt-template': the template has no place for {', '.join(unused)}.")

    def fill(question: str) -> str:
        known = {**values, PROMPT: question}
        return "".join(text + (known[name] if name is not None else "") for text, name in pieces)

    def prompt_template(conversation: Conversation) -> Conversation:
        messages = conversation.messages
        for i in range(len(messages) - 1, -1, -1):
            if messages[i].get("role") == "user":
                filled = with_first_text(messages[i], fill)
                if filled is not None:
                    return replace(conversation, messages=(*messages[:i], filled, *messages[i + 1 :]))
        raise ConfigError("the transform 'prompt-template': the prompt has no user message with text to put in place.")

    return prompt_template


def _is_plain(variables: Any) -> bool:
    return variables is None or (isinstance(variables, Mapping) and all(isinstance(name, str) for name in variables))


def _pieces(template: Any) -> list[tuple[str, str | None]]:
    """The texts of a template, each with the name that follows it."""
    if not isinstance(template, str):
        raise ConfigError(
            "the transform 'prompt-template' needs its text: "
            'transforms=[("prompt-template", {"template": "Answer in one word. {prompt}"})].'
        )
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"the transform 'prompt-template': {error}. Write a brace itself twice: {{{{ }}}}.") from None
    for _, name, form, conversion in parsed:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise ConfigError(
                f"the transform 'prompt-template': {{{name}}} is no plain name. Write a brace itself twice: {{{{ }}}}."
            )
    return [(text, name) for text, name, _, _ in parsed]


@hookimpl
def rollouts_register_transforms() -> Sequence[TransformSpec]:
    """Offer `prompt-template`."""
    return [TransformSpec(name="prompt-template", factory=make, description="the question inside a text of yours")]
