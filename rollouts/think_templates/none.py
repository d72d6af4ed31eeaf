"""The template `none`: a family that marks no thought, or whose thought cannot be reached. Text is text."""

from __future__ import annotations

from rollouts.hookspecs import hookimpl
from rollouts.typing import Parts, TemplateSpec

FAMILIES: tuple[str, ...] = ("claude*", "gpt-[3-9]*", "chatgpt*", "o[1-9]", "o[1-9]-*", "gemini*", "gemma*", "llama*")
"""Families without thought in the text; those that refuse a prefill too are refused by the adapters."""


class NoTemplate:
    """Neither opens nor splits anything. Stateless."""

    def open(self, thought: str) -> str:
        """The thought as plain text: the model goes on from it as from the beginning of its answer."""
        return thought

    def opened(self, prefill: str) -> str | None:
        """None: no prefill opens a thought."""
        return None

    def split(self, text: str, prefill: str | None) -> Parts:
        """All of `text` is the answer."""
        return Parts(None, text, True)


@hookimpl
def rollouts_register_think_templates() -> list[TemplateSpec]:
    """Offer `none`."""
    patterns = tuple(pattern for family in FAMILIES for pattern in (family, f"*/{family}"))
    return [TemplateSpec(name="none", factory=NoTemplate, description="no marks: text is text", models=patterns)]
