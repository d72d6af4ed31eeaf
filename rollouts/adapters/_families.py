"""Which model families cannot go on from a given beginning, whoever serves them. Data and one look-up.

Sources: Anthropic's migration guide (prefill removed from Claude 4.6 on; read 2026-08), OpenRouter's pages on
reasoning (2026-08), hand tests published for OpenRouter's providers (late 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

Family = Literal["openai", "gpt-oss", "gemini", "claude-old", "claude-new", "other"]

REFUSED: dict[str, str] = {
    "openai": (
        "OpenAI's models hide their reasoning and start a new turn after an assistant message. Use a model with open "
        "weights (Qwen, DeepSeek, GLM, Kimi), or sample without a prefill."
    ),
    "gpt-oss": (
        "chat endpoints do not let gpt-oss go on inside its analysis channel. Use a server that takes a rendered "
        'prompt: adapter="vllm" or "llama-cpp" with template="harmony" and '
        'adapter_options={"continuation": "completion"}.'
    ),
    "gemini": (
        "Gemini 2.5 and later accept the text and then skip their visible thinking. Use a model with open weights "
        "(Qwen, DeepSeek, GLM, Kimi), or sample without a prefill."
    ),
    "claude-new": (
        "Claude 4.6 and later answer 400 to a partial assistant turn. Use Claude 4.5 or earlier (it goes on from plain "
        "text, not inside its thinking) or a model with open weights (Qwen, DeepSeek, GLM, Kimi)."
    ),
}
"""Why a family is refused, and what to use instead."""

OPENS_THOUGHT: tuple[str, ...] = (
    "*deepseek-r1*",
    "*r1-distill*",
    "*qwq*",
    "*qwen3*thinking*",
    "*qwen3.[5-9]*",
)
"""Models whose own chat template ends the prompt with the opening tag, so that a second one must not be sent."""

_NEW_CLAUDES = ("fable", "mythos")
_LAST_CLAUDE = (4, 5)
_FIRST_GEMINI = (2, 5)
_VERSION = re.compile(r"(?<!\d)(\d{1,2})(?:[.-](\d{1,2}))?(?!\d)")
_OPENAI = re.compile(r"chatgpt|gpt-[3-9]|o\d+(?:$|-)|codex-")


def family(model: str) -> Family:
    """The family of `model`, named with or without its vendor, in any case."""
    name = model.lower().removeprefix("~").partition(":")[0]
    vendor, _, short = name.rpartition("/")
    if "gpt-oss" in short:
        return "gpt-oss"
    if vendor.endswith("openai") or _OPENAI.match(short):
        return "openai"
    if short.startswith("gemini"):
        version = _version(short)
        return "gemini" if version is None or version >= _FIRST_GEMINI else "other"
    if "claude" in short:
        version = None if any(name in short for name in _NEW_CLAUDES) else _version(short)
        return "claude-old" if version is not None and version <= _LAST_CLAUDE else "claude-new"
    return "other"


def matches(model: str, patterns: Iterable[str]) -> str | None:
    """The first of `patterns` that fits `model`; None where none does."""
    return next((pattern for pattern in patterns if fnmatchcase(model.lower(), pattern)), None)


def _version(name: str) -> tuple[int, int] | None:
    """The first version number in a name; a date of eight digits is none."""
    found = _VERSION.search(name)
    return None if found is None else (int(found[1]), int(found[2] or 0))
