"""From an answer that a length limit cut to the conversation that goes on where it stopped.

The model is handed its own words again, to the byte as the response has them: nothing is generated twice. Sends
nothing, and knows no service.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.prompts import parse_prompt
from rollouts.results import Response
from rollouts.typing import Conversation, ThinkTemplate


def check_extendable(response: Response) -> None:
    """Look whether an answer can be continued at all.

    Raises:
        ConfigError: It ended by itself, or what the model wrote is not known in full.
    """
    reason = _why_not(response)
    if reason is not None:
        raise ConfigError(f"sample {response.seed} cannot be extended: {reason}")


def _why_not(response: Response) -> str | None:
    if response.prompt is None:
        return "its prompt is not known. Take it from the Rollouts of a call, or ask for it again."
    if response.tool_calls:
        return "it calls tools. Answer them in a list of messages instead."
    if response.finish_reason != "length":
        ended = f"finish_reason={response.finish_reason!r}"
        return f"it was not cut by a length limit ({ended}). Only answers with finish_reason='length' are."
    if response.continued == "no":
        return (
            f"it did not go on from its prefill ({response.continued_reason}), so the two together are no text that "
            "the model wrote. Sample anew with a provider or way that continues (`rollouts probe` finds one)."
        )
    if response.reasoning_kind in ("summary", "encrypted") or _thinks_unseen(response):
        return "its true thought is hidden, and without it the model would go on from something else."
    if not response.reasoning and not response.content:
        return "nothing was written. Sample anew with a larger max_tokens."
    return None


def _thinks_unseen(response: Response) -> bool:
    return response.reasoning is None and response.injected is None and bool(response.usage.reasoning_tokens)


def extend_conversation(asked: Conversation, response: Response, template: ThinkTemplate) -> Conversation:
    """What was asked, with the answer so far as the beginning of the assistant's turn.

    Args:
        asked: The conversation that `response` answers; its own prefill counts for nothing, because the response
            knows what was really sent.
        response: An answer that `check_extendable` lets pass.
        template: How the model marks thought.

    Raises:
        ConfigError: The answer has thought and the template has no mark for it.
    """
    prefill, thought = response.prefill or "", response.injected
    if response.reasoning is not None:
        thought = response.thought
        if not prefill:
            prefill = template.open("")
            if not prefill:
                raise ConfigError(
                    f"sample {response.seed} cannot be extended: it has thought, and this model's template has no "
                    "mark to put it between. Name the template: template='think-tags'."
                )
        prefill += response.reasoning
        if response.completed_reasoning is not False:
            prefill += getattr(template, "closing", "")
    if response.completed_reasoning is not False:
        prefill += response.content
    return replace(asked, prefill=prefill, thought=thought)


def extended_prompt(prompt: Any, conversation: Conversation, template: ThinkTemplate) -> list[dict[str, Any]]:
    """A list of messages that asks the same: the prompt as it was given, and the turn so far."""
    given, _ = parse_prompt(prompt, template)
    turn = {**conversation.partial, "role": "assistant", "content": conversation.prefill}
    return [*map(dict, given.messages), turn]
