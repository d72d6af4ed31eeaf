"""Limits and budgets as a user meets them: the client, a real server, and the server's own record of what came."""

import itertools
import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor

import pytest

import rollouts
from rollouts.engine.scopes import scope_for
from rollouts.exceptions import BudgetExceeded, ConfigError, RateLimitError, RolloutsWarning
from rollouts.limiters.per_minute import PerMinute
from rollouts.testing import LoopbackServer, Reply, chat_reply
from rollouts.testing.contracts.limiter import limiter_request
from rollouts.typing import LimiterOptions


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


def client_of(server, **settings):
    settings = {"api_key": "test-key", "use_cache": False, "progress_bar": False, **settings}
    return rollouts.RolloutsClient("test/model", base_url=server.url, **{"adapter": "openrouter", **settings})


def costing(dollars):
    usage = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100, "cost": dollars}
    return lambda request: Reply(json=chat_reply(usage=usage))


def test_a_budget_in_dollars_stops_admitting_and_the_partial_result_is_carried(server):
    server.reply = costing(0.01)
    with client_of(server, max_cost=0.1) as client, pytest.raises(BudgetExceeded, match=r"max_cost=\$0\.1") as raised:
        client.generate("2 + 2?", n_samples=50)
    assert len(server.requests) == 10
    assert len(raised.value.rollouts) == 10
    assert {failure.kind for failure in raised.value.rollouts.failures} == {"not_sent"}


def test_a_budget_in_tokens_holds_for_a_service_that_states_no_cost(server):
    usage = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}
    server.reply = lambda request: Reply(json=chat_reply(usage=usage))
    with (
        client_of(server, adapter="openai-compatible", max_total_tokens=2000, max_tokens=90) as client,
        pytest.raises(BudgetExceeded, match="max_total_tokens"),
    ):
        client.generate("2 + 2?", n_samples=100)
    assert 10 <= len(server.requests) <= 20


def test_a_budget_that_nobody_can_keep_is_refused_before_anything_is_sent(server):
    with (
        client_of(server, adapter="openai-compatible", max_cost=1.0) as client,
        pytest.raises(ConfigError, match="max_total_tokens"),
    ):
        client.generate("2 + 2?")
    assert server.requests == []


def test_a_refusal_of_one_request_parks_every_worker_of_the_key(server):
    turns, refused = itertools.count(), []

    def reply(request):
        if next(turns) == 0:
            refused.append(request)
            return Reply(
                status=429, json={"error": {"code": 429, "message": "slow down"}}, headers={"Retry-After": "1"}
            )
        return Reply(json=chat_reply(), delay=0.3)  # the other worker is free only after the refusal came

    server.reply = reply
    with client_of(server, max_concurrency=2) as client:
        client.generate("2 + 2?", n_samples=5)
    beside, *later = sorted(request.received for request in server.requests if request is not refused[0])
    assert len(later) == 4
    assert min(later) - refused[0].received >= 1
    assert beside - refused[0].received < 1


def test_a_storm_of_refusals_ends_as_an_error_and_not_as_a_hang(server):
    server.reply = lambda request: Reply(
        status=429, json={"error": {"code": 429, "message": "slow down"}}, headers={"Retry-After": "0"}
    )
    with client_of(server, max_retries=1, max_concurrency=4, on_error="keep") as client, pytest.warns(RolloutsWarning):
        result = client.generate("2 + 2?", n_samples=4)
    assert [type(failure.error) for failure in result.failures] == [RateLimitError] * 4


class GivesUp:
    """A stop whose first wait ends it; keeps how long that was to be."""

    waited = None

    def is_set(self):
        return self.waited is not None

    def waiter(self):
        return self

    def wait(self, timeout):
        self.waited = timeout
        return True


def wait_under(r, server):
    """How long a request under `requests_per_minute=r` would now have to wait; None where it need not."""
    options = LimiterOptions(scope_for(server.url, "test-key"), 8, r, None, time.monotonic)
    stop = GivesUp()
    PerMinute(options).acquire(limiter_request(), stop)
    return stop.waited


@pytest.mark.parametrize("limiter", ["adaptive", "none", "per-minute"])
def test_what_a_client_without_a_limit_sends_counts_for_one_with_a_limit(server, limiter):
    with client_of(server, limiter=limiter) as client:
        client.generate("2 + 2?", n_samples=20)
    assert wait_under(30, server) > 30


def test_a_limit_named_twice_is_charged_once(server):
    with client_of(server, limiter="per-minute", requests_per_minute=40) as client:
        client.generate("2 + 2?", n_samples=2)
    assert wait_under(40, server) is None


@pytest.mark.slow
def test_no_window_of_sixty_seconds_sees_more_than_r_requests_with_two_clients_and_a_burst_after_idling(server):
    r = 120
    with (
        client_of(server, requests_per_minute=r, max_concurrency=8) as one,
        client_of(server, requests_per_minute=r, max_concurrency=8) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        one.generate("idle after this", n_samples=3)
        for _ in range(2):  # the second pair begins with whatever the first left
            list(pool.map(lambda client: client.generate("2 + 2?", n_samples=32), (one, other)))
    starts = sorted(request.received for request in server.requests)
    assert len(starts) == 3 + 4 * 32
    assert starts[-1] - starts[0] > 60
    assert max(i + 1 - bisect_left(starts, end - 60) for i, end in enumerate(starts)) <= r
