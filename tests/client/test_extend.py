"""A cut answer goes on where it stopped, from the very bytes that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import ConfigError
from rollouts.results import Usage
from rollouts.testing import Reply, chat_reply

QUESTION = "What is 5*10?"
PROMPT = f"{QUESTION}\n<think>\n5*1"
MODEL = "qwen/qwen3-8b"


def answering(server, *replies):
    """Let the server give these answers in turn."""
    waiting = iter(replies)
    server.reply = lambda request: Reply(json=chat_reply(**next(waiting)))


@pytest.fixture
def client(make_client):
    return make_client(model=MODEL, adapter="vllm", provider=None)


CUT_THOUGHT = {"content": "", "reasoning": "0 is\n fif", "finish_reason": "length"}
CUT_CONTENT = {"content": "\n\nIt is fif", "reasoning": "0 = 50.\n", "finish_reason": "length"}


def test_a_cut_thought_goes_on_as_the_same_thought(server, client):
    answering(server, CUT_THOUGHT, {"content": "50", "reasoning": "ty."})
    (first,) = client.generate(PROMPT)
    (second,) = client.extend(first)

    sent = server.requests[1].json()["messages"]
    assert sent == [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "<think>\n5*10 is\n fif"},
    ]
    assert second.prefill == "<think>\n5*10 is\n fif"
    assert second.thought == "5*10 is\n fifty."
    assert second.whole == "<think>\n5*10 is\n fifty.</think>50"
    assert second.continued == "yes"


def test_a_cut_answer_goes_on_behind_the_closed_thought(server, client):
    answering(server, CUT_CONTENT, {"content": "ty.", "reasoning": None})
    (first,) = client.generate(PROMPT)
    (second,) = client.extend(first)

    assert server.requests[1].json()["messages"][-1]["content"] == "<think>\n5*10 = 50.\n</think>\n\nIt is fif"
    assert second.thought == first.thought == "5*10 = 50.\n"
    assert second.whole == first.whole + second.content == "<think>\n5*10 = 50.\n</think>\n\nIt is fifty."


def test_a_thought_that_was_never_injected_goes_on_too(server, client):
    answering(server, CUT_THOUGHT, {"content": "50", "reasoning": "ty."})
    (second,) = client.extend(client.generate(QUESTION)[0])

    assert server.requests[1].json()["messages"][-1] == {"role": "assistant", "content": "<think>\n0 is\n fif"}
    assert second.thought == "0 is\n fifty."


def test_an_answer_without_thought_goes_on_as_text(server, client):
    cut = {"content": "It is fif", "reasoning": None, "finish_reason": "length"}
    answering(server, cut, {"content": "ty.", "reasoning": None})
    (second,) = client.extend(client.generate(QUESTION)[0])

    assert server.requests[1].json()["messages"][-1] == {"role": "assistant", "content": "It is fif"}
    assert second.whole == "It is fifty."


def test_what_was_extended_and_cut_again_can_be_extended_again(server, client):
    answering(server, CUT_THOUGHT, {"content": "", "reasoning": "ty", "finish_reason": "length"}, {"reasoning": "."})
    (first,) = client.generate(PROMPT)
    (third,) = client.extend(client.extend(first)[0])

    assert server.requests[2].json()["messages"][-1]["content"] == "<think>\n5*10 is\n fifty"
    assert third.thought == "5*10 is\n fifty."


def test_an_answer_from_the_cache_will_do_and_extensions_are_cached(server, client, make_client):
    answering(server, CUT_THOUGHT, {"content": "50", "reasoning": "ty."})
    extended = client.extend(client.generate(PROMPT)[0])
    later = make_client(model=MODEL, adapter="vllm")
    cached = later.generate(PROMPT)[0]
    again = later.extend(cached)

    assert len(server.requests) == 2
    assert (cached.cached, again[0].cached) == (True, True)
    assert list(again) == list(extended)
    assert later.generate(extended.prompt)[0] == extended[0]


def test_each_cut_sample_goes_on_under_its_own_number(server, client):
    server.reply = lambda request: Reply(json=chat_reply(**CUT_THOUGHT))
    cut = client.generate(PROMPT, n_samples=3)
    server.requests.clear()
    extended = [client.extend(response) for response in cut] + [client.extend(cut[0], n_samples=2, seed=7)]

    assert sorted(request.json()["seed"] for request in server.requests) == [0, 1, 2, 7, 8]
    assert [[response.seed for response in rollouts] for rollouts in extended] == [[0], [1], [2], [7, 8]]


def test_system_prompt_messages_and_transforms_stay_what_they_were(server, make_client):
    def shout(conversation):
        last = conversation.messages[-1]
        louder = {**last, "content": last["content"].upper()}
        return replace(
            conversation,
            messages=(*conversation.messages[:-1], louder),
            prefill=f"{conversation.prefill} 0",
            thought=f"{conversation.thought} 0",
        )

    client = make_client(model=MODEL, adapter="vllm", system="Be brief.", transforms=[shout])
    answering(server, CUT_THOUGHT, {"content": "50", "reasoning": "ty."})
    client.extend(client.generate(PROMPT)[0])

    assert server.requests[1].json()["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION.upper()},
        {"role": "assistant", "content": "<think>\n5*1 00 is\n fif"},
    ]


def test_the_routing_of_the_first_half_holds_for_the_second(server, make_client):
    client = make_client(model=MODEL, use_cache=False)
    answering(server, CUT_THOUGHT, {"content": "50", "reasoning": "ty."})
    with pytest.warns(match="whichever provider"):
        (first,) = client.generate(PROMPT)
    pinned = replace(first, pin={"provider": {"only": ["novita"], "allow_fallbacks": False}})
    (second,) = client.extend(pinned)

    assert server.requests[1].json()["provider"] == second.pin["provider"] == pinned.pin["provider"]


REFUSED = {
    "it ended by itself": ({"finish_reason": "stop"}, "not cut"),
    "its prompt is unknown": ({"prompt": None}, "prompt"),
    "its thought is a summary": ({"reasoning_kind": "summary"}, "hidden"),
    "its thought was not returned": (
        {"reasoning": None, "injected": None, "content": "It", "usage": Usage(reasoning_tokens=9)},
        "hidden",
    ),
    "it calls tools": ({"tool_calls": [{"id": "1"}]}, "tools"),
    "it did not go on from its prefill": ({"continued": "no", "continued_reason": "it began anew"}, "began anew"),
    "nothing was written": ({"reasoning": "", "content": ""}, "nothing was written"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_extended_is_refused_with_the_reason(server, client, why):
    answering(server, CUT_THOUGHT)
    (first,) = client.generate(PROMPT)
    changes, reason = REFUSED[why]
    with pytest.raises(ConfigError, match=reason):
        client.extend(replace(first, **changes))
    assert len(server.requests) == 1


def test_a_family_without_marks_for_thought_is_refused(server, make_client):
    client = make_client(model="meta-llama/llama-3.3-70b", adapter="vllm")
    answering(server, CUT_THOUGHT)
    (first,) = client.generate(QUESTION)
    with pytest.raises(ConfigError, match="template"):
        client.extend(first)


@pytest.mark.local_model
def test_a_real_thought_goes_on_token_for_token(local_model, tmp_path):
    settings = {"temperature": 0, "progress_bar": False, "cache_dir": tmp_path}
    with RolloutsClient("local/smollm2-135m-instruct", **settings) as client:
        (half,) = client.generate(PROMPT, max_tokens=8)
        (rest,) = client.extend(half, max_tokens=8)
        (both,) = client.generate(PROMPT, max_tokens=16)
    assert half.reasoning.startswith("0")
    assert rest.thought == both.thought
    assert rest.usage.completion_tokens == 8
