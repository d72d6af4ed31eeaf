"""The adapter `openrouter`: many models of many providers behind one API. Knows no other service."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rollouts.adapters._chat import ChatAdapter
from rollouts.adapters._dialect import Dialect
from rollouts.adapters._families import family
from rollouts.exceptions import BadRequest, ConfigError, RolloutsWarning
from rollouts.hookspecs import hookimpl
from rollouts.typing import AdapterOptions, AdapterSpec, Conversation, Outcome, Settings, WireReply

HOST = "openrouter.ai"

DIALECT = Dialect(
    title="OpenRouter",
    ways=("assistant",),
    reasoning="object",
    logprobs="no",
    no_logprobs=(
        "providers that do not support them return null without an error, and some answers come from another endpoint. "
        'Ask a server of your own (adapter="vllm", "llama-cpp" or "openai-compatible").'
    ),
    prices_path="models",
)


class OpenRouter(ChatAdapter):
    """Speaks OpenRouter's chat API (its OpenAPI document of 2026-08-22)."""

    def __init__(self, options: AdapterOptions) -> None:
        """Take the client's options; `service` is `openrouter` at OpenRouter's own host alone."""
        super().__init__(DIALECT, options)
        self.service = "openrouter" if urlsplit(self.base_url).hostname == HOST else None
        self._told: set[str] = set()
        self._told_lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        """A replayed answer is no sample, so OpenRouter's response cache stays off, whatever a preset says."""
        return {"X-OpenRouter-Cache": "false"}

    def adjust(self, body: dict[str, Any], conversation: Conversation, settings: Settings) -> None:
        """Switch off the thinking of a Claude that is to go on from plain text, and say so once."""
        if conversation.prefill is None or family(settings.model) != "claude-old":
            return
        _check_claude(body, conversation.prefill, settings.model)
        if "reasoning_effort" not in body:
            body["reasoning"] = {"effort": "none"}
        with self._told_lock:
            if settings.model in self._told:
                return
            self._told.add(settings.model)
        warnings.warn(
            f"{settings.model} goes on from the prefill as plain text with its own thinking switched off: a thought "
            "cannot be injected into Claude, whose thinking is signed.",
            RolloutsWarning,
            stacklevel=2,
        )

    def classify(self, reply: WireReply) -> Outcome | None:
        """A replay from OpenRouter's response cache, or a refused prefill."""
        if reply.headers.get("x-openrouter-cache-status", "").upper() == "HIT":
            return Outcome(
                "fatal",
                BadRequest,
                "run",
                message="OpenRouter replayed a cached answer although its cache was switched off; replays are no "
                "samples. Take the response cache out of the preset that this model or key uses.",
                status=reply.status,
            )
        return super().classify(reply)


def _check_claude(body: Mapping[str, Any], prefill: str, model: str) -> None:
    reasoning = body.get("reasoning")
    thinks = isinstance(reasoning, Mapping) and (
        reasoning.get("effort") not in (None, "none")
        or reasoning.get("max_tokens") is not None
        or reasoning.get("enabled") is True
    )
    if thinks or body.get("reasoning_effort") not in (None, "none"):
        raise ConfigError(
            f"{model} takes no prefill while it thinks: take the reasoning setting out, or sample without a prefill."
        )
    if prefill != prefill.rstrip():
        raise ConfigError(f"{model} refuses a prefill that ends in white space: take it off.")


@hookimpl
def rollouts_register_adapters() -> list[AdapterSpec]:
    """Offer `openrouter`."""
    return [
        AdapterSpec(
            name="openrouter",
            factory=OpenRouter,
            description="OpenRouter: many models of many providers",
            base_url=f"https://{HOST}/api/v1",
            key_variable="OPENROUTER_API_KEY",
            hosts=(HOST,),
            states_cost=True,
        )
    ]
