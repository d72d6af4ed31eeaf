"""Puts an answer together again, in whichever of five ways its reasoning arrived. Knows no service by name.

Servers that continue an injected thought return what follows as reasoning and content apart, all in the content
with a bare closing tag, all in the reasoning, with the prefill echoed in front, or with white space trimmed. Each
gives the same `Reading`; what cannot be told apart is kept as it came and said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rollouts.typing import Conversation, ThinkTemplate

LONG_ENOUGH = 24
"""Characters from which a repeated prefill is taken off also on a server that is not known to echo.

It may be an echo, or a thought begun anew in the very same words; what follows is a continuation either way. Only of
a few characters could a true continuation repeat them."""

ECHOED = "the answer began with the prefill itself, which was taken off"
DOUBTFUL = "no reasoning and no closing tag came back, so it is not known whether this is thought or answer"


@dataclass(frozen=True, slots=True)
class Reading:
    """Reasoning and content of one answer."""

    reasoning: str | None
    content: str
    completed: bool | None
    """True where the thought was closed, False where it was cut, None where there was none."""
    echoed: str = ""
    """The echo that was taken off."""
    doubt: str | None = None
    """Why reasoning and content may be confused; None where they are not."""

    @property
    def verdict(self) -> tuple[Any, str | None]:
        """What the reading alone says of the continuation: the verdict and its evidence, or two Nones."""
        if self.doubt is not None:
            return "unknown", self.doubt
        return ("yes", ECHOED) if self.echoed else (None, None)


def read_back(
    content: str,
    reasoning: str | None,
    *,
    finish_reason: str | None,
    conversation: Conversation,
    template: ThinkTemplate,
    echoes: bool = False,
    inline: bool = False,
    answered: bool = False,
) -> Reading:
    """Take echo and tags off and decide what was thought.

    Args:
        content: The message's content.
        reasoning: The reasoning that the server kept apart; None or empty where it kept none.
        finish_reason: In the OpenAI words.
        conversation: What was asked.
        template: How the model marks thought.
        echoes: True for a server known to repeat the prefill.
        inline: True for a server known to return the model's text as it was written.
        answered: True where the answer holds something beside text: a tool call, a refusal.
    """
    prefill = conversation.prefill
    content, echo = _without_echo(content, prefill, certain=echoes or _has_tag(prefill, conversation))
    if opens_thought(conversation, template):
        return _after_open_thought(
            content, reasoning, echo, finish_reason, conversation, template, inline, echoes, answered
        )
    if reasoning:
        return _apart(content, reasoning, echo, finish_reason, prefill, template, answered)
    parts = template.split(content, prefill)
    completed = None if parts.reasoning is None else parts.completed
    return Reading(parts.reasoning, parts.content, completed, echo)


def opens_thought(conversation: Conversation, template: ThinkTemplate) -> bool:
    """True where the prefill ends inside a thought, so that the model should go on thinking."""
    prefill = conversation.prefill
    if prefill is None or conversation.thought is None:
        return False
    return not template.split(prefill, None).completed


def _after_open_thought(
    content: str,
    reasoning: str | None,
    echo: str,
    finish_reason: str | None,
    conversation: Conversation,
    template: ThinkTemplate,
    inline: bool,
    echoes: bool,
    answered: bool,
) -> Reading:
    prefill, thought = conversation.prefill, conversation.thought
    if reasoning:
        reasoning, repeated = _without_echo(reasoning, thought, certain=echoes)
        parts = template.split(reasoning, prefill)
        if parts.completed and parts.reasoning is not None:
            # The server's parser took the closing tag and the answer for thought.
            return Reading(parts.reasoning, parts.content + content, True, echo or repeated)
        return Reading(reasoning, content, answered or _closed(content), echo or repeated)
    parts = template.split(content, prefill)
    if parts.reasoning is None:
        return Reading(None, content, None, echo)
    if parts.completed or finish_reason == "length" or inline or echo:
        return Reading(parts.reasoning, parts.content, parts.completed, echo)
    if not content:
        return Reading(None, content, None, echo)
    return Reading(None, content, None, echo, DOUBTFUL)


def _apart(
    content: str,
    reasoning: str,
    echo: str,
    finish_reason: str | None,
    prefill: str | None,
    template: ThinkTemplate,
    answered: bool,
) -> Reading:
    if prefill is not None and not content and finish_reason == "stop":
        given = template.split(prefill, None)
        if given.reasoning is not None and given.completed:
            # A parser that sees no closing tag takes a finished answer after a closed thought for thought.
            return Reading(None, reasoning, None, echo)
    parts = template.split(reasoning, None)
    if parts.reasoning is not None and parts.completed:
        return Reading(parts.reasoning, parts.content + content, True, echo)
    return Reading(reasoning, content, answered or _closed(content), echo)


def _closed(content: str) -> bool:
    """A server that keeps thought apart wrote an answer only if the thought was closed before it."""
    return bool(content.strip())


def _has_tag(prefill: str | None, conversation: Conversation) -> bool:
    """A prefill that holds more than its thought holds a tag, which no model writes again by chance."""
    return prefill is not None and conversation.thought is not None and prefill != conversation.thought


def _without_echo(text: str, prefix: str | None, *, certain: bool) -> tuple[str, str]:
    if not prefix or not text.startswith(prefix):
        return text, ""
    if certain or len(prefix) >= LONG_ENOUGH:
        return text[len(prefix) :], prefix
    return text, ""
