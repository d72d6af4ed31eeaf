"""The ways in which reasoning and content arrive; each gives the same thought, to the byte."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.adapters._chat import ChatAdapter
from rollouts.adapters.dialects import SERVICES
from rollouts.adapters.openrouter import OpenRouter
from rollouts.exceptions import MalformedResponse
from rollouts.prompts import parse_prompt
from rollouts.settings import AdapterSettings
from rollouts.think_templates.think_tags import make as think_tags
from rollouts.typing import AdapterOptions, WireReply

OPENROUTER = OpenRouter(AdapterOptions("https://openrouter.ai/api/v1"))


def own(name: str, **options: object) -> ChatAdapter:
    return ChatAdapter(SERVICES[name].dialect, AdapterOptions("http://127.0.0.1:1/v1", options))


COMPLETE = {
    "apart": {"content": "50", "reasoning": "0 = 50\n"},
    "apart, by DeepSeek's name": {"content": "50", "reasoning_content": "0 = 50\n"},
    "bare closing tag in the content": {"content": "0 = 50\n</think>50", "reasoning": None},
    "all in the reasoning": {"content": "", "reasoning": "0 = 50\n</think>50"},
    "all in the reasoning, content null": {"content": None, "reasoning": "0 = 50\n</think>50"},
    "echoed in the content": {"content": "<think>\n5*10 = 50\n</think>50"},
    "parts of content": {"content": [{"type": "text", "text": "0 = 50\n</think>"}, {"type": "text", "text": "50"}]},
    "thinking parts": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "0 = 50\n"}]},
            {"type": "text", "text": "50"},
        ]
    },
    "details only": {"content": "50", "reasoning_details": [{"type": "reasoning.text", "text": "0 = 50\n"}]},
}


@pytest.mark.parametrize("way", COMPLETE)
def test_a_finished_thought_is_the_same_whichever_way_it_came(encode, answer, way):
    response = OPENROUTER.decode(encode(OPENROUTER), answer(**COMPLETE[way]))
    assert (response.reasoning, response.content) == ("0 = 50\n", "50")
    assert response.completed_reasoning is True
    assert response.thought == "5*10 = 50\n"
    assert response.full == "0 = 50\n</think>50"
    assert response.reasoning_kind == "text"


CUT = {
    "apart": {"content": "", "reasoning": "0 = 5"},
    "apart, content null": {"content": None, "reasoning": "0 = 5"},
    "in the content": {"content": "0 = 5"},
    "echoed": {"content": "<think>\n5*10 = 5"},
}


@pytest.mark.parametrize("way", CUT)
def test_a_cut_thought_is_not_called_complete(encode, answer, way):
    response = OPENROUTER.decode(encode(OPENROUTER), answer("length", **CUT[way]))
    assert (response.reasoning, response.content) == ("0 = 5", "")
    assert response.completed_reasoning is False
    assert response.thought == response.injected + response.full == "5*10 = 5"


def test_reasoning_beside_an_echoed_prefill_alone_is_not_called_complete(encode, answer):
    response = OPENROUTER.decode(encode(OPENROUTER), answer("length", content="<think>\n5*1", reasoning="0 = 5"))
    assert (response.content, response.completed_reasoning) == ("", False)


def test_reasoning_before_a_tool_call_is_complete(encode, answer):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    response = OPENROUTER.decode(
        encode(OPENROUTER), answer("tool_calls", content=None, reasoning="0", tool_calls=[call])
    )
    assert (response.completed_reasoning, response.tool_calls) == (True, [call])


def test_what_may_be_thought_or_answer_stays_as_it_came_and_is_unknown(encode, answer):
    response = OPENROUTER.decode(encode(OPENROUTER), answer(content="It is 50."))
    assert (response.reasoning, response.content, response.completed_reasoning) == (None, "It is 50.", None)
    assert response.continued == "unknown"


@pytest.mark.parametrize("name", ["vllm", "sglang", "llama-cpp", "ollama"])
def test_a_server_that_adds_nothing_of_its_own_returns_thought_until_a_closing_tag(encode, answer, name):
    adapter = own(name)
    response = adapter.decode(encode(adapter), answer(content="0 = 50"))
    assert (response.reasoning, response.content, response.completed_reasoning) == ("0 = 50", "", False)


def test_text_that_ended_at_a_stop_string_is_thought(encode, answer):
    request = encode(OPENROUTER, stop=["\n"])
    assert OPENROUTER.decode(request, answer(content="0 = 50")).reasoning == "0 = 50"


def test_an_answer_after_a_closed_thought_is_content_also_when_the_server_calls_it_reasoning(encode, answer):
    request = encode(OPENROUTER, "What is 5*10?\n<think>\n5*10 = 50.</think>\n\nThe answer")
    for message in ({"content": " is 50."}, {"content": "", "reasoning": " is 50."}):
        response = OPENROUTER.decode(request, answer(**message))
        assert (response.reasoning, response.content) == (None, " is 50.")
        assert response.thought == "5*10 = 50."


def test_an_echo_of_plain_text_is_taken_off_where_the_server_is_known_to_echo(encode, answer):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Sure"}]
    mistral, others = own("mistral"), own("fireworks")
    assert mistral.decode(encode(mistral, messages), answer(content="Sure thing")).content == " thing"
    assert others.decode(encode(others, messages), answer(content="Surely, sure")).content == "Surely, sure"


def test_an_echo_in_the_reasoning_is_taken_off_where_the_server_is_known_to_echo(encode, answer):
    adapter = own("llama-cpp", continuation="reasoning")
    response = adapter.decode(encode(adapter), answer("length", content="", reasoning_content="5*10 = 50"))
    assert (response.thought, response.continued) == ("5*10 = 50", "yes")


def test_reasoning_without_a_prefill_is_kept_to_the_byte(encode, answer):
    response = OPENROUTER.decode(encode(OPENROUTER, "What is 5*10?"), answer(content="50", reasoning="\nSo 50.\n"))
    assert (response.reasoning, response.content, response.completed_reasoning) == ("\nSo 50.\n", "50", True)
    assert (response.prefill, response.injected, response.continued) == (None, None, None)


@pytest.mark.parametrize(
    ("message", "kind", "reasoning"),
    [
        ({"reasoning": None}, None, None),
        ({"reasoning": ""}, None, None),
        ({}, None, None),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, "encrypted", None),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "Sums."}]}, "summary", "Sums."),
        ({"reasoning": "S.", "reasoning_details": [{"type": "reasoning.summary", "summary": "S."}]}, "summary", "S."),
    ],
)
def test_hidden_reasoning_is_none_and_a_summary_is_called_one(encode, answer, message, kind, reasoning):
    response = OPENROUTER.decode(encode(OPENROUTER, "Hi"), answer(content="50", **message))
    assert (response.reasoning_kind, response.reasoning) == (kind, reasoning)


def test_what_the_service_does_not_state_is_none_and_what_it_states_comes_whole(encode):
    usage = {
        "prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16, "cost": 0.00012,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    choice = {
        "message": {"content": "x", "refusal": "No."},
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
        "logprobs": None,
    }
    body = {
        "id": "gen-1", "created": 1790000000, "model": "qwen/qwen3-32b", "provider": "DeepInfra",
        "system_fingerprint": "fp", "choices": [choice], "usage": usage,
    }  # fmt: skip
    request = encode(OPENROUTER, "Hi")
    full = OPENROUTER.decode(request, WireReply(200, {}, b"\n\n" + json.dumps(body).encode()))
    assert full.usage.to_dict() == {
        "prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16,
        "reasoning_tokens": 5, "cached_tokens": 4, "cost": 0.00012,
    }  # fmt: skip
    assert (full.response_id, full.created, full.model, full.provider) == (
        "gen-1", 1790000000, "qwen/qwen3-32b", "DeepInfra",
    )  # fmt: skip
    assert (full.finish_reason, full.native_finish_reason, full.refusal) == ("stop", "end_turn", "No.")
    assert full.system_fingerprint == "fp"
    bare = OPENROUTER.decode(request, WireReply(200, {}, b'{"choices":[{"message":{"content":"x"}}]}'))
    assert set(bare.usage.to_dict().values()) == {None}
    assert (bare.finish_reason, bare.provider, bare.created, bare.logprobs) == (None, None, None, None)


@pytest.mark.parametrize(("word", "meaning"), [("eos", "stop"), ("model_length", "length"), ("stop", "stop")])
def test_other_words_for_the_end_are_translated_and_kept(encode, answer, word, meaning):
    response = OPENROUTER.decode(encode(OPENROUTER, "Hi"), answer(word, content="x"))
    assert (response.finish_reason, response.native_finish_reason) == (meaning, word)


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"\xff"])
def test_a_body_without_the_documented_shape_is_malformed(encode, body):
    with pytest.raises(MalformedResponse):
        OPENROUTER.decode(encode(OPENROUTER, "Hi"), WireReply(200, {}, body))


NAMES = (
    "content", "reasoning", "message", "usage", "text", "type", "cost", "logprobs", "tokens", "refusal", "tool_calls",
    "prompt_tokens_details", "reasoning_details", "token_logprobs", "finish_reason", "top_logprobs",
)  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
)


@given(ODD)
def test_no_body_however_odd_breaks_the_reading_otherwise(part):
    template = think_tags()
    conversation, _ = parse_prompt("Q\n<think>\nA", template)
    request = OPENROUTER.encode(conversation, AdapterSettings("m", {}, {}, {}, template, False))
    for body in ({"choices": [part]}, {"choices": [{"message": part}], "usage": part}, part):
        with contextlib.suppress(MalformedResponse):
            OPENROUTER.decode(request, WireReply(200, {}, json.dumps(body).encode()))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "true", '"7"', "[7]", "9" * 400])
def test_a_number_that_nobody_can_count_with_is_unknown(encode, number):
    stated = ", ".join(f'"{name}": {number}' for name in ("prompt_tokens", "completion_tokens", "cost"))
    body = f'{{"choices": [{{"message": {{"content": "x"}}}}], "created": {number}, "usage": {{{stated}}}}}'
    response = OPENROUTER.decode(encode(OPENROUTER, "Hi"), WireReply(200, {}, body.encode()))

    assert (response.content, response.created) == ("x", None)
    assert set(response.usage.to_dict().values()) == {None}


def test_alternatives_without_a_number_come_last(encode):
    old = {"tokens": ["0"], "token_logprobs": [-0.1], "top_logprobs": [{"1": None, "0": -0.1}]}
    body = {"choices": [{"text": "0", "logprobs": old}]}
    response = own("vllm").decode(encode(own("vllm")), WireReply(200, {}, json.dumps(body).encode()))
    assert [item["token"] for item in response.logprobs["content"][0]["top_logprobs"]] == ["0", "1"]


def test_log_probabilities_of_either_shape_come_in_the_chat_shape(encode):
    adapter = own("vllm", continuation="completion", chat_template="chatml")
    request = encode(adapter, logprobs=True, top_logprobs=2)
    assert request.body["logprobs"] == 2
    old = {"tokens": ["0", " ="], "token_logprobs": [-0.1, -0.2], "top_logprobs": [{"1": -3.0, "0": -0.1}, None]}
    body = {"choices": [{"text": "0 =", "finish_reason": "length", "logprobs": old}]}
    content = adapter.decode(request, WireReply(200, {}, json.dumps(body).encode())).logprobs["content"]
    assert [item["token"] for item in content] == ["0", " ="]
    assert content[0]["top_logprobs"] == [{"token": "0", "logprob": -0.1}, {"token": "1", "logprob": -3.0}]


def test_log_probabilities_of_an_echoed_prefill_are_taken_off(encode):
    adapter = own("llama-cpp")
    tokens = [{"token": t, "logprob": -1.0} for t in ("<think>", "\n5*", "1", "0", " =")]
    choice = {"message": {"content": "<think>\n5*10 ="}, "finish_reason": "length", "logprobs": {"content": tokens}}
    response = adapter.decode(
        encode(adapter, logprobs=True), WireReply(200, {}, json.dumps({"choices": [choice]}).encode())
    )
    assert [item["token"] for item in response.logprobs["content"]] == ["0", " ="]
    choice["logprobs"] = {"content": tokens[3:]}
    response = adapter.decode(
        encode(adapter, logprobs=True), WireReply(200, {}, json.dumps({"choices": [choice]}).encode())
    )
    assert [item["token"] for item in response.logprobs["content"]] == ["0", " ="]
