"""`executor=` given a thread pool of the caller's: its threads run the worker loops, and it stays the caller's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import RolloutsError
from rollouts.testing import FakeAdapter


def ask(pool, fake, n_samples=20, **settings):
    with RolloutsClient(
        "fake/model", plugins=[fake], executor=pool, use_cache=False, progress_bar=False, **settings
    ) as client:
        return client.generate("2+2?", n_samples=n_samples)


class Watching(FakeAdapter):
    """Notes who sends, and how many at once."""

    def __init__(self):
        super().__init__()
        self.threads, self.now, self.most, self.counting = set(), 0, 0, threading.Lock()

    def send(self, request, number, stop):
        with self.counting:
            self.threads.add(threading.current_thread().name)
            self.now += 1
            self.most = max(self.most, self.now)
        stop.wait(0.001)
        with self.counting:
            self.now -= 1
        return super().send(request, number, stop)


def test_its_threads_send_at_most_as_many_as_it_has_and_it_is_not_shut_down():
    fake = Watching()
    with ThreadPoolExecutor(3, thread_name_prefix="mine") as pool:
        assert len(ask(pool, fake)) == 20
        assert {name[:4] for name in fake.threads} == {"mine"}
        assert fake.most <= 3
        assert pool.submit(pow, 2, 5).result() == 32  # after the client is closed


def test_max_concurrency_holds_in_a_larger_pool():
    fake = Watching()
    with ThreadPoolExecutor(16) as pool:
        ask(pool, fake, max_concurrency=2)
    assert fake.most <= 2


def test_two_clients_may_share_one_pool():
    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(2) as callers:
        done = [callers.submit(ask, pool, FakeAdapter(), 30) for _ in range(2)]
        assert [len(future.result(30)) for future in done] == [30, 30]


def test_a_pool_that_is_shut_down_is_told_and_nothing_hangs():
    pool = ThreadPoolExecutor(2)
    pool.shutdown()
    for _ in range(2):
        with pytest.raises(RolloutsError, match=r"starts no workers.*[Ww]as it shut down"):
            ask(pool, FakeAdapter())
