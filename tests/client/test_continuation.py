"""Prefills through the client: verdicts, the one warning, `require_prefill`, refusals after one request, routing."""

from __future__ import annotations

import asyncio
import threading
import warnings

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import ConfigError, PrefillUnsupported, RolloutsWarning, SamplingError
from rollouts.testing import Reply, chat_reply

QUESTION = "What is 5*10?"
PROMPT = f"{QUESTION}\n<think>\n5*1"
MODEL = "qwen/qwen3-8b"
ANEW = "Okay, the user wants 5*10. That is 50."
ON = "0 = 50. That is it."


@pytest.fixture
def client(make_client):
    return make_client(model=MODEL, adapter="vllm")


def restarts(request):
    return Reply(json=chat_reply(content="50", reasoning=ANEW))


def mixes(request):
    return Reply(json=chat_reply(content="50", reasoning=ANEW if request.json()["seed"] % 3 == 0 else ON))


# ── Verdicts and the warning ──


def test_a_server_that_restarts_gives_twenty_noes_and_one_warning(server, client):
    server.reply = restarts
    with pytest.warns(RolloutsWarning) as said:
        rollouts = client.generate(PROMPT, n_samples=20)

    assert [response.continued for response in rollouts] == ["no"] * 20
    assert rollouts.continuation.no == rollouts.continuation.total == 20
    assert [str(warning.message)[:17] for warning in said] == ["20 of 20 answers "]


@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_mixes_gets_the_right_verdicts_fresh_and_cached(server, client, again):
    server.reply = mixes
    for _ in range(1 + again):
        with pytest.warns(RolloutsWarning, match=r"7 of 20 answers .* \(Loopback: 7\). First: sample \d+: it began"):
            rollouts = client.generate(PROMPT, n_samples=20)

    assert [response.continued for response in rollouts] == ["no" if s % 3 == 0 else "yes" for s in range(20)]
    assert len(server.requests) == 20


def test_one_call_warns_once_for_all_its_prompts(server, client):
    server.reply = mixes
    with pytest.warns(RolloutsWarning) as said:
        client.generate_many([PROMPT, f"{QUESTION}\n<think>\nFive times"], n_samples=3)
    assert len(said) == 1
    with pytest.warns(RolloutsWarning, match="1 of 3 answers"):
        list(client.as_completed([PROMPT], n_samples=3))


def test_answers_that_go_on_or_cannot_be_told_warn_of_nothing(server, client):
    server.reply = lambda request: Reply(json=chat_reply(content="50", reasoning=" Let me check that."))
    finished = client.generate(f"{QUESTION}\n<think>\nI add them up.", n_samples=3)
    server.reply = lambda request: Reply(json=chat_reply(content="50", reasoning=ON))
    rollouts = client.generate(PROMPT, n_samples=3)

    assert finished.continuation.unknown == 3
    assert rollouts.continuation.yes == 3


# ── require_prefill ──


def test_required_prefills_fail_closed_fresh_and_cached_and_all_is_stored(server, client):
    server.reply = mixes
    for _ in range(2):
        with pytest.raises(SamplingError) as caught:
            client.generate(PROMPT, n_samples=6, require_prefill=True)
        assert [failure.seed for failure in caught.value.failures] == [0, 3]
        assert all(isinstance(failure.error, PrefillUnsupported) for failure in caught.value.failures)
        assert len(caught.value.rollouts) == 4
    with pytest.warns(RolloutsWarning, match="2 of 6"):
        assert client.generate(PROMPT, n_samples=6).n_cached == 6
    assert len(server.requests) == 6


# ── Refusals ──


def test_a_refused_prefill_costs_one_request(server, client):
    message = "This model does not support assistant message prefill."
    server.reply = lambda request: Reply(status=400, json={"error": {"code": 400, "message": message}})
    with pytest.raises(PrefillUnsupported, match="or sample without a prefill") as caught:
        client.generate(PROMPT, n_samples=50, on_error="keep")

    assert len(server.requests) == 1
    kinds = [failure.kind for failure in caught.value.rollouts.failures]
    assert (kinds.count("failed"), kinds.count("not_sent")) == (1, 49)


def test_refused_prefills_of_many_prompts_cost_one_request(server, client):
    server.reply = lambda request: Reply(status=400, json={"error": {"message": "must end with a user message"}})
    with pytest.raises(PrefillUnsupported):
        client.generate_many([QUESTION, *(f"{QUESTION}\n<think>\n{i}" for i in range(20))], n_samples=3)
    assert len(server.requests) == 1


def test_async_callers_wait_for_the_first_too(server, client):
    server.reply = lambda request: Reply(status=400, json={"error": {"message": "prefill is not supported"}})
    with pytest.raises(PrefillUnsupported):
        asyncio.run(client.agenerate(PROMPT, n_samples=50))
    assert len(server.requests) == 1


def test_the_others_follow_when_the_first_was_answered_and_later_calls_wait_for_nobody(server, client):
    server.reply = lambda request: Reply(json=chat_reply(content="50", reasoning=ON))
    assert len(client.generate(PROMPT, n_samples=12)) == 12
    server.hold()
    second = threading.Thread(target=client.generate, args=(f"{PROMPT}0",), kwargs={"n_samples": 4})
    second.start()
    server.wait_for(16)
    server.release()
    second.join()
    assert server.peak_in_flight >= 4


def test_the_others_do_not_wait_for_a_slow_first_answer(server, client, monkeypatch):
    monkeypatch.setattr("rollouts.engine.scouting.HEAD_START", 0.0)
    server.reply = lambda request: Reply(json=chat_reply(content="50", reasoning=ON))
    server.hold()
    call = threading.Thread(target=client.generate, args=(PROMPT,), kwargs={"n_samples": 5})
    call.start()
    server.wait_for(5)
    server.release()
    call.join()
    assert server.peak_in_flight == 5


def test_settings_that_contradict_an_injected_thought_are_told_before_sending(server, client, make_client):
    routed = make_client(model=MODEL, provider={"only": ["deepinfra"]})
    with pytest.raises(ConfigError, match="effort"):
        routed.generate(PROMPT, reasoning={"effort": "none"})
    with pytest.raises(ConfigError, match="enable_thinking"):
        client.generate(PROMPT, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    with pytest.raises(PrefillUnsupported, match="400"):
        routed.generate(PROMPT, model="anthropic/claude-opus-4.6")
    assert server.requests == []


@pytest.mark.parametrize(
    ("model", "template", "told"),
    [(MODEL, "mistral", "think-tags"), ("openai/gpt-oss-20b", "think-tags", "harmony"), (MODEL, "think-tags", None)],
)
def test_a_template_that_the_family_does_not_speak_is_warned_of(server, make_client, model, template, told):
    client = make_client(model=model, adapter="vllm", template=template)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        client.generate([{"role": "user", "content": QUESTION}], n_samples=2)
    found = [str(warning.message) for warning in said if "is forced on" in str(warning.message)]
    assert len(found) == (told is not None)
    assert all(told in message for message in found)


def test_an_unknown_family_with_a_named_template_is_no_cause_for_a_warning(server, make_client):
    make_client(model="new/model", adapter="vllm", template="think-tags").generate(QUESTION)


def test_log_probabilities_are_refused_on_openrouter_with_the_reason(server, make_client):
    with pytest.raises(ConfigError, match="log"):
        make_client().generate(QUESTION, logprobs=True, top_logprobs=2)
    assert server.requests == []


def test_log_probabilities_come_back_whole_fresh_and_cached(server, make_client):
    token = {"token": "50", "logprob": -0.5, "top_logprobs": [{"token": "50", "logprob": -0.5}]}

    def reply(request):
        asked = request.json()
        assert (asked["logprobs"], asked["top_logprobs"]) == (True, 1)
        body = chat_reply(content="50", reasoning=None)
        body["choices"][0]["logprobs"] = {"content": [token]}
        return Reply(json=body)

    server.reply = reply
    client = make_client(adapter="openai-compatible", logprobs=True, top_logprobs=1)
    fresh, cached = client.generate(QUESTION)[0], client.generate(QUESTION)[0]
    assert fresh.logprobs["content"] == cached.logprobs["content"] == [token]
    assert cached.cached


# ── Message lists ──

TOOL = {"type": "function", "function": {"name": "multiply", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "multiply", "arguments": '{"a": 5}'}}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is on it? <think> is a tag."},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "50"},
    {"role": "user", "content": "Go on.", "name": "Ann"},
]


@pytest.mark.parametrize("cache", ["json", "sql"])
def test_turns_images_tools_and_formats_pass_through_and_come_back_whole(server, make_client, cache):
    def reply(request):
        body = chat_reply(content=None, reasoning=None, finish_reason="tool_calls")
        body["choices"][0]["message"]["tool_calls"] = [CALL]
        return Reply(json=body)

    server.reply = reply
    given = {"tools": [TOOL], "tool_choice": "auto", "response_format": {"type": "json_object"}}
    client = make_client(use_cache=cache, **given)
    (fresh,) = client.generate(MESSAGES)
    (cached,) = client.generate(MESSAGES)

    sent = server.requests[0].json()
    assert sent["messages"] == MESSAGES
    assert {name: sent[name] for name in given} == given
    assert (fresh.tool_calls, fresh.finish_reason, fresh.content) == ([CALL], "tool_calls", "")
    assert cached == fresh
    assert cached.cached
    assert (cached.prompt, cached.raw["choices"][0]["message"]["tool_calls"]) == (MESSAGES, [CALL])


@pytest.mark.parametrize("what", ["messages", "tools", "tool_choice", "response_format"])
def test_each_of_them_is_part_of_the_identity(server, make_client, what):
    client = make_client(tools=[TOOL], tool_choice="auto", response_format={"type": "text"})
    client.generate(MESSAGES)
    other = {**TOOL, "function": {**TOOL["function"], "name": "add"}}
    changed = {"tools": [other], "tool_choice": "none", "response_format": {"type": "json_object"}}
    prompt = [*MESSAGES[:-1], {**MESSAGES[-1], "name": "Bob"}] if what == "messages" else MESSAGES
    given = {} if what == "messages" else {what: changed[what]}
    assert client.generate(prompt, **given).n_cached == 0
    assert client.generate(MESSAGES).n_cached == 1


# ── For real ──


@pytest.mark.local_model
def test_the_real_model_goes_on_in_twenty_of_twenty_and_injected_again_writes_the_same(local_model, tmp_path):
    settings = {"progress_bar": False, "cache_dir": tmp_path, "max_tokens": 12}
    with RolloutsClient("local/smollm2-135m-instruct", **settings) as client:
        rollouts = client.generate(PROMPT, n_samples=20, temperature=1.0)
        (first,) = client.generate(PROMPT, temperature=0)
        (whole,) = client.generate(PROMPT, temperature=0, max_tokens=24)
        (second,) = client.generate(f"{QUESTION}\n<think>\n{first.thought}", temperature=0)
        (tokens,) = client.generate(PROMPT, temperature=0, logprobs=True, top_logprobs=2)
    assert rollouts.continuation.yes == 20
    assert first.reasoning.startswith("0")
    assert second.thought == whole.thought
    assert "".join(item["token"] for item in tokens.logprobs["content"]) == tokens.reasoning
