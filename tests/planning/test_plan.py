"""`client.plan`: what is cached, what is missing, what it may cost; nothing is sent and unknown is never 0."""

import pytest

from rollouts.exceptions import ConfigError
from rollouts.testing.server import Reply, chat_reply

EVERY_CACHE = pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])


@EVERY_CACHE
def test_a_plan_counts_what_is_cached_and_missing_and_sends_nothing(server, make_client, cache):
    client = make_client(use_cache=cache, api_key="k")
    client.generate("One", n_samples=3)
    client.generate("Two", n_samples=10)
    sent = len(server.requests)

    plan = client.plan(["One", "Two", "Three"], n_samples=10)

    assert len(server.requests) == sent
    assert (plan.asked, plan.cached, plan.missing) == (30, 13, 17)
    assert [(p.prompt, p.cached, p.missing) for p in plan.prompts] == [("One", 3, 7), ("Two", 10, 0), ("Three", 0, 10)]


def test_a_plan_needs_no_key_and_makes_no_files(server, make_client, tmp_path):
    plan = make_client().plan("One", n_samples=5)

    assert (plan.asked, plan.missing) == (5, 5)
    assert server.connections == 0
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "state").exists()


def test_the_plan_is_what_the_call_then_sends(server, make_client):
    client = make_client(api_key="k")
    prompts = ["One", "Two", "One", [{"role": "user", "content": "Three"}]]
    client.generate("Two", n_samples=2)
    planned = client.plan(prompts, n_samples=4)
    before = len(server.requests)
    client.generate_many(prompts, n_samples=4)

    assert len(server.requests) - before == planned.missing == 10
    assert planned.prompts[2].repeated == 4
    assert client.plan(prompts, n_samples=4).missing == 0


def test_without_a_cache_equal_prompts_are_all_sent(make_client):
    plan = make_client(use_cache=False).plan(["One", "One"], n_samples=4)
    assert (plan.missing, plan.cache) == (8, None)


def test_overrides_and_first_seeds_hold_for_a_plan(make_client):
    client = make_client(api_key="k")
    client.generate("One", n_samples=4, temperature=0.5)

    assert client.plan("One", 4).cached == 0
    assert client.plan("One", 4, temperature=0.5).cached == 4
    assert client.plan("One", 4, temperature=0.5, seed=2).cached == 2


def test_what_nobody_knows_is_none_and_said_to_be_unknown(make_client):
    plan = make_client().plan("x" * 400, n_samples=10)

    assert plan.prompt_tokens == 1000
    assert (plan.completion_tokens, plan.most_completion_tokens) == (None, None)
    assert (plan.cost, plan.most_cost) == (None, None)
    assert "cost      unknown" in str(plan)
    assert "prices(refresh=True)" in str(plan)


def test_max_tokens_is_the_upper_bound_and_no_expectation(make_client):
    client = make_client(max_tokens=50, api_key="k")
    client.prices(refresh=True)
    plan = client.plan("x" * 400, n_samples=10)

    assert (plan.completion_tokens, plan.most_completion_tokens) == (None, 500)
    assert plan.cost is None
    assert plan.most_cost == pytest.approx(10 * (100e-6 + 50e-5))


def test_tokens_and_cost_come_from_what_the_cache_has_of_the_prompt(server, make_client):
    server.reply = lambda request: Reply(
        json=chat_reply(
            seed=request.json()["seed"],
            usage={"prompt_tokens": 7, "completion_tokens": 30 + 20 * request.json()["seed"], "cost": 0.5},
        )
    )
    client = make_client(api_key="k")
    client.generate("One", n_samples=2)
    plan = client.plan("One", n_samples=5)

    assert (plan.prompt_tokens, plan.completion_tokens) == (21, 120)
    assert plan.cost == pytest.approx(1.5)
    assert "from what 2 answers in the cache cost" in str(plan)


@EVERY_CACHE
def test_a_new_prompt_is_estimated_from_the_models_other_answers(server, make_client, cache):
    client = make_client(use_cache=cache, api_key="k")
    client.generate("Another", n_samples=2)
    client.generate("Another", n_samples=2, model="other/model")
    plan = client.plan("New", n_samples=3)

    assert plan.completion_tokens == 60
    assert plan.cost == pytest.approx(0.0003, rel=0.2)  # the prompt is shorter
    assert "2 answers of this model at this service in the cache" in plan.tokens_basis


def costly(request):
    usage = {"prompt_tokens": 10, "completion_tokens": 1000, "cost": 0.5}
    return Reply(json=chat_reply(seed=request.json()["seed"], usage=usage))


def test_what_a_model_costs_elsewhere_says_nothing_of_this_service(server, make_client, tmp_path):
    server.reply = costly
    make_client(api_key="k").generate("Another", n_samples=2)

    here = make_client(adapter="vllm").plan("New", n_samples=100)
    other = make_client(api_key="k", service="another").plan("New", n_samples=100)

    assert (here.completion_tokens, here.cost, here.cost_basis[:9]) == (None, None, "no answer")
    assert "prices(refresh=True)" not in str(here)  # it has none
    assert (other.completion_tokens, other.cost) == (None, None)


def test_fewer_tokens_cost_less_than_the_answers_that_were_seen(server, make_client):
    server.reply = costly
    client = make_client(api_key="k")
    client.generate("A prompt as long as the new one, ....", n_samples=4)

    same = client.plan("A prompt as long as the other one, ..", n_samples=100)
    capped = client.plan("A prompt as long as the other one, ..", n_samples=100, max_tokens=20)

    assert same.cost == pytest.approx(50, rel=0.01)
    assert capped.completion_tokens == 2000
    assert 50 * 20 / 1000 < capped.cost < 50 * 30 / 1000  # the prompt costs as much as before


def test_a_longer_prompt_costs_more_than_the_prompts_that_were_seen(server, make_client):
    client = make_client(api_key="k")
    client.generate("Short", n_samples=2)
    assert client.plan("x" * 40_000).cost > 50 * client.plan("Brief").cost


def test_a_cost_without_tokens_is_taken_as_it_is(server, make_client):
    server.reply = lambda request: Reply(json=chat_reply(seed=request.json()["seed"], usage={"cost": 0.5}))
    client = make_client(api_key="k")
    client.generate("Another", n_samples=2)
    assert client.plan("New", n_samples=3, max_tokens=5).cost == pytest.approx(1.5)


def test_a_plan_with_nothing_missing_prints_no_estimate(make_client):
    client = make_client(api_key="k")
    client.generate("One", n_samples=1)
    assert "cost" not in str(client.plan("One"))
    assert "1 sample of 1 prompt" in str(client.plan("One"))


def test_a_price_list_goes_before_the_cost_that_was_seen(server, make_client):
    client = make_client(api_key="k")
    client.generate("One", n_samples=2)
    fetched = client.prices(refresh=True)
    plan = client.plan("One", n_samples=5)

    assert plan.cost == pytest.approx(3 * (10e-6 + 20e-5))
    assert plan.cost_basis == f"price list of {server.url}/models, {fetched.date}"


def test_a_price_of_nothing_is_a_known_price(make_client):
    client = make_client("free/model", api_key="k", max_tokens=10)
    client.prices(refresh=True)
    assert client.plan("One").most_cost == 0


def test_nothing_missing_costs_nothing(make_client):
    client = make_client(api_key="k")
    client.generate("One", n_samples=2)
    plan = client.plan("One", n_samples=2)
    assert (plan.missing, plan.cost, plan.completion_tokens) == (0, 0, 0)


def test_a_plan_tells_what_the_call_would_warn_of(make_client):
    plan = make_client(template=None).plan("Hm<think>\nI think ")

    assert any("white space" in text for text in plan.warnings)
    assert any("It is not known how the model" in text for text in plan.warnings)
    assert "warning: " in str(plan)


def test_bad_input_is_refused_as_the_call_would(make_client):
    client = make_client()
    with pytest.raises(ConfigError, match="empty"):
        client.plan(["fine", " "])
    with pytest.raises(ConfigError, match="n_samples"):
        client.plan("fine", 0)
    with pytest.raises(ConfigError, match="temprature"):
        client.plan("fine", temprature=1)


def test_a_plan_is_frozen(make_client):
    plan = make_client().plan("One")
    with pytest.raises(AttributeError):
        plan.model = "x"
