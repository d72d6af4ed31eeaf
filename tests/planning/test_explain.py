"""`client.explain`: exactly what would go out, where it would be kept, and what would be warned of."""

import warnings

import pytest

from rollouts.exceptions import ConfigError, RolloutsWarning
from rollouts.hookspecs import hookimpl
from rollouts.typing import AdapterSpec, WireRequest

KEY = "sk-or-v1-canary-0123456789abcdef"


def test_body_url_and_headers_are_those_that_are_sent(server, make_client):
    client = make_client(api_key=KEY, temperature=0.5, extra_headers={"X-Mine": "a"}, seed=7, provider={"only": ["p"]})
    explained = client.explain("Hello<think>\nI")
    client.generate("Hello<think>\nI")
    [request] = server.requests

    assert explained.body == request.json()
    assert list(explained.body)[-1] == "seed"
    assert explained.url == server.url + "/chat/completions"
    sent = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
    sent["authorization"] = "***"
    assert {name.lower(): value for name, value in explained.headers.items()} == sent


def test_nothing_is_sent_and_no_key_is_needed_or_shown(server, make_client, monkeypatch):
    without = make_client().explain("Hello")
    given = make_client(api_key=KEY).explain("Hello")
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    found = make_client().explain("Hello")

    assert server.connections == 0
    assert [e.key for e in (without, given, found)] == [None, "api_key=", "OPENROUTER_API_KEY"]
    for explained, said in ((without, "needed, and none is given"), (given, "from api_key="), (found, "from OPENR")):
        assert f"key          {said}" in str(explained)
    for explained in (without, given, found):
        assert KEY not in str(explained) + repr(explained)
        assert explained.headers["Authorization"] == "***"


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])
def test_the_place_in_the_cache_is_told(make_client, tmp_path, cache):
    client = make_client(api_key=KEY, use_cache=cache)
    before = client.explain("Hello")
    client.generate("Hello")
    after = client.explain("Hello")

    assert (before.cached, after.cached) == (False, True)
    assert before.place == after.place
    assert str(tmp_path) in after.place
    if cache == "json":
        assert after.place == str(next((tmp_path / "cache").rglob("seed_00000.json")))


def test_without_a_cache_there_is_no_place(make_client):
    explained = make_client(use_cache=False).explain("Hello")
    assert (explained.cache, explained.place, explained.cached) == (None, None, False)


def test_what_generate_would_warn_of_is_returned_and_not_raised(make_client):
    client = make_client(template=None, api_key=KEY)
    prompt = "Hm<think>\nI <think> so "
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explained = client.explain(prompt)
    with pytest.warns(RolloutsWarning) as raised:
        client.generate(prompt)

    said = {str(warning.message) for warning in raised}
    assert len(explained.warnings) == 4
    assert set(explained.warnings) <= said


def test_explaining_takes_no_warning_away_from_the_call(make_client):
    client = make_client("anthropic/claude-3.5-sonnet", api_key=KEY, provider={"only": ["anthropic"]}, template=None)
    prompt = [{"role": "user", "content": "Hm"}, {"role": "assistant", "content": "I"}]

    assert any("thinking switched off" in text for text in client.explain(prompt).warnings)
    with pytest.warns(RolloutsWarning, match="thinking switched off"):
        client.generate(prompt)


def test_warnings_of_others_are_still_shown(make_client):
    def transform(conversation):
        warnings.warn("old style", DeprecationWarning, stacklevel=1)
        return conversation

    with pytest.warns(DeprecationWarning, match="old style"):
        make_client(transforms=[transform]).explain("Hello")


def test_what_the_call_would_refuse_is_refused(make_client):
    with pytest.raises(ConfigError, match="log-probabilities"):
        make_client(logprobs=True).explain("Hello")


def test_a_service_without_seeds_is_said_to_take_none(make_client):
    client = make_client(adapter="anthropic", base_url=None, model="claude-x", max_tokens=5)
    explained = client.explain("Hello")

    assert explained.seed_field is None
    assert "seed" not in explained.body
    assert "the service takes none" in str(explained)
    assert explained.headers["x-api-key"] == "***"


class Plugin:
    """An adapter that serves itself: opening it would load a model."""

    @hookimpl
    def rollouts_register_adapters(self):
        return [AdapterSpec(name="mine", factory=lambda options: Mine(), key_required=False, http=False)]


class Mine:
    service = "weights-1"

    def open(self):
        raise AssertionError("opened")

    def encode(self, conversation, settings):
        body = {"model": settings.model, "messages": list(conversation.messages)}
        return WireRequest("", "generate", body, "seed", conversation, settings.template)

    def decode(self, request, reply):
        raise AssertionError("decoded")

    def send(self, request, number, stop):
        raise AssertionError("sent")


def test_an_adapter_that_serves_itself_is_not_opened(make_client):
    client = make_client(adapter="mine", base_url=None, plugins=[Plugin()])
    explained = client.explain("Hello")

    assert (explained.service, explained.url, explained.headers) == ("weights-1", None, {})
    assert client.plan("Hello", 3).missing == 3
