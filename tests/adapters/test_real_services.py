"""Each adapter against its real service, where ROLLOUTS_TEST_REAL=1 and the service's key are set."""

from __future__ import annotations

import os

import pytest

from rollouts import RolloutsClient
from rollouts.adapters import anthropic, dialects, openrouter

MODELS = {
    "openrouter": "qwen/qwen3-32b",
    "fireworks": "accounts/fireworks/models/qwen3-8b",
    "together": "Qwen/Qwen3-Next-80B-A3B-Thinking",
    "deepseek": "deepseek-reasoner",
    "mistral": "magistral-small-latest",
    "groq": "llama-3.3-70b-versatile",
    "cerebras": "qwen-3-32b",
    "anthropic": "claude-haiku-4-5",
}
SPECS = {
    spec.name: spec
    for module in (openrouter, dialects, anthropic)
    for spec in module.rollouts_register_adapters()
    if spec.name in MODELS
}


@pytest.mark.real_service
@pytest.mark.parametrize("name", MODELS)
def test_the_real_service_answers(name):
    variable = SPECS[name].key_variable
    if os.environ.get("ROLLOUTS_TEST_REAL") != "1" or not os.environ.get(variable or ""):
        pytest.skip("real service: set ROLLOUTS_TEST_REAL=1 and its key")
    with RolloutsClient(MODELS[name], adapter=name, use_cache=False, progress_bar=False, max_tokens=64) as client:
        response = client.generate("What is 5*10?")[0]
    assert response.content or response.reasoning
    assert response.usage.completion_tokens
