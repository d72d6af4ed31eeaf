"""The fake adapter through a client: what the script says is what the engine meets."""

from __future__ import annotations

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import AuthenticationError, PluginError, SamplingError
from rollouts.testing import FakeAdapter, Reply, chat_reply


@pytest.fixture
def ask(tmp_path):
    made = []

    def run(fake, prompt="2+2?", n_samples=1, **settings):
        given = {"cache_dir": tmp_path / "cache", "progress_bar": False, "max_retries": 0} | settings
        client = RolloutsClient("fake/model", plugins=[fake], **given)
        made.append(client)
        return client.generate(prompt, n_samples=n_samples)

    yield run
    for client in made:
        client.close()


def test_without_a_script_it_answers_and_needs_no_key(ask):
    fake = FakeAdapter()
    (response,) = ask(fake)
    assert (response.content, response.reasoning, response.usage.cost) == ("Four.", None, 0.0001)
    (request, number), = fake.asked  # fmt: skip
    assert (number, request.body["messages"]) == (0, [{"role": "user", "content": "2+2?"}])
    assert request.body["model"] == "model"


def test_a_list_is_answered_in_order_over_and_over(ask):
    rollouts = ask(FakeAdapter(["a", "b"]), n_samples=4, max_concurrency=1)
    assert [response.content for response in rollouts] == ["a", "b", "a", "b"]


def test_a_mapping_answers_each_number_and_each_attempt(ask):
    fake = FakeAdapter({0: "a", 1: [Reply(status=503, json={}), "b"], 5: "never asked"})
    rollouts = ask(fake, n_samples=2, max_retries=3)
    assert [response.content for response in rollouts] == ["a", "b"]
    assert rollouts[1].attempts == 2


def test_a_function_sees_request_and_number(ask):
    rollouts = ask(FakeAdapter(lambda request, number: f"{request.conversation.thought}{number}"), "2+2?\n<think>\nTwo",
                   n_samples=2, template="think-tags")  # fmt: skip
    assert [response.reasoning for response in rollouts] == ["Two0", "Two1"]


def test_thought_is_split_off_by_the_template_and_whole_replies_are_passed_on(ask):
    fake = FakeAdapter([Reply(json=chat_reply("<think>\nTwo.</think>4", None, finish_reason="length"))])
    (response,) = ask(fake, template="think-tags")
    assert (response.reasoning, response.content, response.finish_reason) == ("Two.", "4", "length")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Reply(status=401, json={"error": {"message": "bad key"}}), AuthenticationError),
        (Reply(status=503, json={}), SamplingError),
        (Reply(body=b"[]"), SamplingError),
        (RuntimeError("boom"), PluginError),
    ],
)
def test_faults_are_met_as_those_of_a_service(ask, fault, error):
    with pytest.raises(error):
        ask(FakeAdapter([fault]))


def test_a_stop_ends_its_delay(ask):
    fake = FakeAdapter({0: Reply(status=401, json={}), 1: Reply(json=chat_reply(), delay=3600)})
    with pytest.raises(AuthenticationError):
        ask(fake, n_samples=2, max_concurrency=2)


def test_what_it_answered_is_cached_and_it_is_opened_for_the_unsent_alone(ask):
    fake = FakeAdapter()
    ask(fake, n_samples=2)
    again = FakeAdapter(["other"])
    assert [response.content for response in ask(again, n_samples=2)] == ["Four.", "Four."]
    assert (fake.opened, again.opened, again.asked) == (1, 0, [])


def test_closing_the_client_closes_it():
    fake = FakeAdapter()
    with RolloutsClient("fake/model", plugins=[fake], use_cache=False) as client:
        client.generate("2+2?")
    assert (fake.opened, fake.closed) == (1, 1)
