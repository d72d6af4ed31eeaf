"""Two clients of one process want the same sample at once, and the second has a cache or rules of its own."""

import threading

import pytest

from rollouts.engine.claims import CLAIMS
from rollouts.exceptions import BadRequest, CacheError, ConfigError, OfflineMiss, RolloutsError, SamplingError
from rollouts.identity import SampleKey
from rollouts.results import Response, Usage
from rollouts.testing.server import Reply, chat_reply

NO = Reply(status=400, json={"error": {"message": "no"}})


@pytest.fixture
def parked(server):
    """Run a call of `first`, then one of `second` for the same sample; the answer comes when both wait."""

    def run(first, second, reply):
        asked, go = threading.Event(), threading.Event()

        def answer(request):
            if not asked.is_set():
                asked.set()
                assert go.wait(10)
                return reply
            return None

        server.reset()
        server.reply = answer
        got = {}

        def call(name, client):
            try:
                got[name] = client.generate("Hello")[0]
            except Exception as error:
                got[name] = error

        threads = [threading.Thread(target=call, args=("first", first))]
        threads[0].start()
        assert asked.wait(10)
        threads.append(threading.Thread(target=call, args=("second", second)))
        threads[1].start()
        waiting = threading.Event()
        while not CLAIMS.parked:
            waiting.wait(0.005)
        go.set()
        for thread in threads:
            thread.join(10)
        return got["first"], got["second"]

    return run


def saying(text):
    return Reply(json=chat_reply(content=text, reasoning=None, seed=None))


@pytest.mark.parametrize("cache", ["json", "sql"])
def test_what_its_own_cache_has_is_its_answer_whatever_another_client_gets(
    server, make_client, parked, tmp_path, cache
):
    server.reply = lambda request: saying("mine")
    own = make_client(cache_dir=tmp_path / "own", use_cache=cache)
    own.generate("Hello")

    first, second = parked(make_client(use_cache=cache), own, saying("another"))

    assert (first.content, second.content) == ("another", "mine")
    assert second.cached
    assert own.generate("Hello")[0].content == "mine"
    assert len(server.requests) == 1


def test_what_its_own_cache_has_is_not_paid_again_when_another_client_fails(server, make_client, parked, tmp_path):
    server.reply = lambda request: saying("mine")
    own = make_client(cache_dir=tmp_path / "own")
    own.generate("Hello")

    first, second = parked(make_client(), own, NO)

    assert isinstance(first, SamplingError | BadRequest)
    assert second.content == "mine"
    assert len(server.requests) == 1


def test_a_client_that_is_offline_sends_nothing_when_another_client_fails(server, make_client, parked):
    _, second = parked(make_client(), make_client(offline=True), NO)

    assert isinstance(second, OfflineMiss)
    assert len(server.requests) == 1


def test_a_client_without_a_key_sends_nothing_when_another_client_fails(server, make_client, parked, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    _, second = parked(make_client(), make_client(api_key=None), NO)

    assert isinstance(second, ConfigError)
    assert len(server.requests) == 1


def test_offline_sends_nothing_for_many_equal_prompts(server, make_client):
    client = make_client(offline=True)
    with pytest.raises(OfflineMiss):
        client.generate_many(["Hello"] * 2000)

    assert server.connections == 0
    assert len(CLAIMS) == 0


class Quits:
    """A cache that ends the thread that reads it."""

    def load_many(self, keys):
        if list(keys):
            raise SystemExit("no more")
        return iter(())

    def store(self, key, response):
        raise AssertionError("nothing was got")

    def close(self):
        pass


@pytest.mark.parametrize("cache", ["json", "sql"])
def test_a_cache_that_fails_costs_the_client_that_was_asking_nothing(server, make_client, parked, cache):
    asking = make_client(use_cache=cache)
    first, second = parked(asking, make_client(use_cache=Quits()), saying("here"))

    assert first.content == "here"
    assert isinstance(second, CacheError)
    server.reply = None
    assert len(asking.generate("Hello", n_samples=20)) == 20


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])
def test_the_answer_that_another_process_stored_first_is_the_one_that_is_returned(server, make_client, tmp_path, cache):
    client = make_client(use_cache=cache)
    client.generate("Hello", seed=100)  # so that the store is there to be written from outside
    backend = client._resources.call(client._resources.resolve(client.settings), 1).store.backend
    request = next(iter(backend.entries())).request
    server.hold()
    got = []
    asking = threading.Thread(target=lambda: got.append(client.generate("Hello", n_samples=3)))
    asking.start()
    server.wait_for(4)
    for number in (0, 2):
        theirs = Response(f"theirs {number}", provider="Loopback", model="test/model", usage=Usage(cost=5.0))
        backend.store(SampleKey(request, number), theirs)
    server.release()
    asking.join(10)

    texts = [response.content for response in got[0]]
    assert (texts[0], texts[2]) == ("theirs 0", "theirs 2")
    assert [response.content for response in client.generate("Hello", n_samples=3)] == texts
    assert [response.cached for response in got[0]] == [False] * 3  # each was asked and paid for
    assert (client.usage.requests, client.usage.cost) == (4, pytest.approx(4 * chat_reply()["usage"]["cost"]))


PREFILLED = ["One\n<think>\nHm", "Two\n<think>\nHm"]


@pytest.fixture
def prefilling(make_client):
    """Clients whose model goes on from a thought at a provider that is named."""
    return lambda: make_client(model="qwen/qwen3-30b-a3b", provider={"only": ["p"], "allow_fallbacks": False})


def within(seconds, call):
    """What `call` gives, in a thread of its own; fails where it takes longer."""
    got = []
    thread = threading.Thread(target=lambda: got.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert got, "it hangs"
    return got[0]


@pytest.mark.parametrize("of_its_own", [True, False], ids=["the same client", "another client"])
def test_whoever_looks_at_the_first_answer_may_ask_for_those_that_wait_behind_it(server, prefilling, of_its_own):
    prefilling().generate(PREFILLED[0])  # is yielded at once, while the first sample of the second goes ahead
    client = prefilling()
    stream = client.as_completed(PREFILLED, n_samples=3)

    assert next(stream).cached
    other = client if of_its_own else prefilling()
    assert len(within(10, lambda: other.generate(PREFILLED[1], n_samples=3))) == 3
    assert len(list(stream)) == 5
    assert len(server.requests) == 6


def test_a_client_closed_while_samples_wait_behind_the_first_lets_go_of_them(server, prefilling):
    prefilling().generate(PREFILLED[0])
    server.hold()
    client = prefilling()
    stream = client.as_completed(PREFILLED, n_samples=3)
    next(stream)
    server.wait_for(2)
    client.close()
    server.release()

    with pytest.raises(RolloutsError, match="closed"):
        list(stream)
    assert len(CLAIMS) == 0
