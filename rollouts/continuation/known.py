"""What is known of services and providers without having asked them: a table with dates and sources. Data.

Verdicts of others, from few samples, a year old and more: enough to warn by, not to trust. A probe of one's own
always outweighs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal


@dataclass(frozen=True, slots=True)
class Known:
    """One line of the table."""

    adapter: str
    model: str
    """Pattern as `fnmatch`, lower case."""
    provider: str
    """Routing slug at OpenRouter; `*` for any, empty for a service of its own."""
    verdict: Literal["yes", "no", "unknown"]
    date: str
    """Year and month of the observation."""
    source: str
    note: str = ""


_HANDS = "hand tests published for OpenRouter's providers"
_SWEEP = "sweep by the author of rollouts 0.1, one sample each"
_DOCS = "the service's own documentation"
_SOURCE = "the server's source code"

_CONTINUE_QWEN3 = ("cerebras", "deepinfra", "friendli", "nebius", "novita", "sambanova", "siliconflow")
_NEVER = ("openai", "azure", "cohere", "ai21", "alibaba", "minimax", "cloudflare", "avian", "baseten", "inflection")
_NEW_CLAUDES = ("*claude-*-4[.-][6-9]*", "*claude-[a-z]*-[5-9]*", "*claude-fable*", "*claude-mythos*")

KNOWN: tuple[Known, ...] = (
    # The first line that fits decides, so exceptions stand above the rule.
    *(Known("openrouter", pattern, "*", "no", "2026-08", _DOCS, "answers 400") for pattern in _NEW_CLAUDES),
    Known("openrouter", "*claude*", "*", "yes", "2026-08", _DOCS, "as plain text, thinking off"),
    Known("openrouter", "openai/*", "*", "no", "2026-08", _DOCS, "a new turn is started"),
    Known("openrouter", "*gemini-2.0*", "*", "yes", "2025-10", _HANDS),
    Known("openrouter", "*gemini*", "*", "no", "2025-10", _HANDS, "skips its visible thinking"),
    Known("openrouter", "*deepseek-chat-v3.1*", "deepseek", "yes", "2025-10", _HANDS),
    Known("openrouter", "*deepseek-chat-v3.1*", "*", "no", "2025-10", _HANDS),
    Known("openrouter", "*qwen3-next*", "*", "no", "2025-10", _HANDS, "raw text is continued by some"),
    Known("openrouter", "*qwen3*", "groq", "no", "2025-11", _SWEEP),
    *(Known("openrouter", "*qwen3*", provider, "yes", "2025-11", _SWEEP) for provider in _CONTINUE_QWEN3),
    *(Known("openrouter", pattern, "groq", "no", "2025-10", _HANDS) for pattern in ("*qwq*", "*qwen-2.5*", "*saba*")),
    *(Known("openrouter", "*", provider, "no", "2025-10", _HANDS) for provider in _NEVER),
    *(Known("openrouter", "*llama-4*", provider, "no", "2025-10", _HANDS) for provider in ("cerebras", "deepinfra")),
    Known("openrouter", "*qwq*", "hyperbolic", "no", "2025-10", _HANDS),
    Known("openrouter", "*", "chutes", "unknown", "2025-10", _HANDS, "differs from model to model"),
    Known("openrouter", "*", "mistral", "yes", "2025-10", _HANDS, "repeats the prefill"),
    *(
        Known("openrouter", "*", provider, "yes", "2025-10", _HANDS)
        for provider in (
            "cerebras",
            "deepinfra",
            "deepseek",
            "fireworks",
            "groq",
            "nebius",
            "featherless",
            "infermatic",
        )
    ),
    Known("openrouter", "*", "amazon-bedrock", "yes", "2025-10", _HANDS, "Nova trims white space in front"),
    Known("groq", "*qwen3*", "", "no", "2025-11", _SWEEP),
    Known("cerebras", "*", "", "yes", "2025-10", _HANDS),
    Known("deepseek", "*", "", "yes", "2025-10", _HANDS, "below /beta"),
    Known("mistral", "*", "", "yes", "2025-10", _HANDS, "repeats the prefill"),
    Known("vllm", "*", "", "yes", "2026-08", _SOURCE, "answers 400 where the template rewrites the text"),
    Known("sglang", "*", "", "yes", "2026-08", _SOURCE),
    Known("llama-cpp", "*", "", "yes", "2026-08", _SOURCE, "repeats the prefill"),
    Known("local", "*", "", "yes", "2026-11", "measured", "repeats the prefill"),
    Known("ollama", "*qwen3.5*", "", "no", "2026-08", _SOURCE, "thinking is written as a closed block"),
    Known("ollama", "*", "", "yes", "2026-08", _SOURCE),
    Known("anthropic", "*", "", "no", "2026-10", _DOCS, "thinking is signed and cannot be injected"),
)
"""What is known today; the first line that fits decides."""


def known_verdict(
    adapter: str, model: str, provider: str | None = None, table: Sequence[Known] = KNOWN
) -> Known | None:
    """The table's line for a model at a provider; None where nothing is known."""
    # A slug such as `deepinfra/turbo` names one endpoint of a provider.
    base = (provider or "").lower().partition("/")[0]
    for line in table:
        if line.adapter == adapter and fnmatchcase(model.lower(), line.model) and line.provider in ("*", base):
            return line
    return None
