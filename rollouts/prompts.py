"""From what the user wrote to a `Conversation`: the messages, and the text that the model must go on from.

Knows no model and no service: how thought is marked is the template's business. Nothing is sent from here.

A string is split at the first `<think>`. White space before the tag and one line break after it belong to the tag,
everything else is kept to the byte. `</think>` in the string closes the thought: the model goes on from the answer
after it. A list of messages is sent as it is; only its trailing assistant message is taken as the beginning of the
answer. A `<think>` anywhere else in a list is text.
"""

from __future__ import annotations

from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.settings.checks import plain_json
from rollouts.typing import Conversation, Message, ThinkTemplate

OPENING = "<think>"
"""How users write the beginning of a thought, whatever the model's own mark is."""
CLOSING = "</think>"

_SYSTEM_ROLES = ("system", "developer")


def parse_prompt(prompt: Any, template: ThinkTemplate, system: str | None = None) -> tuple[Conversation, list[str]]:
    """Take a prompt apart.

    Args:
        prompt: Text, or a list of messages in the OpenAI form.
        template: The think template chosen for the model.
        system: System prompt to put first.

    Returns:
        The conversation, and warnings for the user (each a sentence or two).

    Raises:
        ConfigError: An empty prompt, a wrong type, a message without role or content, two assistant messages at the
            end, or two system prompts.
    """
    if isinstance(prompt, str):
        messages, prefill, thought, partial, warnings = _parse_text(prompt, template)
    elif isinstance(prompt, (list, tuple)):
        messages, prefill, thought, partial, warnings = _parse_messages(prompt, template)
    else:
        raise ConfigError(f"The prompt is a {type(prompt).__name__}: give text or a list of messages.")
    if system is not None:
        messages = [_system_message(system, messages), *messages]
    return Conversation(tuple(messages), prefill, thought, partial), warnings


def opens_thought(prompt: Any) -> bool:
    """Whether the prompt says by a `<think>` tag that the model should go on from a thought."""
    if isinstance(prompt, str):
        return OPENING in prompt
    if not isinstance(prompt, (list, tuple)) or not prompt or not isinstance(prompt[-1], dict):
        return False
    last = prompt[-1]
    content = last.get("content")
    return last.get("role") == "assistant" and isinstance(content, str) and content.lstrip().startswith(OPENING)


_Parsed = tuple[list[Message], str | None, str | None, Message, list[str]]


def _parse_text(prompt: str, template: ThinkTemplate) -> _Parsed:
    if not prompt.strip():
        raise ConfigError("The prompt is empty: give some text.")
    before, tag, after = prompt.partition(OPENING)
    if not tag:
        return [_user(prompt)], None, None, {}, []
    question = before.rstrip()
    if not question:
        raise ConfigError(
            f"The prompt has no text before {OPENING}: put the question there. To send an assistant turn alone, "
            "give a list of messages."
        )
    thought, closed, answer = _without_line_break(after).partition(CLOSING)
    prefill = template.open(thought)
    if closed:
        prefill += getattr(template, "closing", "") + answer
    return [_user(question)], prefill, thought, {}, _doubts(prefill if closed else thought, after)


def _parse_messages(prompt: list[Any] | tuple[Any, ...], template: ThinkTemplate) -> _Parsed:
    if not prompt:
        raise ConfigError("The list of messages is empty: give at least one.")
    messages: list[Message] = [_message(i, message) for i, message in enumerate(prompt)]
    last = messages[-1]
    if last["role"] != "assistant" or last.get("tool_calls"):
        return messages, None, None, {}, []
    if len(messages) > 1 and messages[-2]["role"] == "assistant":
        raise ConfigError("The last two messages are both of the assistant: join them, or put a user's between them.")
    prefill = last.get("content")
    partial = {name: value for name, value in last.items() if name not in ("role", "content")}
    if not isinstance(prefill, str):
        raise ConfigError(
            "The last message is the assistant's, which the model must continue: give its content as text."
        )
    if not prefill and not partial:
        raise ConfigError("The last message is an empty assistant turn: leave it out.")
    thought, rest = _thought_in(prefill, template)
    return messages[:-1], prefill, thought, partial, _doubts(prefill if thought is None else rest, rest)


def _thought_in(prefill: str, template: ThinkTemplate) -> tuple[str | None, str]:
    """The thought at the beginning of an assistant turn, and all after its tag; None where no thought opens."""
    text = prefill.lstrip()
    for opening, closing in (
        (getattr(template, "opening", OPENING), getattr(template, "closing", CLOSING)),
        (OPENING, CLOSING),
    ):
        if text.startswith(opening):
            rest = _without_line_break(text.removeprefix(opening))
            return rest.partition(closing)[0], rest
    return None, prefill


def _doubts(last: str, after_tag: str) -> list[str]:
    warnings = []
    if last != last.rstrip():
        warnings.append(
            "The text that the model should go on from ends in white space. Models rarely write on after a lone "
            "space (the next token would hold it), so the samples may be off: end the text with a word or a mark."
        )
    if OPENING in after_tag:
        warnings.append(f"{OPENING} stands twice in the prompt; the first opens the thought, the second is text in it.")
    return warnings


def _message(position: int, message: Any) -> dict[str, Any]:
    where = f"Message {position} of the prompt"
    if not isinstance(message, dict) and not hasattr(message, "keys"):
        raise ConfigError(f"{where} is a {type(message).__name__}: give a dictionary with 'role' and 'content'.")
    plain: dict[str, Any] = plain_json(where, message)
    role = plain.get("role")
    if not isinstance(role, str) or not role:
        raise ConfigError(f"{where} has no 'role': give 'user', 'assistant', 'system' …")
    content = plain.get("content")
    if content is not None and not isinstance(content, (str, list)):
        raise ConfigError(f"{where} has a {type(content).__name__} as content: give text or a list of parts.")
    if len(plain) == 1:
        raise ConfigError(f"{where} has no 'content': give its text.")
    return plain


def _system_message(system: str, messages: list[Message]) -> Message:
    if any(message["role"] in _SYSTEM_ROLES for message in messages):
        raise ConfigError("system= is given and the list of messages has a system message too: give one of them.")
    return {"role": "system", "content": system}


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _without_line_break(text: str) -> str:
    return text.removeprefix("\r").removeprefix("\n")
