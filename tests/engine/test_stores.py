"""What becomes of answers that a cache cannot keep, when many come at once."""

import threading

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import CacheError, RolloutsWarning
from rollouts.testing import LoopbackServer


class Refusing:
    """A cache that refuses what `refuses` says, after all answers to come have gathered behind the first."""

    def __init__(self, refuses):
        self.refuses = refuses
        self.tries = 0
        self.kept = {}
        self.first = threading.Event()

    def load_many(self, keys):
        return iter([(key, self.kept[key]) for key in keys if key in self.kept])

    def store(self, key, response):
        self.tries += 1
        if self.refuses(key.number):
            raise CacheError("database is locked")
        self.kept.setdefault(key, response)

    def store_many(self, pairs):
        self.first.wait(1)  # the leader's first batch is small; what comes meanwhile is the next one
        self.tries += 1
        if any(self.refuses(key.number) for key, _ in pairs):
            raise CacheError("database is locked")
        for key, response in pairs:
            self.kept.setdefault(key, response)

    def close(self):
        pass


def generate(cache, n):
    with LoopbackServer() as server:
        client = RolloutsClient(
            "m", base_url=server.url, api_key="sk-x", adapter="openrouter", progress_bar=False, use_cache=cache
        )
        gathered = threading.Timer(0.3, cache.first.set)
        gathered.start()
        try:
            return client.generate("Hello", n_samples=n)
        finally:
            client.close()
            gathered.join()


def test_a_storage_that_takes_nothing_is_not_tried_anew_for_each_answer(monkeypatch):
    monkeypatch.setattr("rollouts.engine.stores.SLOW", 0.0)
    cache = Refusing(lambda number: True)  # each try may wait a minute for a lock
    with pytest.warns(RolloutsWarning, match="database is locked"):
        rollouts = generate(cache, 200)

    assert len(rollouts) == 200
    assert cache.tries < 20


@pytest.mark.parametrize("bad", [{70}, set(range(0, 100, 3))], ids=["one", "every third"])
def test_answers_that_cannot_be_kept_cost_the_others_nothing(bad):
    cache = Refusing(lambda number: number in bad)
    with pytest.warns(RolloutsWarning, match="cannot keep answers"):
        rollouts = generate(cache, 100)

    assert len(rollouts) == 100
    assert sorted(key.number for key in cache.kept) == [n for n in range(100) if n not in bad]
