"""Offline: answers from the cache alone, without a key; the first miss is named; nothing is ever sent."""

import asyncio

import pytest

from rollouts import Response
from rollouts.config import load_config
from rollouts.exceptions import ConfigError, OfflineMiss
from rollouts.hookspecs import hookimpl
from rollouts.testing.server import LoopbackServer
from rollouts.typing import AdapterSpec, WireReply, WireRequest


@pytest.fixture
def replay(server, make_client, monkeypatch):
    """A client that may not send, of a cache that has four answers to "One" and two to "Two"."""
    online = make_client()
    online.generate("One", n_samples=4)
    online.generate("Two", n_samples=2)
    online.close()
    server.reset()
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    return make_client(api_key=None, offline=True)


def call(client, way, prompts, n, **settings):
    """Samples by any of the four ways, as lists a prompt."""
    if way == "generate":
        return [list(client.generate(prompt, n, **settings)) for prompt in prompts]
    if way == "agenerate":

        async def all_of_them():
            return await asyncio.gather(*(client.agenerate(prompt, n, **settings) for prompt in prompts))

        return [list(rollouts) for rollouts in asyncio.run(all_of_them())]
    if way == "generate_many":
        return [list(rollouts) for rollouts in client.generate_many(prompts, n, **settings)]
    found = {i: [] for i in range(len(prompts))}
    for response in client.as_completed(prompts, n, **settings):
        found[response.prompt_index].append(response)
    return [sorted(responses, key=lambda r: r.seed) for responses in found.values()]


WAYS = pytest.mark.parametrize("way", ["generate", "agenerate", "generate_many", "as_completed"])


@WAYS
def test_what_is_cached_is_answered_without_a_key(server, replay, way):
    one, two = call(replay, way, ["One", "Two"], 2)

    assert [r.seed for r in one] == [r.seed for r in two] == [0, 1]
    assert all(r.cached for r in one + two)
    assert server.connections == 0


@WAYS
def test_the_first_miss_is_named_and_nothing_is_sent(server, replay, way, tmp_path):
    with pytest.raises(OfflineMiss, match=r'sample 2 of "Two" is not in the cache \(json:') as caught:
        call(replay, way, ["One", "Two"], 4)
    with pytest.raises(OfflineMiss, match='sample 0 of "Three"'):
        call(replay, way, ["Three"], 1)

    assert f"json:{tmp_path}" in str(caught.value)
    assert "fingerprint" in str(caught.value)
    assert server.connections == 0


@WAYS
def test_errors_that_are_kept_keep_no_miss(server, replay, way):
    with pytest.raises(OfflineMiss):
        call(replay, way, ["Two"], 4, on_error="keep")
    assert server.connections == 0


def test_a_miss_carries_what_the_cache_had(replay):
    with pytest.raises(OfflineMiss) as caught:
        replay.generate("Two", n_samples=4)
    assert [r.seed for r in caught.value.rollouts] == [0, 1]
    assert [failure.kind for failure in caught.value.rollouts.failures] == ["not_sent", "not_sent"]


def test_a_key_that_no_header_can_carry_is_in_nobodys_way(server, replay, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk ü")
    assert len(replay.generate("One", n_samples=4)) == 4
    with pytest.raises(OfflineMiss):
        replay.generate("One", n_samples=5)
    with pytest.raises(ConfigError, match="OPENROUTER_API_KEY"):
        replay.generate("One", n_samples=5, offline=False)
    assert server.connections == 0


def test_a_service_that_is_given_is_not_asked_for(make_client):
    class Adapter:
        @hookimpl
        def rollouts_register_adapters(self):
            return [AdapterSpec(name="gone", factory=lambda options: self, key_required=False, http=False)]

        @property
        def service(self):
            raise ConfigError("the weights are not here")

        def encode(self, conversation, settings):
            return WireRequest("", "chat", {"messages": []}, "seed", conversation, settings.template)

        def decode(self, request, reply): ...
        def send(self, request, number, stop): ...

    client = make_client(adapter="gone", base_url=None, api_key=None, plugins=[Adapter()], offline=True)
    with pytest.raises(ConfigError, match="weights"):
        client.generate("One")
    with pytest.raises(OfflineMiss):
        client.generate("One", service="local:abc")


def test_the_variable_holds_whatever_client_and_call_say(server, make_client, monkeypatch):
    client = make_client()
    monkeypatch.setenv("ROLLOUTS_OFFLINE", "1")
    with pytest.raises(OfflineMiss):
        client.generate("One", offline=False)
    monkeypatch.setenv("ROLLOUTS_OFFLINE", "0")
    assert len(client.generate("One")) == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("text", "offline"),
    [("1", True), ("true", True), ("Yes", True), ("0", False), ("false", False), ("no", False), (" ", False)],
)
def test_the_variable_is_read_as_every_other_one(make_client, monkeypatch, text, offline):
    monkeypatch.setenv("ROLLOUTS_OFFLINE", text)
    assert load_config().values.get("offline", False) is offline
    client = make_client()
    if offline:
        with pytest.raises(OfflineMiss):
            client.generate("One")
    else:
        assert len(client.generate("One")) == 1


def test_a_variable_that_says_neither_is_told(server, make_client, monkeypatch):
    client = make_client()
    monkeypatch.setenv("ROLLOUTS_OFFLINE", "perhaps")
    with pytest.raises(ConfigError, match=r"ROLLOUTS_OFFLINE: .*True or False"):
        client.generate("One")
    assert server.connections == 0


def test_one_call_can_be_offline(server, make_client):
    client = make_client()
    with pytest.raises(OfflineMiss):
        client.generate("One", offline=True)
    client.generate("One")
    assert client.generate("One", offline=True)[0].cached
    assert len(server.requests) == 1


def test_without_a_cache_everything_is_missing(server, replay):
    with pytest.raises(OfflineMiss, match=r"\(none"):
        replay.generate("One", use_cache=False)
    assert server.connections == 0


def test_a_service_that_is_gone_is_not_needed(make_client, tmp_path):
    with LoopbackServer() as gone:
        first = make_client(base_url=gone.url).generate("One", n_samples=2)
    again = make_client(base_url=gone.url, offline=True).generate("One", n_samples=2)
    assert list(again) == list(first)


def test_offline_a_missing_key_is_not_what_is_told(replay, make_client):
    with pytest.raises(OfflineMiss):
        replay.generate("Three")
    with pytest.raises(ConfigError, match="no API key"):
        replay.generate("Three", offline=False)


class Plugin:
    """An adapter that runs its own model: opening it is what must not happen."""

    def __init__(self):
        self.opened = 0

    @hookimpl
    def rollouts_register_adapters(self):
        return [AdapterSpec(name="mine", factory=self.make, key_required=False, http=False)]

    def make(self, options):
        plugin = self

        class Adapter:
            service = "sha256-of-weights"

            def open(self):
                plugin.opened += 1

            def encode(self, conversation, settings):
                body = {"model": settings.model, "messages": list(conversation.messages)}
                return WireRequest("", "generate", body, "seed", conversation, settings.template)

            def send(self, request, number, stop):
                return WireReply(200, {}, b'{"choices": [{"message": {"content": "Hi."}}]}')

            def decode(self, request, reply):
                return Response(content=reply.json()["choices"][0]["message"]["content"])

        return Adapter()


def test_an_adapter_that_runs_a_model_is_not_started(make_client):
    warm, cold = Plugin(), Plugin()
    first = make_client(adapter="mine", base_url=None, plugins=[warm]).generate("One", n_samples=2)
    client = make_client(adapter="mine", base_url=None, plugins=[cold], offline=True)

    assert list(client.generate("One", n_samples=2)) == list(first)
    with pytest.raises(OfflineMiss):
        client.generate("Two")
    assert (warm.opened, cold.opened) == (1, 0)
