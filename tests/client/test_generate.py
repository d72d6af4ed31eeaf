from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from rollouts import Response, RolloutsClient
from rollouts.exceptions import ConfigError, RolloutsWarning, SamplingError, ServerError, UnknownSetting
from rollouts.testing.server import Reply, chat_reply


def seeds(server):
    return sorted(request.json()["seed"] for request in server.requests)


def test_samples_come_in_number_order_each_with_its_own_seed(server, make_client):
    rollouts = make_client().generate("What is 2+2?", n_samples=20)

    assert [r.seed for r in rollouts] == list(range(20))
    assert [r.index for r in rollouts] == list(range(20))
    assert all(r.content.startswith(f"Sample {r.seed}:") for r in rollouts)
    assert seeds(server) == list(range(20))


def test_the_first_seed_can_be_chosen(server, make_client):
    rollouts = make_client().generate("Hello", n_samples=3, seed=100)

    assert [r.seed for r in rollouts] == [100, 101, 102]
    assert [r.index for r in rollouts] == [0, 1, 2]


def test_what_is_not_given_is_not_sent(server, make_client):
    make_client(temperature=0.5).generate("Hello")

    assert set(server.requests[0].json()) == {"model", "messages", "temperature", "seed"}


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache", True])
def test_the_same_call_again_sends_nothing_and_gives_the_same(server, make_client, cache):
    first = make_client(use_cache=cache).generate("Hello", n_samples=5)
    sent = len(server.requests)
    again = make_client(use_cache=cache).generate("Hello", n_samples=5)

    assert sent == 5
    assert len(server.requests) == 5
    assert list(again) == list(first)
    assert all(r.cached for r in again)
    assert not any(r.cached for r in first)


@pytest.mark.parametrize("url", ["http://user:hidden@127.0.0.1:1/v1", "http://127.0.0.1:1/v1?key=hidden", "hidden"])
def test_a_base_url_in_the_environment_is_held_to_the_same_rules(monkeypatch, tmp_path, url):
    monkeypatch.setenv("OPENROUTER_BASE_URL", url)
    with RolloutsClient("test/model", adapter="openrouter", api_key="k", cache_dir=tmp_path) as client:
        with pytest.raises(ConfigError, match="OPENROUTER_BASE_URL") as caught:
            client.generate("Hello")
        assert "hidden@" not in str(caught.value)
        assert "=hidden" not in str(caught.value)


def test_without_a_cache_every_call_sends(server, make_client, tmp_path):
    client = make_client(use_cache=False)
    client.generate("Hello", n_samples=2)
    client.generate("Hello", n_samples=2)

    assert len(server.requests) == 4
    assert not (tmp_path / "cache").exists()


def test_sets_grow_and_shrink(server, make_client):
    client = make_client()
    ten = client.generate("Hello", n_samples=10)
    hundred = client.generate("Hello", n_samples=100)
    fifty = client.generate("Hello", n_samples=50)

    assert len(server.requests) == 100
    assert list(hundred[:10]) == list(ten)
    assert list(fifty) == list(hundred[:50])


def test_overrides_hold_for_one_call(server, make_client, tmp_path):
    client = make_client(temperature=0.5)
    client.generate("Hello", temperature=0.1, max_tokens=7)
    client.generate("Hello")
    client.generate("Hello", temperature=None)
    client.generate("Hello", cache_dir=tmp_path / "other", use_cache="sql")

    bodies = [request.json() for request in server.requests]
    assert [b.get("temperature") for b in bodies] == [0.1, 0.5, None, 0.5]
    assert [b.get("max_tokens") for b in bodies] == [7, None, None, None]
    assert (tmp_path / "other" / "rollouts.sqlite").exists()


def test_the_key_of_the_call_is_the_one_sent(server, make_client):
    client = make_client()
    client.generate("Hello", api_key="sk-of-the-call")

    assert server.requests[0].headers["authorization"] == "Bearer sk-of-the-call"


def test_an_unknown_setting_names_the_nearest(make_client):
    with pytest.raises(UnknownSetting, match="temperature"):
        make_client().generate("Hello", temprature=1)


@pytest.mark.parametrize("n", [0, -1, 1_000_001, 2.5, "3", True, None])
def test_a_number_of_samples_that_cannot_be_is_refused(server, make_client, n):
    with pytest.raises(ConfigError, match="n_samples"):
        make_client().generate("Hello", n_samples=n)
    assert server.requests == []


@pytest.mark.parametrize("prompt", ["", None, 7, [], [{"content": "no role"}], {"role": "user"}])
def test_a_prompt_that_cannot_be_sent_is_refused(server, make_client, prompt):
    with pytest.raises(ConfigError):
        make_client().generate(prompt)
    assert server.requests == []


def test_a_missing_key_is_told_before_anything_is_sent(server, make_client, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    client = make_client(api_key=None)
    with pytest.raises(ConfigError) as caught:
        client.generate("Hello", n_samples=3)

    assert server.requests == []
    for way in ("OPENROUTER_API_KEY", "RolloutsClient(", "generate("):
        assert way in str(caught.value)


def test_the_key_is_read_from_the_environment(server, make_client, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-of-the-environment")
    make_client(api_key=None).generate("Hello")

    assert server.requests[0].headers["authorization"] == "Bearer sk-of-the-environment"


def test_a_cached_set_needs_no_key(server, make_client, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    make_client().generate("Hello", n_samples=3)

    assert make_client(api_key=None).generate("Hello", n_samples=3).n_cached == 3


def fail_some(*numbers):
    def reply(request):
        if request.json()["seed"] in numbers:
            return Reply(status=500, json={"error": {"code": 500, "message": "masked"}})
        return None

    return reply


def test_a_failed_sample_raises_after_the_others_are_stored(server, make_client):
    server.reply = fail_some(3)
    client = make_client()
    with pytest.raises(SamplingError) as caught:
        client.generate("Hello", n_samples=6)

    rollouts = caught.value.rollouts
    assert [r.seed for r in rollouts] == [0, 1, 2, 4, 5]
    assert [f.seed for f in caught.value.failures] == [3]
    assert isinstance(caught.value.failures[0].error, ServerError)
    assert rollouts.n_requested == 6
    server.reply = None
    assert client.generate("Hello", n_samples=6).n_cached == 5


def test_failures_can_be_kept_with_one_warning(server, make_client):
    server.reply = fail_some(1, 2)
    with pytest.warns(RolloutsWarning, match="2 of 5") as warned:
        rollouts = make_client(on_error="keep").generate("Hello", n_samples=5)

    assert len(warned) == 1
    assert [isinstance(slot, Response) for slot in rollouts.slots] == [True, False, False, True, True]
    assert [f.seed for f in rollouts.failures] == [1, 2]


def test_failures_are_never_served_from_the_cache(server, make_client):
    def reply(request):
        return Reply(json={"error": {"code": 502, "message": "Provider returned error"}})

    server.reply = reply
    client = make_client()
    with pytest.raises(SamplingError):
        client.generate("Hello")
    server.reply = None
    assert client.generate("Hello")[0].content.startswith("Sample 0")


def test_many_prompts_come_back_in_their_order(server, make_client):
    prompts = [f"Prompt {i}" for i in range(7)]
    results = make_client().generate_many(prompts, n_samples=3)

    assert [r.prompt for r in results] == prompts
    assert [[x.seed for x in r] for r in results] == [[0, 1, 2]] * 7
    assert [x.prompt_index for r in results for x in r] == [i for i in range(7) for _ in range(3)]
    assert len(server.requests) == 21


def test_a_prompt_given_twice_is_sent_once(server, make_client):
    results = make_client().generate_many(["same", "same"], n_samples=2)

    assert len(server.requests) == 2
    assert [r.content for r in results[0]] == [r.content for r in results[1]]


def test_no_prompts_give_no_rollouts(server, make_client):
    assert make_client().generate_many([], n_samples=2) == []


def test_a_bad_prompt_among_many_is_told_before_anything_is_sent(server, make_client):
    with pytest.raises(ConfigError):
        make_client().generate_many(["fine", ""])
    assert server.requests == []


def test_a_list_of_messages_is_one_prompt(make_client):
    with pytest.raises(ConfigError, match="generate"):
        make_client().generate_many([{"role": "user", "content": "Hello"}])


def test_gathered_calls_share_the_workers(server, make_client):
    client = make_client(max_concurrency=8)

    async def ask():
        return await asyncio.gather(*(client.agenerate(f"Prompt {i}", n_samples=2) for i in range(50)))

    results = asyncio.run(ask())
    assert [r.prompt for r in results] == [f"Prompt {i}" for i in range(50)]
    assert len(server.requests) == 100
    assert server.peak_in_flight <= 8
    assert server.connections <= 8


def test_generate_works_where_a_loop_runs(make_client):
    client = make_client()

    async def inside():
        return client.generate("Hello", n_samples=2)

    assert len(asyncio.run(inside())) == 2


def test_generate_works_in_threads(server, make_client):
    client = make_client()
    results = {}

    def ask(i):
        results[i] = client.generate(f"Prompt {i}", n_samples=3)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[i].prompt == f"Prompt {i}" and len(results[i]) == 3 for i in range(8))


def test_two_callers_of_the_same_sample_send_it_once(server, make_client):
    first, second = make_client(), make_client()
    server.hold()
    results = []
    threads = [
        threading.Thread(target=lambda c=c: results.append(c.generate("Hello", n_samples=4))) for c in (first, second)
    ]
    threads[0].start()
    server.wait_for(4)
    threads[1].start()
    server.release()
    for thread in threads:
        thread.join()

    assert len(server.requests) == 4
    assert list(results[0]) == list(results[1])


def test_samples_are_yielded_as_they_are_done(server, make_client):
    got = list(make_client().as_completed(["a", "b"], n_samples=3))

    assert sorted((r.prompt, r.prompt_index, r.seed, r.index) for r in got) == [
        (p, i, s, s) for i, p in enumerate("ab") for s in range(3)
    ]


def test_as_completed_reads_an_endless_input_only_as_far_as_needed(server, make_client):
    read = itertools.count()
    prompts = (f"Prompt {next(read)}" for _ in itertools.count())
    stream = make_client(max_concurrency=4).as_completed(prompts)
    got = [next(stream) for _ in range(20)]
    stream.close()

    assert len({r.prompt for r in got}) == 20
    assert next(read) < 1000


def test_as_completed_raises_after_the_last_answer(server, make_client):
    server.reply = fail_some(1)
    got = []
    stream = make_client().as_completed(["a", "b"], n_samples=3)
    with pytest.raises(SamplingError) as caught:
        got.extend(stream)

    assert len(got) == 4
    assert len(caught.value.failures) == 2


def test_as_completed_yields_failures_when_they_are_kept(server, make_client):
    server.reply = fail_some(1)
    got = list(make_client(on_error="keep").as_completed(["a"], n_samples=3))

    assert sorted((r.seed, isinstance(r, Response)) for r in got) == [(0, True), (1, False), (2, True)]


def test_a_wrong_key_stops_the_run(server, make_client):
    from rollouts.exceptions import AuthenticationError

    server.reply = lambda request: Reply(status=401, json={"error": {"code": 401, "message": "No auth credentials"}})
    with pytest.raises(AuthenticationError) as caught:
        make_client(max_concurrency=8, max_retries=10).generate("Hello", n_samples=500)

    assert len(server.requests) <= 8
    assert caught.value.rollouts.n_requested == 500
    assert {f.kind for f in caught.value.rollouts.failures} >= {"not_sent"}


def test_a_bad_prompt_stops_only_itself(server, make_client):
    def reply(request):
        if "bad" in request.json()["messages"][0]["content"]:
            return Reply(status=400, json={"error": {"code": 400, "message": "no"}})
        return None

    server.reply = reply
    with pytest.raises(SamplingError) as caught:
        make_client(max_concurrency=1).generate_many(["bad", "good"], n_samples=10)

    bad, good = caught.value.rollouts
    assert len(good) == 10
    assert len(bad) == 0
    assert len(server.requests) == 11


def test_retries_end_with_an_answer_that_tells_its_attempts(server, make_client):
    seen = itertools.count()

    def reply(request):
        return Reply(status=503, headers={"Retry-After": "0"}) if next(seen) < 2 else None

    server.reply = reply
    response = make_client(max_retries=5).generate("Hello")[0]
    assert response.attempts == 3


def test_content_is_what_the_model_said_to_the_byte(server, make_client):
    text = "  täst \n\u2028 \U0001f642 </b> \\ud800 \t"
    server.reply = lambda request: Reply(json=chat_reply(content=text, reasoning=None, seed=None))
    client = make_client()

    assert client.generate("Hello")[0].content == text
    assert client.generate("Hello")[0].content == text
    assert client.generate("Hello")[0].cached


def test_a_closed_client_says_so(make_client):
    client = make_client()
    client.generate("Hello")
    client.close()
    client.close()
    from rollouts.exceptions import RolloutsError

    with pytest.raises(RolloutsError, match="closed"):
        client.generate("Hello again")


def test_closing_leaves_no_thread_and_no_socket(server, make_client):
    before = set(threading.enumerate())
    client = make_client()
    client.generate("Hello", n_samples=10)
    client.close()

    left = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    assert left == []


def test_a_client_tells_what_it_has_asked_for(server, make_client):
    client = make_client()
    client.generate("Hello", n_samples=3)
    client.generate("Hello", n_samples=5)
    usage = client.usage

    assert (usage.answered, usage.cached, usage.requests, usage.failed) == (5, 3, 5, 0)
    assert (usage.tokens_known_for, usage.cost_known_for) == (5, 5)
    assert usage.cost > 0
    assert "known for 5 of 5" in str(usage)


def test_the_log_is_shown_where_it_is_asked_for_and_nowhere_else(server, make_client, capsys):
    client = make_client()
    client.generate("Hello", verbose=True)
    assert "1 answered" in capsys.readouterr().err
    client.generate("Hello again")
    assert capsys.readouterr().err == ""
    loud = make_client(verbose=True)
    loud.generate("Hello, hello")
    assert capsys.readouterr().err.count("1 answered") == 1
    loud.close()
    client.generate("Good bye")
    assert capsys.readouterr().err == ""


def test_what_was_read_before_the_prompts_broke_off_is_answered(server, make_client):
    def prompts():
        yield "a"
        yield "b"
        raise RuntimeError("the file is damaged")

    got = []
    stream = make_client().as_completed(prompts(), n_samples=2)
    with pytest.raises(RuntimeError, match="damaged"):
        got.extend(stream)
    assert sorted(r.prompt for r in got) == ["a", "a", "b", "b"]


def test_prompts_that_come_slowly_are_sent_as_they_come(server, make_client):
    sent_meanwhile = []

    def prompts():
        for i in range(4):
            sent_meanwhile.append(len(server.requests))
            yield f"Prompt {i}"
            threading.Event().wait(0.2)  # a slow source

    list(make_client().as_completed(prompts()))
    assert sent_meanwhile[-1] >= 1
