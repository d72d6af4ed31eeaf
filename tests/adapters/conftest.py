from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rollouts.prompts import parse_prompt
from rollouts.settings import AdapterSettings
from rollouts.think_templates.think_tags import make as think_tags
from rollouts.typing import WireReply, WireRequest

PROMPT = "What is 5*10?\n<think>\n5*1"


@pytest.fixture
def encode() -> Callable[..., WireRequest]:
    """Encode a prompt with an adapter as a client does."""

    def run(adapter: Any, prompt: Any = PROMPT, *, model: str = "qwen/qwen3-32b", **given: Any) -> WireRequest:
        template = given.pop("template", None) or think_tags()
        extra_body = given.pop("extra_body", {})
        conversation, _ = parse_prompt(prompt, template)
        return adapter.encode(conversation, AdapterSettings(model, given, extra_body, {}, template, False))

    return run


@pytest.fixture
def answer() -> Callable[..., WireReply]:
    """An HTTP answer with one choice of the chat API."""

    def make(finish_reason: str | None = "stop", *, status: int = 200, **message: Any) -> WireReply:
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
        return WireReply(status, {}, json.dumps({"id": "1", "choices": [choice]}).encode())

    return make
