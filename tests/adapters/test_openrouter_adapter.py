"""What goes to OpenRouter: its own document is the judge, apart from gaps that its documentation fills."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rollouts.adapters.openrouter import OpenRouter, rollouts_register_adapters
from rollouts.exceptions import BadRequest, ConfigError, PrefillUnsupported, RolloutsWarning
from rollouts.think_templates.none import NoTemplate
from rollouts.typing import AdapterOptions, WireReply

URL = "https://openrouter.ai/api/v1"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}

# Documented on OpenRouter's pages and missing from its OpenAPI document of 2026-08-22.
GAPS = {"reasoning": {"max_tokens", "exclude", "enabled"}}


@pytest.fixture
def adapter() -> OpenRouter:
    return OpenRouter(AdapterOptions(URL))


@cache
def schema() -> dict[str, Any]:
    directory = os.environ.get("ROLLOUTS_TEST_DATA")
    if not directory:
        pytest.skip("ROLLOUTS_TEST_DATA names no directory with openrouter-openapi.yaml")
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load((Path(directory) / "openrouter-openapi.yaml").read_text("utf-8"), Loader=loader)
    return {"$ref": "#/components/schemas/ChatRequest", "components": document["components"]}


def undocumented(body: dict[str, Any]) -> list[str]:
    """What OpenRouter's document does not allow in `body`, known gaps aside; unknown fields count too."""
    import jsonschema

    known = schema()["components"]["schemas"]["ChatRequest"]["properties"]
    judged = dict(body)
    if "reasoning" in judged:
        judged["reasoning"] = {k: v for k, v in judged["reasoning"].items() if k not in GAPS["reasoning"]}
    errors = [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(judged)]
    return errors + [f"{name} is no field" for name in judged if name not in known]


CASES: dict[str, dict[str, Any]] = {
    "nothing given": {},
    "sampling": dict(temperature=0.7, top_p=0.9, top_k=40, min_p=0.05, max_tokens=100, presence_penalty=0.1),
    "stop and bias": dict(stop=["\n", "END"], frequency_penalty=-1, logit_bias={"50": -100}, repetition_penalty=1.1),
    "provider": dict(provider={"only": ["deepinfra"], "allow_fallbacks": False, "quantizations": ["fp8"]}),
    "reasoning by effort": dict(reasoning={"effort": "high"}),
    "reasoning by tokens": dict(reasoning={"max_tokens": 2000}),
    "reasoning hidden": dict(include_reasoning=False),
    "reasoning shown": dict(include_reasoning=True),
    "tools": dict(tools=[TOOL], tool_choice="auto", parallel_tool_calls=False),
    "schema": dict(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}),
    "extra body": dict(
        extra_body={"service_tier": "flex", "plugins": [{"id": "context-compression", "enabled": False}]}
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_setting_gives_a_body_that_the_document_allows(adapter, encode, case):
    request = encode(adapter, **CASES[case])
    assert undocumented({**request.body, "seed": 3}) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "Hi",
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [IMAGE]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Sure, "}],
        [
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": None, "reasoning": "Ask.", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
        ],
    ],
)  # fmt: skip
def test_messages_of_every_kind_pass_through_unchanged(adapter, encode, prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RolloutsWarning)
        request = encode(adapter, prompt)
    sent = [dict(message) for message in request.body["messages"]]
    assert sent == ([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt)
    assert undocumented(request.body) == []


def test_the_document_would_notice_a_wrong_body():
    assert undocumented({"messages": []})
    assert undocumented({"messages": [{"role": "user", "content": "x"}], "service_tier": "royal"})
    assert undocumented({"messages": [{"role": "user", "content": "x"}], "progress_bar": True})


def test_a_prompt_with_a_thought_becomes_a_trailing_assistant_message(adapter, encode):
    request = encode(adapter, temperature=0.7)
    assert request.body == {
        "model": "qwen/qwen3-32b",
        "messages": [{"role": "user", "content": "What is 5*10?"}, {"role": "assistant", "content": "<think>\n5*1"}],
        "temperature": 0.7,
    }
    assert (request.url, request.endpoint, request.seed_field) == (
        f"{URL}/chat/completions",
        "chat/completions",
        "seed",
    )
    assert request.headers == {"X-OpenRouter-Cache": "false"}


def test_only_its_own_host_is_the_service_openrouter():
    assert OpenRouter(AdapterOptions(URL)).service == "openrouter"
    assert OpenRouter(AdapterOptions("http://127.0.0.1:9/api/v1")).service is None
    assert OpenRouter(AdapterOptions("https://openrouter.ai.evil.example/api/v1")).service is None


def test_its_own_vendor_name_is_no_prefix_that_is_taken_off():
    assert all(
        "openrouter/auto".startswith(prefix) is False for prefix in rollouts_register_adapters()[0].model_prefixes
    )


@pytest.mark.parametrize("given", [{"logprobs": True}, {"logprobs": True, "top_logprobs": 3}])
def test_log_probabilities_are_refused_with_the_reason(adapter, encode, given):
    with pytest.raises(ConfigError, match=r"return null.*vllm"):
        encode(adapter, **given)
    assert adapter.supports_logprobs is False
    assert encode(adapter, logprobs=False).body["logprobs"] is False


@pytest.mark.parametrize("name", ["messages", "model", "n", "stream", "prompt"])
def test_a_field_that_would_break_the_reading_is_refused_in_extra_body(adapter, encode, name):
    with pytest.raises(ConfigError, match=name):
        encode(adapter, extra_body={name: True})


@pytest.mark.parametrize(
    "given",
    [
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"enabled": False}},
        {"extra_body": {"reasoning_effort": "none"}},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
        {"extra_body": {"enable_thinking": False}},
    ],
)
def test_thinking_switched_off_contradicts_an_injected_thought(adapter, encode, given):
    with pytest.raises(ConfigError, match="switches thinking off"):
        encode(adapter, **given)
    assert encode(adapter, "Hi", **given).body["messages"] == [{"role": "user", "content": "Hi"}]
    closed = encode(adapter, "Hi\n<think>\nSo.\n</think>\n\nIt", **given)
    assert closed.body["messages"][-1]["content"] == "<think>\nSo.\n</think>\n\nIt"


@pytest.mark.parametrize("include", [True, False])
def test_include_reasoning_that_contradicts_reasoning_is_refused(adapter, encode, include):
    with pytest.raises(ConfigError, match="contradicts"):
        encode(adapter, include_reasoning=include, reasoning={"exclude": include})


REFUSED = (
    "openai/gpt-5", "openai/o3-mini", "gpt-4o", "openai/gpt-oss-120b", "openai/gpt-oss-20b:free",
    "google/gemini-2.5-pro", "google/gemini-3-pro-preview", "google/gemini-flash-latest", "anthropic/claude-opus-4.6",
    "anthropic/claude-sonnet-5", "anthropic/claude-opus-4.8:beta", "claude-sonnet-4-6",
    "anthropic/claude-fable-1-preview", "~anthropic/claude-latest",
)  # fmt: skip


@pytest.mark.parametrize("model", REFUSED)
def test_families_that_cannot_continue_are_refused_and_told_what_to_use(adapter, encode, model):
    with pytest.raises(PrefillUnsupported, match=r"Use "):
        encode(adapter, model=model)
    assert encode(adapter, "Hi", model=model).conversation.prefill is None
    forced = OpenRouter(AdapterOptions(URL, {"allow_prefill": True}))
    assert encode(forced, model=model).body["messages"][-1]["role"] == "assistant"


ALLOWED = (
    "google/gemini-2.0-flash-001", "google/gemini-flash-1.5", "google/gemma-3-27b-it", "eleutherai/gpt-neo-125m",
    "deepseek/deepseek-r1", "olmo/o-1b",
)  # fmt: skip


@pytest.mark.parametrize("model", ALLOWED)
def test_other_families_are_let_through(adapter, encode, model):
    assert encode(adapter, model=model).body["messages"][-1]["content"] == "<think>\n5*1"


OLD_CLAUDES = (
    "anthropic/claude-3.5-sonnet", "anthropic/claude-sonnet-4", "anthropic/claude-sonnet-4.5",
    "anthropic/claude-opus-4.1",
    "anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-20250514", "anthropic/claude-haiku-4.5:beta",
)  # fmt: skip


@pytest.mark.parametrize("model", OLD_CLAUDES)
def test_claude_up_to_4_5_goes_on_from_plain_text_with_thinking_off_and_says_so_once(adapter, encode, model):
    with pytest.warns(RolloutsWarning, match="plain text") as told:
        request = encode(adapter, model=model, template=NoTemplate())
    assert len(told) == 1
    assert request.body["messages"][-1] == {"role": "assistant", "content": "5*1"}
    assert request.body["reasoning"] == {"effort": "none"}
    assert undocumented(request.body) == []
    encode(adapter, model=model, template=NoTemplate())
    assert "reasoning" not in encode(adapter, "Hi", model=model).body


def test_claude_takes_no_prefill_that_thinks_or_ends_in_white_space(adapter, encode):
    model = "anthropic/claude-sonnet-4"
    with pytest.raises(ConfigError, match="while it thinks"):
        encode(adapter, model=model, template=NoTemplate(), reasoning={"effort": "high"})
    with pytest.raises(ConfigError, match="white space"):
        encode(adapter, "Q\n<think>\nSo ", model=model, template=NoTemplate())


def test_a_replay_from_the_response_cache_is_no_answer(adapter, answer):
    reply = answer(content="x")
    assert adapter.classify(reply) is None
    replay = WireReply(200, {"x-openrouter-cache-status": "HIT"}, reply.body)
    outcome = adapter.classify(replay)
    assert (outcome.kind, outcome.error, outcome.stops) == ("fatal", BadRequest, "run")


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"code": 400, "message": "This model does not support assistant message prefill."}}',
        '{"error": {"code": 400, "message": "Provider returned error", "metadata": '
        '{"raw": "{\\"message\\": \\"The conversation must end with a user message\\"}"}}}',
    ],
)
def test_a_refused_prefill_is_called_one(adapter, body):
    outcome = adapter.classify(WireReply(400, {}, body.encode()))
    assert (outcome.kind, outcome.error) == ("fatal", PrefillUnsupported)
    assert (
        adapter.classify(WireReply(400, {}, b'{"error": {"code": 400, "message": "temperature is too high"}}')) is None
    )
    assert adapter.classify(WireReply(500, {}, body.encode())) is None


CATALOGUE = {
    "data": [
        {"id": "a/b", "pricing": {"prompt": "0.0000005", "completion": "0.000002"}},
        {"id": "auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "a/c", "pricing": {}},
        {"id": "a/d", "pricing": {"prompt": "x", "completion": "1"}},
        None,
    ]
}


def test_prices_are_read_from_the_catalogue_and_unknown_ones_left_out(adapter):
    assert adapter.prices_url == f"{URL}/models"
    assert adapter.read_prices(CATALOGUE) == {"a/b": (5e-7, 2e-6)}
    assert adapter.read_prices(None) == {}
    per_million = [{"id": "c", "pricing": {"input": 0.5, "output": 2}}]
    assert adapter.read_prices(per_million) == {"c": (pytest.approx(5e-7), pytest.approx(2e-6))}
