"""A cache of a user's own that gives the very objects it was given."""

from dataclasses import replace


class InMemory:
    def __init__(self):
        self.kept = {}

    def load_many(self, keys):
        for key in keys:
            if key in self.kept:
                yield key, self.kept[key]

    def store(self, key, response):
        self.kept.setdefault(key, response)

    def close(self):
        pass


def test_a_later_call_changes_nothing_in_the_result_of_an_earlier_one(server, make_client):
    client = make_client(use_cache=InMemory())
    first = client.generate_many(["One", "Two"], 2)
    second = client.generate_many(["Two", "One"], 2)
    third = client.generate("Two", n_samples=2, seed=1)

    assert len(server.requests) == 5
    for results in (first, second):
        assert [[(r.prompt_index, r.index) for r in rollouts] for rollouts in results] == [
            [(0, 0), (0, 1)],
            [(1, 0), (1, 1)],
        ]
    assert [r.index for r in third] == [0, 1]


def test_an_error_that_it_holds_is_no_answer(server, make_client):
    cache = InMemory()
    client = make_client(use_cache=cache)
    client.generate("Hello")
    cache.kept = {key: replace(response, finish_reason="error") for key, response in cache.kept.items()}

    assert client.generate("Hello")[0].finish_reason == "stop"
    assert len(server.requests) == 2


def test_what_comes_from_it_is_marked_as_cached(make_client):
    client = make_client(use_cache=InMemory())
    (sent,) = client.generate("Hello")
    (kept,) = client.generate("Hello")

    assert (sent.cached, kept.cached) == (False, True)
