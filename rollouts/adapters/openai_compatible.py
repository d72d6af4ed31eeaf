"""The adapter `openai-compatible`: any server that speaks the OpenAI chat API. Promises what they have in common."""

from __future__ import annotations

from urllib.parse import urlsplit

from rollouts.adapters._chat import ChatAdapter
from rollouts.adapters._dialect import Dialect
from rollouts.hookspecs import hookimpl
from rollouts.typing import AdapterOptions, AdapterSpec

OPENAI_HOST = "api.openai.com"

DIALECT = Dialect(
    title="the OpenAI-compatible server",
    ways=("assistant", "prefix", "continue", "reasoning", "completion"),
    partial_reasoning=lambda thought: {"role": "assistant", "content": "", "reasoning_content": thought},
)

OPENAI_DIALECT = Dialect(
    title="OpenAI",
    ways=(),
    no_prefill="it starts a new turn after an assistant message. Use a model with open weights elsewhere.",
    renames={"max_tokens": "max_completion_tokens"},
    refuses={"top_k": "OpenAI's models have no such setting.", "provider": "it is OpenRouter's."},
    reasoning="effort",
)
"""OpenAI's own host, which takes the new name alone for its reasoning models."""


def make(options: AdapterOptions) -> ChatAdapter:
    """The adapter for a base URL."""
    own = urlsplit(options.base_url).hostname == OPENAI_HOST
    return ChatAdapter(OPENAI_DIALECT if own else DIALECT, options)


@hookimpl
def rollouts_register_adapters() -> list[AdapterSpec]:
    """Offer `openai-compatible`."""
    return [
        AdapterSpec(
            name="openai-compatible",
            factory=make,
            description="any server with the OpenAI chat API; base_url must be given",
            needs_base_url=True,
            key_variable="OPENAI_API_KEY",
            key_required=False,
            hosts=(OPENAI_HOST,),
            model_prefixes=("openai-compatible/",),
        )
    ]
