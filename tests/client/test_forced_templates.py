"""A think template that the user forces on a model decides how answers are split, so it is part of their identity."""

import pytest

from rollouts.caches.json_files import JsonCache
from rollouts.identity import SampleKey, SampleRequest
from rollouts.testing.server import Reply, chat_reply
from rollouts.think_templates._tags import Tags


@pytest.fixture
def thinking(server):
    server.reply = lambda request: Reply(json=chat_reply(content="<think>a</think>b", reasoning=None, seed=None))
    return server


def split(client, **settings):
    (response,) = client.generate("Hello", **settings)
    return response.reasoning, response.content


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])
def test_an_answer_that_was_split_by_one_template_is_none_to_another(thinking, make_client, cache):
    client = make_client(use_cache=cache)

    assert split(client) == (None, "<think>a</think>b")
    assert split(client, template="think-tags") == ("a", "b")
    assert split(client, template=Tags("<think>a</", ">")) == ("think", "b")
    assert split(client, template=Tags("<think>", "</think>")) == ("a", "b")
    assert len(thinking.requests) == 4

    assert split(client) == (None, "<think>a</think>b")
    assert split(client, template="think-tags") == ("a", "b")
    assert split(client, template=Tags("<think>a</", ">")) == ("think", "b")
    assert len(thinking.requests) == 4


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
def test_naming_the_template_that_the_model_has_anyway_changes_nothing(thinking, make_client):
    client = make_client()
    client.generate("Hello")
    client.generate("Hello", template="none")
    client.generate("Hello\n<think>\nSo")
    client.generate("Hello\n<think>\nSo", template="think-tags")

    assert len(thinking.requests) == 2


def test_a_stored_request_keeps_its_forced_template(thinking, make_client, tmp_path):
    client = make_client()
    client.generate("Hello", template="think-tags")
    (entry,) = JsonCache(str(tmp_path / "cache")).entries()

    again = SampleRequest.stored(entry.request.document, entry.request.context)
    assert entry.problem is None
    assert entry.request.document["template"] == "think-tags"
    assert SampleKey(again, 0) == SampleKey(entry.request, 0)
