"""The template `harmony`: gpt-oss, which thinks in a channel of its own. Renders whole prompts too.

Source: OpenAI's description of the Harmony response format (2025-08). Works where the prompt is rendered on this
side, or where the server takes the thought in the message's own reasoning field; over an ordinary chat endpoint the
channel cannot be reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollouts.hookspecs import hookimpl
from rollouts.typing import Parts, TemplateSpec

FAMILIES: tuple[str, ...] = ("gpt-oss*", "*gpt-oss*")
"""Families that speak Harmony."""

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
CLOSING = "<|end|>"
_NEXT = f"{CLOSING}<|start|>assistant{FINAL}"
_NEXT_WITHOUT_MARKS = "assistantfinal"
_ENDS = ("<|return|>", CLOSING)

SYSTEM = (
    "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n\nReasoning: medium\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message."
)
"""The system message that the model was trained with; without a date, so that equal prompts stay equal."""


class Harmony:
    """Thought is the analysis channel, the answer the final channel. Stateless."""

    opening = ANALYSIS
    closing = _NEXT

    def open(self, thought: str) -> str:
        """The analysis channel, open, with `thought` in it."""
        return ANALYSIS + thought

    def opened(self, prefill: str) -> str | None:
        """The thought that `prefill` leaves open; None where it opens none or ends it."""
        _, tag, thought = prefill.partition(ANALYSIS)
        return None if not tag or CLOSING in thought else thought

    def split(self, text: str, prefill: str | None) -> Parts:
        """Take apart what was written after `prefill`, with its marks or (many servers drop them) without."""
        if prefill is not None and self.opened(prefill) is None:
            return Parts(None, _unended(text), True)
        if prefill is None and not text.startswith(ANALYSIS):
            before, tag, after = text.partition(_NEXT_WITHOUT_MARKS)
            if before.startswith("analysis") and tag:
                return Parts(before.removeprefix("analysis"), after, True)
            return Parts(None, _unended(text.removeprefix(FINAL)), True)
        text = text.removeprefix(ANALYSIS) if prefill is None else text
        for mark in (_NEXT, _NEXT_WITHOUT_MARKS):
            reasoning, tag, content = text.partition(mark)
            if tag:
                return Parts(reasoning, _unended(content), True)
        reasoning, tag, _ = text.partition(CLOSING)
        return Parts(reasoning, "", bool(tag))

    def render(self, messages: Sequence[Mapping[str, Any]], prefill: str) -> str:
        """The whole prompt as text: the model's own system message, the user's as the developer's, every turn.

        Raises:
            ValueError: A message holds more than text.
        """
        turns = [f"<|start|>system<|message|>{SYSTEM}{CLOSING}"]
        for message in messages:
            content = message.get("content")
            if not isinstance(content, str):
                raise ValueError(f"a {message.get('role')} message without plain text cannot be rendered for Harmony")
            role = str(message["role"])
            if role in ("system", "developer"):
                turns.append(f"<|start|>developer<|message|># Instructions\n\n{content}{CLOSING}")
            elif role == "assistant":
                turns.append(f"<|start|>assistant{FINAL}{content}{CLOSING}")
            else:
                turns.append(f"<|start|>{role}<|message|>{content}{CLOSING}")
        return "".join(turns) + "<|start|>assistant" + prefill


def _unended(text: str) -> str:
    for end in _ENDS:
        text = text.removesuffix(end)
    return text


@hookimpl
def rollouts_register_think_templates() -> list[TemplateSpec]:
    """Offer `harmony`."""
    patterns = tuple(pattern for family in FAMILIES for pattern in (family, f"*/{family}"))
    return [TemplateSpec(name="harmony", factory=Harmony, description="the channels of gpt-oss", models=patterns)]
