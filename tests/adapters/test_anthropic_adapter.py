"""The Messages API over a real socket: what is translated, what is refused, how blocks are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollouts import RolloutsClient
from rollouts.adapters.anthropic import Anthropic
from rollouts.exceptions import ConfigError, MalformedResponse, PrefillUnsupported
from rollouts.testing import LoopbackServer, Reply
from rollouts.think_templates.none import NoTemplate
from rollouts.typing import AdapterOptions, WireReply

MODEL = "claude-sonnet-4-5"
ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "thinking", "thinking": "Sum.", "signature": "s"}, {"type": "text", "text": "It is "},
                {"type": "text", "text": "4."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 20},
}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


@pytest.fixture
def adapter() -> Anthropic:
    return Anthropic(AdapterOptions("https://api.anthropic.com/v1"))


def reply(**changes: Any) -> WireReply:
    return WireReply(200, {}, json.dumps({**ANSWER, **changes}).encode())


def test_a_client_asks_and_reads_thinking_tokens_and_stop_reason():
    with (
        LoopbackServer(routes={"/messages": lambda request: Reply(json=ANSWER)}) as server,
        RolloutsClient(MODEL, adapter="anthropic", base_url=server.url, api_key="canary", use_cache=False) as client,
    ):
        response = client.generate("2+2?", max_tokens=100, system="Be brief.", stop="END")[0]
        (request,) = server.requests
    assert request.headers["x-api-key"] == "canary"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.json() == {
        "model": MODEL, "max_tokens": 100, "system": "Be brief.", "stop_sequences": ["END"],
        "messages": [{"role": "user", "content": "2+2?"}],
    }  # fmt: skip
    assert (response.reasoning, response.content, response.completed_reasoning) == ("Sum.", "It is 4.", True)
    assert (response.reasoning_kind, response.finish_reason, response.native_finish_reason) == (
        "summary", "stop", "end_turn",
    )  # fmt: skip
    usage = response.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens) == (17, 20, 37, 5)
    assert (usage.cost, usage.reasoning_tokens) == (None, None)


INJECTED = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nSo"}]


@pytest.mark.parametrize("prompt", ["2+2?\n<think>\nSo", INJECTED])
def test_an_injected_thought_is_refused_with_the_reason(adapter, encode, prompt):
    with pytest.raises(PrefillUnsupported, match="signed"):
        encode(adapter, prompt, model=MODEL, template=NoTemplate(), max_tokens=9)


def test_a_begun_answer_is_continued_up_to_4_5_and_refused_after(adapter, encode):
    messages = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is"}]
    request = encode(adapter, messages, model=MODEL, max_tokens=9)
    assert request.body["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert adapter.decode(request, reply(content=[{"type": "text", "text": " 4."}])).content == " 4."
    with pytest.raises(PrefillUnsupported, match=r"4\.6"):
        encode(adapter, messages, model="claude-opus-4-6", max_tokens=9)
    with pytest.raises(ConfigError, match="thinks"):
        encode(adapter, messages, model=MODEL, max_tokens=9, reasoning={"max_tokens": 2000})
    messages[-1]["content"] = "It is "
    with pytest.raises(ConfigError, match="white space"):
        encode(adapter, messages, model=MODEL, max_tokens=9)


def test_tools_and_images_are_translated_and_calls_come_back_in_the_openai_shape(adapter, encode):
    prompt = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    request = encode(adapter, prompt, model=MODEL, max_tokens=9, tools=[TOOL], tool_choice="required")
    assert request.body["tools"] == [{"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}]
    assert request.body["tool_choice"] == {"type": "any"}
    image, call, result = request.body["messages"]
    assert image["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": "AA=="}
    assert call["content"] == [{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "2"}]
    block = {"type": "tool_use", "id": "c2", "name": "add", "input": {"a": 1}}
    response = adapter.decode(request, reply(content=[block], stop_reason="tool_use"))
    assert response.tool_calls == [{**CALL, "id": "c2"}]
    assert response.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("stop_reason", "content", "kind"),
    [
        ("end_turn", [{"type": "text", "text": "x"}], "ok"),
        ("max_tokens", [], "truncated"),
        ("refusal", [], "refused"),
        ("end_turn", [], "empty"),
    ],
)
def test_answers_are_told_from_empty_ones(adapter, stop_reason, content, kind):
    assert adapter.classify(reply(stop_reason=stop_reason, content=content)).kind == kind


@pytest.mark.parametrize(
    "given",
    [
        {"frequency_penalty": 1},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"reasoning": {"effort": "high"}},
    ],
)
def test_what_the_service_does_not_take_is_refused(adapter, encode, given):
    with pytest.raises(ConfigError):
        encode(adapter, "Hi", model=MODEL, max_tokens=9, **given)


def test_max_tokens_must_be_said(adapter, encode):
    with pytest.raises(ConfigError, match="max_tokens"):
        encode(adapter, "Hi", model=MODEL)


def test_hidden_thinking_is_none_and_a_body_without_blocks_is_malformed(adapter, encode):
    request = encode(adapter, "Hi", model=MODEL, max_tokens=9)
    hidden = adapter.decode(
        request, reply(content=[{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "4"}])
    )
    assert (hidden.reasoning, hidden.reasoning_kind, hidden.content) == (None, "encrypted", "4")
    for body in (b"{}", b"x", b"[]"):
        with pytest.raises(MalformedResponse):
            adapter.decode(request, WireReply(200, {}, body))


def test_there_are_no_options():
    with pytest.raises(ConfigError, match="colour"):
        Anthropic(AdapterOptions("https://api.anthropic.com/v1", {"colour": "red"}))
