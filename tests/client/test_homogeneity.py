"""Sets of one kind: what they come from is told, a mixture and replays are warned of once, `strict` refuses."""

import asyncio
import pickle
import warnings

import pytest

from rollouts.exceptions import MixedSamples, RolloutsWarning
from rollouts.testing.server import Reply, chat_reply

LONG = "A long answer, of which nobody would say that chance repeats it. " * 5


@pytest.fixture
def spread(server):
    """Answers come from two providers in turn, by seed."""

    def reply(request):
        seed = request.json()["seed"]
        return Reply(json=chat_reply(seed=seed, provider=("DeepInfra", "Together")[seed % 3 == 2]))

    server.reply = reply
    return server


def quietly(client, *args, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return client.generate(*args, **settings)


def test_a_mixed_set_is_warned_of_once_a_client(spread, make_client):
    client = make_client()
    with pytest.warns(RolloutsWarning, match=r"providers DeepInfra \(4\), Together \(2\)") as told:
        client.generate("One", n_samples=6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.generate("Two", n_samples=6)
        client.generate("One", n_samples=6)
    assert len(told) == 1


def test_what_the_samples_come_from_is_told(spread, make_client):
    rollouts = quietly(make_client(), "One", n_samples=6)

    assert rollouts.providers == {"DeepInfra": 4, "Together": 2}
    assert rollouts.provenance["provider"] == rollouts.providers
    assert rollouts.provenance["model"] == {"test/model": 6}
    assert rollouts.provenance["date"] == {"2026-09-21": 6}
    assert rollouts.provenance["system_fingerprint"] == {None: 6}


def test_a_mixture_of_served_models_is_one_too(server, make_client):
    server.reply = lambda request: Reply(
        json=chat_reply(seed=(n := request.json()["seed"]), model=f"test/model-{n % 2}")
    )
    with pytest.warns(RolloutsWarning, match=r"served models test/model-0 \(2\), test/model-1 \(2\)"):
        make_client().generate("One", n_samples=4)


@pytest.mark.parametrize(
    "routing", [{"only": ["deepinfra"]}, {"order": ["deepinfra"], "allow_fallbacks": False}], ids=["only", "order"]
)
def test_a_set_whose_routing_is_pinned_is_not_warned_of(spread, make_client, routing):
    make_client(provider=routing).generate("One", n_samples=6)


@pytest.mark.parametrize("routing", [{"only": ["a", "b"]}, {"order": ["a"]}, {"sort": "price"}])
def test_routing_that_leaves_a_choice_is_no_pin(spread, make_client, routing):
    with pytest.warns(RolloutsWarning, match="not of one kind"):
        make_client(provider=routing).generate("One", n_samples=6)


def test_a_set_of_one_kind_is_not_warned_of_and_strict_lets_it_pass(server, make_client):
    assert len(make_client(strict=True).generate("One", n_samples=6)) == 6


@pytest.mark.parametrize("way", ["generate", "agenerate", "generate_many", "as_completed"])
def test_strict_refuses_a_mixed_set_which_is_stored(spread, make_client, way):
    client = make_client(strict=True)
    got = []

    def call(**settings):
        if way == "agenerate":
            return asyncio.run(client.agenerate("One", n_samples=6, **settings))
        if way == "as_completed":
            got.extend(client.as_completed("One", n_samples=6, **settings))
            return None
        return getattr(client, way)(["One"] if way == "generate_many" else "One", n_samples=6, **settings)

    with pytest.raises(MixedSamples, match=r"DeepInfra \(4\), Together \(2\).*Name one provider") as caught:
        call()
    assert len(spread.requests) == 6
    if way == "as_completed":
        assert len(got) == 6
    else:
        kept = caught.value.rollouts[0] if way == "generate_many" else caught.value.rollouts
        assert len(kept) == 6
        assert pickle.loads(pickle.dumps(caught.value)).rollouts == caught.value.rollouts
    with pytest.warns(RolloutsWarning, match="not of one kind"):
        call(strict=False)
    assert len(spread.requests) == 6


def test_a_set_that_grows_across_providers_is_mixed(server, make_client):
    client = make_client(strict=True)
    client.generate("One", n_samples=2)
    server.reply = lambda request: Reply(json=chat_reply(seed=request.json()["seed"], provider="Another"))
    with pytest.raises(MixedSamples, match=r"Another \(2\), Loopback \(2\)"):
        client.generate("One", n_samples=4)


def test_an_answer_that_does_not_say_its_provider_is_no_proof(server, make_client):
    def reply(request):
        seed = request.json()["seed"]
        return Reply(json=chat_reply(seed=seed, provider=("A", None)[seed % 2]))

    server.reply = reply
    with pytest.raises(MixedSamples, match=r"not stated \(1\)"):
        make_client(strict=True).generate("One", n_samples=2)


@pytest.mark.parametrize("again", [False, True])
def test_answers_that_require_prefill_refused_are_no_part_of_the_set(server, make_client, again):
    def reply(request):
        seed = request.json()["seed"]
        reasoning = ("Okay, the user wants 5*10. That is 50.", "0 = 50. That is it.")[seed % 2]
        return Reply(json=chat_reply("50", reasoning, seed=seed, provider=("A", "B")[seed % 2]))

    server.reply = reply
    client = make_client(model="qwen/qwen3-8b", adapter="vllm", strict=True, require_prefill=True, on_error="keep")
    for _ in range(1 + again):
        with pytest.warns(RolloutsWarning, match="2 of 4 samples have no answer"):
            rollouts = client.generate("What is 5*10?\n<think>\n5*1", n_samples=4)
    assert rollouts.providers == {"B": 2}
    assert len(rollouts.failures) == 2


def test_fingerprints_and_days_are_told_and_make_no_mixture(server, make_client):
    def reply(request):
        seed = request.json()["seed"]
        body = chat_reply(seed=seed) | {
            "system_fingerprint": f"fp_{seed % 2}",
            "created": 1_790_000_000 + 86_400 * seed,
        }
        return Reply(json=body)

    server.reply = reply
    rollouts = make_client(strict=True).generate("One", n_samples=4)
    assert rollouts.provenance["system_fingerprint"] == {"fp_0": 2, "fp_1": 2}
    assert len(rollouts.provenance["date"]) == 4


def test_a_provider_that_is_pinned_in_the_extra_body_is_pinned(spread, make_client):
    make_client(extra_body={"provider": {"only": ["deepinfra"]}}).generate("One", n_samples=6)


def test_long_answers_that_are_equal_are_warned_of_once(server, make_client):
    server.reply = lambda request: Reply(json=chat_reply(LONG))
    client = make_client(temperature=0.7)
    with pytest.warns(RolloutsWarning, match="3 of 4 answers to one prompt repeat another one byte for byte") as told:
        rollouts = client.generate("One", n_samples=4)
    client.generate("Two", n_samples=4)

    assert len(told) == 1
    assert [[r.seed for r in group] for group in rollouts.duplicates] == [[0, 1, 2, 3]]


def test_the_same_response_id_is_a_replay_however_short(server, make_client):
    server.reply = lambda request: Reply(json=chat_reply("Yes.", id="gen-same"))
    with pytest.warns(RolloutsWarning, match="repeat another one"):
        make_client().generate("One", n_samples=2)


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"top_k": 1}])
def test_equal_answers_are_expected_where_nothing_is_sampled(server, make_client, settings):
    server.reply = lambda request: Reply(json=chat_reply(LONG))
    assert len(make_client(**settings).generate("One", n_samples=3).duplicates) == 1


def test_short_answers_may_be_equal_by_chance(server, make_client):
    server.reply = lambda request: Reply(json=chat_reply("Four.", None))
    assert len(make_client().generate("One", n_samples=3).duplicates) == 1


def test_the_same_answer_to_two_prompts_is_no_duplicate(server, make_client):
    server.reply = lambda request: Reply(json=chat_reply(LONG))
    make_client().generate_many(["One", "Two"])
