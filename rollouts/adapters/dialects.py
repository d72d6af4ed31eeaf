"""Adapters that differ from the OpenAI chat API in data alone: one entry each. The code is in `_chat.py`.

Sources: the services' own SDKs and server sources, read in autumn 2026. Where only a third party or nobody has seen
a prefill continued, `rollouts probe` is the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rollouts.adapters._chat import ChatAdapter
from rollouts.adapters._dialect import STANDARD, Dialect
from rollouts.hookspecs import hookimpl
from rollouts.typing import AdapterSpec

_WIDE = STANDARD | {"top_k", "min_p", "repetition_penalty"}
_GPT_OSS_AND_LLAMA_4 = "hand tests of late 2025 saw it start a new turn."


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: where it is, who has its key, and how it speaks."""

    base_url: str
    description: str
    dialect: Dialect
    key_variable: str | None
    key_required: bool = True
    hosts: tuple[str, ...] = ()
    prefix: bool = True
    """False where OpenRouter has a vendor of that name, whose models `name/…` would be taken away from it."""


def _content_with(field: str, **flags: Any) -> Any:
    """A trailing message whose thought stands in `field`, with empty content."""

    def build(thought: str) -> Mapping[str, Any]:
        return {"role": "assistant", "content": "", field: thought, **flags}

    return build


def _mistral_chunk(thought: str) -> Mapping[str, Any]:
    chunk = {"type": "thinking", "thinking": [{"type": "text", "text": thought}], "closed": False}
    return {"role": "assistant", "content": [chunk], "prefix": True}


SERVICES: dict[str, Service] = {
    "vllm": Service(
        base_url="http://localhost:8000/v1",
        description="a vLLM server",
        key_variable="VLLM_API_KEY",
        key_required=False,
        dialect=Dialect(
            title="vLLM",
            ways=("continue", "completion"),
            inline=True,
            reasoning="effort",
            include_reasoning_field=True,
        ),
    ),
    "sglang": Service(
        base_url="http://localhost:30000/v1",
        description="an SGLang server",
        key_variable="SGLANG_API_KEY",
        key_required=False,
        dialect=Dialect(
            title="SGLang",
            ways=("continue", "completion"),
            # SGLang renders the generation prompt first and appends the text to it.
            continue_flags={"continue_final_message": True},
            drops_opening_tag=True,
            inline=True,
            reasoning="effort",
        ),
    ),
    "llama-cpp": Service(
        base_url="http://127.0.0.1:8080/v1",
        description="a llama.cpp server",
        key_variable="LLAMA_API_KEY",
        key_required=False,
        dialect=Dialect(
            title="llama.cpp",
            ways=("assistant", "reasoning", "completion"),
            partial_reasoning=_content_with("reasoning_content"),
            reasoning_flags={"continue_final_message": "reasoning_content", "add_generation_prompt": False},
            renders_gpt_oss=True,
            # Builds before May 2026 refuse a prefill unless the template's thinking is switched off.
            switch_allowed=True,
            echoes=True,
            inline=True,
            reasoning="none",
        ),
    ),
    "ollama": Service(
        base_url="http://localhost:11434/v1",
        description="an Ollama server",
        key_variable="OLLAMA_API_KEY",
        key_required=False,
        hosts=("ollama.com",),
        dialect=Dialect(
            title="Ollama",
            ways=("assistant", "reasoning"),
            partial_reasoning=_content_with("reasoning"),
            renders_gpt_oss=True,
            inline=True,
            accepts=STANDARD,
            reasoning="effort",
            refused_models={"*qwen3.5*": "its renderer writes thinking as a closed block."},
        ),
    ),
    "lm-studio": Service(
        base_url="http://localhost:1234/v1",
        description="LM Studio's server",
        key_variable=None,
        key_required=False,
        dialect=Dialect(
            title="LM Studio",
            ways=("assistant", "completion"),
            accepts=_WIDE | {"repeat_penalty"},
            reasoning="effort",
            logprobs="no",
            no_logprobs="they are not among its documented fields.",
        ),
    ),
    "fireworks": Service(
        base_url="https://api.fireworks.ai/inference/v1",
        description="Fireworks AI",
        key_variable="FIREWORKS_API_KEY",
        hosts=("api.fireworks.ai",),
        dialect=Dialect(title="Fireworks", ways=("assistant", "completion"), accepts=_WIDE, reasoning="effort"),
    ),
    "together": Service(
        base_url="https://api.together.ai/v1",
        description="Together AI",
        key_variable="TOGETHER_API_KEY",
        hosts=("api.together.ai", "api.together.xyz"),
        dialect=Dialect(
            title="Together",
            ways=("assistant", "completion"),
            accepts=_WIDE,
            reasoning="object",
            logprobs="integer",
            prices_path="models",
        ),
    ),
    "deepseek": Service(
        # A partial turn is continued below /beta only, which answers everything else too.
        base_url="https://api.deepseek.com/beta",
        description="DeepSeek's own service",
        key_variable="DEEPSEEK_API_KEY",
        hosts=("api.deepseek.com",),
        prefix=False,
        dialect=Dialect(
            title="DeepSeek",
            ways=("reasoning", "prefix"),
            partial_reasoning=_content_with("reasoning_content", prefix=True),
            accepts=STANDARD,
            reasoning="effort",
            seed_field=None,
        ),
    ),
    "mistral": Service(
        base_url="https://api.mistral.ai/v1",
        description="Mistral's own service",
        key_variable="MISTRAL_API_KEY",
        hosts=("api.mistral.ai",),
        prefix=False,
        dialect=Dialect(
            title="Mistral",
            ways=("reasoning", "prefix"),
            partial_reasoning=_mistral_chunk,
            echoes=True,
            accepts=STANDARD - {"logit_bias", "user", "service_tier", "max_completion_tokens"},
            reasoning="effort",
            seed_field="random_seed",
        ),
    ),
    "groq": Service(
        base_url="https://api.groq.com/openai/v1",
        description="Groq",
        key_variable="GROQ_API_KEY",
        hosts=("api.groq.com",),
        dialect=Dialect(
            title="Groq",
            ways=("assistant",),
            accepts=STANDARD,
            renames={"max_tokens": "max_completion_tokens"},
            reasoning="effort",
            logprobs="no",
            no_logprobs="its SDK declares them unsupported on all models.",
            refused_models={
                "*qwen3*": "it was seen to start a new turn (2025-11).",
                "*qwq*": _GPT_OSS_AND_LLAMA_4,
                "*qwen2.5*": _GPT_OSS_AND_LLAMA_4,
                "*qwen-2.5*": _GPT_OSS_AND_LLAMA_4,
            },
        ),
    ),
    "cerebras": Service(
        base_url="https://api.cerebras.ai/v1",
        description="Cerebras",
        key_variable="CEREBRAS_API_KEY",
        hosts=("api.cerebras.ai",),
        dialect=Dialect(
            title="Cerebras",
            ways=("assistant",),
            accepts=STANDARD - {"presence_penalty", "frequency_penalty", "metadata"},
            renames={"max_tokens": "max_completion_tokens"},
            reasoning="effort",
            refused_models={"*llama-4*": _GPT_OSS_AND_LLAMA_4},
        ),
    ),
}
"""The services by the name of their adapter."""


def spec(name: str, service: Service) -> AdapterSpec:
    """The adapter's entry in the registry."""
    return AdapterSpec(
        name=name,
        factory=partial(ChatAdapter, service.dialect),
        description=service.description,
        base_url=service.base_url,
        key_variable=service.key_variable,
        key_required=service.key_required,
        hosts=service.hosts,
        model_prefixes=(f"{name}/",) if service.prefix else (),
    )


@hookimpl
def rollouts_register_adapters() -> list[AdapterSpec]:
    """Offer one adapter for each service."""
    return [spec(name, service) for name, service in SERVICES.items()]
