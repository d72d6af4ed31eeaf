"""The template `mistral`: thought between `[THINK]` and `[/THINK]`, as Magistral and its successors write it."""

from __future__ import annotations

from rollouts.hookspecs import hookimpl
from rollouts.think_templates._tags import Tags
from rollouts.typing import TemplateSpec

FAMILIES: tuple[str, ...] = ("magistral*", "*stral*reasoning*", "*stral*thinking*")
"""Families whose reasoning models mark thought so."""


def make() -> Tags:
    """The template; Mistral's chat template puts nothing between the tag and the thought."""
    return Tags("[THINK]", "[/THINK]", separator="")


@hookimpl
def rollouts_register_think_templates() -> list[TemplateSpec]:
    """Offer `mistral`."""
    patterns = tuple(pattern for family in FAMILIES for pattern in (family, f"*/{family}"))
    return [TemplateSpec(name="mistral", factory=make, description="[THINK]…[/THINK]: Magistral", models=patterns)]
