"""The adapter `llama-cpp` against a real llama.cpp server with a real model: token for token."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollouts import RolloutsClient
from rollouts.continuation import verify_prefill
from rollouts.continuation.probe import MAX_TOKENS

pytestmark = pytest.mark.local_model

QUESTION = "What is 5*10?"
PROMPT = f"{QUESTION}\n<think>\n5*1"
NAME = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def server(local_model: str) -> Iterator[str]:
    """The server's URL, without /v1."""
    from rollouts_local import weights
    from rollouts_local.server import Lease, ServerConfig

    path = weights.find(weights.SMOLLM2)
    assert path is not None
    lease = Lease(ServerConfig(path=str(path), alias=NAME, slots=4, context=1024))
    yield lease.url()
    lease.release()


@pytest.fixture
def make(server: str) -> Iterator[Callable[..., RolloutsClient]]:
    made: list[RolloutsClient] = []

    def client(**options: Any) -> RolloutsClient:
        settings = {"use_cache": False, "progress_bar": False, "max_retries": 0, "temperature": 0, "max_tokens": 12}
        url = f"{server}/v1"
        made.append(RolloutsClient(NAME, adapter="llama-cpp", base_url=url, adapter_options=options, **settings))
        return made[-1]

    yield client
    for each in made:
        each.close()


def ask(url: str, **body: Any) -> Any:
    """One plain request, without the package."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def test_a_greedy_thought_goes_on_and_goes_on_again_with_the_same_tokens(make):
    client = make()
    (first,) = client.generate(PROMPT)
    assert first.reasoning.startswith("0")
    assert (first.continued, first.finish_reason, first.completed_reasoning) == ("yes", "length", False)
    (whole,) = client.generate(PROMPT, max_tokens=24)
    (second,) = client.generate(f"{QUESTION}\n<think>\n{first.thought}")
    assert second.thought == whole.thought
    assert second.usage.completion_tokens == 12


def test_the_server_saw_exactly_the_injected_text(make, server):
    (response,) = make().generate(PROMPT)
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": response.prefill}]
    rendered = ask(f"{server}/apply-template", messages=messages)["prompt"]
    assert rendered.endswith("<|im_start|>assistant\n<think>\n5*1")
    judge = ask(f"{server}/completion", prompt=rendered, n_predict=12, temperature=0)
    assert judge["content"] == response.reasoning


def test_twenty_samples_all_went_on(make):
    rollouts = make().generate(PROMPT, n_samples=20, temperature=1.0)
    assert [response.continued for response in rollouts] == ["yes"] * 20
    assert len({response.reasoning for response in rollouts}) > 1


def test_a_closed_thought_is_followed_by_the_answer(make):
    (response,) = make().generate(f"{PROMPT}0 = 50.\n</think>\n\nThe answer is")
    assert response.reasoning is None
    assert response.content.startswith(" ")


def test_log_probabilities_cover_the_generated_tokens_alone(make):
    (response,) = make().generate(PROMPT, logprobs=True, top_logprobs=3)
    content = response.logprobs["content"]
    assert "".join(item["token"] for item in content) == response.reasoning
    assert all(len(item["top_logprobs"]) == 3 for item in content)


def test_a_rendered_prompt_gives_the_same_continuation_as_the_servers_own_layout(make, server):
    client = make(continuation="completion", chat_template="chatml")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    messages.append({"role": "assistant", "content": "<think>\n5*1"})
    (response,) = client.generate(messages, template="think-tags")
    rendered = ask(f"{server}/apply-template", messages=messages)["prompt"]
    judge = ask(f"{server}/completion", prompt=rendered, n_predict=12, temperature=0)
    assert response.reasoning == judge["content"]


def test_the_probe_finds_out_which_ways_this_server_really_continues(make):
    found = {}
    for way in ("assistant", "reasoning", "completion"):
        client = make(continuation=way, chat_template="chatml")

        def question(task: str, thought: str, way: str, number: int, client: RolloutsClient = client) -> Any:
            return client.generate(f"{task}\n<think>\n{thought}", seed=number, max_tokens=MAX_TOKENS)[0]

        found[way] = verify_prefill(question, ways=[way])[0]
    # The stock template of this model has no place for reasoning, so that way starts a new turn, silently.
    assert {way: result.verdict for way, result in found.items()} == {
        "assistant": "yes",
        "reasoning": "no",
        "completion": "yes",
    }
    assert found["assistant"].echoed
    assert not found["completion"].echoed
