"""What every sample passes, each alone. Run with `pytest benchmarks`; no part of the test suite."""

from __future__ import annotations

import itertools
import json

import pytest

pytest.importorskip("pytest_benchmark")

from rollouts.engine.budget import Budget
from rollouts.engine.limits import Limiters
from rollouts.engine.scopes import park_of
from rollouts.engine.stopping import StopSignal
from rollouts.identity import SampleRequest
from rollouts.limiters.adaptive import Adaptive
from rollouts.limiters.per_minute import PerMinute
from rollouts.outcome import classify
from rollouts.results import Usage
from rollouts.testing.clock import FakeClock
from rollouts.testing.contracts.limiter import limiter_options, limiter_request
from rollouts.typing import Outcome, WireReply

OK = Outcome("ok", status=200)
USAGE = Usage(24, 420, 444, cost=0.000126)
REQUEST = limiter_request(max_tokens=4096)
ANSWER = json.dumps(
    {
        "id": "gen-1",
        "model": "m",
        "provider": "Loopback",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"content": "4 " * 600, "reasoning": "2 and 2 " * 100}}
        ],
        "usage": {"prompt_tokens": 24, "completion_tokens": 420, "total_tokens": 444, "cost": 0.000126},
    }
).encode()


def cycle(limiter):
    stop = StopSignal()

    def once():
        limiter.acquire(REQUEST, stop).settle(OK, USAGE)

    return once


def test_adaptive_unlimited(benchmark):
    benchmark(cycle(Adaptive(limiter_options(FakeClock()))))


def test_per_minute_without_a_limit(benchmark):
    benchmark(cycle(PerMinute(limiter_options(FakeClock()))))


def test_per_minute_far_below_its_limits(benchmark):
    ticks = itertools.count()
    options = limiter_options(lambda: next(ticks) * 1.0, requests_per_minute=600, tokens_per_minute=10_000_000)
    benchmark(cycle(PerMinute(options)))


def test_all_default_limits_together(benchmark):
    options = limiter_options(FakeClock())
    parts = [Adaptive(options), PerMinute(options)]
    benchmark(cycle(Limiters(parts, park_of(options.scope), options.clock)))


def test_budget(benchmark):
    budget = Budget(max_cost=1e9, max_total_tokens=10**15)
    benchmark(lambda: budget.reserve(REQUEST).settle(USAGE))


def test_identity_of_a_prompt(benchmark):
    wire = REQUEST.wire
    benchmark(lambda: SampleRequest(adapter="test", service="test", model="m", wire=wire))


def test_classify_an_answer(benchmark):
    benchmark(lambda: classify(WireReply(200, {"content-type": "application/json"}, ANSWER)))
