"""The template `think-tags`: thought between `<think>` and `</think>`, and the families that write it so."""

from __future__ import annotations

from rollouts.hookspecs import hookimpl
from rollouts.think_templates._tags import Tags
from rollouts.typing import TemplateSpec

FAMILIES: tuple[str, ...] = (
    # Patterns as fnmatch knows them, in lower case, tried with and without the vendor's prefix (`qwen/`).
    "qwen*",
    "qwq*",
    "deepseek*",
    "deepscaler*",
    "deepcoder*",
    "glm-4.[1-9]*",
    "glm-[5-9]*",
    "glm-z1*",
    "kimi-k*",
    "kimi-*thinking*",
    "minimax-m*",
    "skywork-or*",
    "openthinker*",
    "nemotron*",
    "*nemotron*",
    "phi-4*reasoning*",
    "olmo-3*",
    "smollm*",
    "exaone-deep*",
    "ernie-*thinking*",
    "hunyuan*",
    "ring-*",
    "mimo*",
    "intellect-*",
    "hermes-4*",
    "cogito*",
    "seed-oss*",
    "step-3*",
    "*r1-distill*",
)
"""Families that mark thought with `<think>`. SmolLM2 does not reason; the tags are plain text to it."""


def make() -> Tags:
    """The template; a line feed follows the tag, as Qwen's and DeepSeek's own chat templates write it."""
    return Tags("<think>", "</think>")


@hookimpl
def rollouts_register_think_templates() -> list[TemplateSpec]:
    """Offer `think-tags`."""
    patterns = tuple(pattern for family in FAMILIES for pattern in (family, f"*/{family}"))
    description = "<think>…</think>: Qwen, QwQ, DeepSeek, GLM, Kimi and their like"
    return [TemplateSpec(name="think-tags", factory=make, description=description, models=patterns)]
