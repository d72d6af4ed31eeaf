"""The limiter `shared`: in the time of a test's clock on SQLite, and for real on Redis and PostgreSQL."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts_shared.allowance import Allowance
from rollouts_shared.limiter import SharedLimiter
from rollouts_shared.plugin import make_limiter

from rollouts.engine.scopes import scope_for
from rollouts.exceptions import ConfigError, PluginError
from rollouts.results import Usage
from rollouts.testing import LoopbackServer
from rollouts.testing.clock import FakeClock, FakeStop
from rollouts.testing.contracts.cache import Child
from rollouts.testing.contracts.limiter import OK, LimiterContract, limiter_options, limiter_request
from rollouts.typing import Limiter, LimiterOptions, Outcome

KEY = "sk-canary-of-the-shared-limiter"


@pytest.fixture(params=["sqlite", "redis", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'limits.db'}"
    return str(request.getfixturevalue("redis_url" if request.param == "redis" else "postgres_url"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'limits.db'}"


def fresh(prefix: str = "test") -> str:
    """A base URL that nobody has a limit for: servers outlive a run of the tests."""
    return f"http://127.0.0.1:9/{prefix}-{uuid.uuid4().hex}"


def shared(
    url: str,
    clock: Callable[[], float],
    *,
    base_url: str,
    requests: float | None = None,
    tokens: float | None = None,
    key: str = KEY,
    name: str | None = None,
) -> SharedLimiter:
    given = {"url": url} if name is None else {"url": url, "name": name}
    return SharedLimiter(LimiterOptions(scope_for(base_url, key), 8, requests, tokens, clock, given))


# ── The contract, on each database ──────────────────────────────────────────────────────────────────────


class SharedContract(LimiterContract):
    url: str

    def make(self, options: LimiterOptions) -> Limiter:
        given = {"url": self.url, "name": fresh()}
        return make_limiter(
            LimiterOptions(
                options.scope, options.max_concurrency, options.requests_per_minute, options.tokens_per_minute,
                options.clock, given,
            )
        )  # fmt: skip


class TestSqlite(SharedContract):
    requests_per_minute = 60
    tokens_per_minute = 10_000

    @pytest.fixture(autouse=True)
    def _url(self, sqlite_url: str) -> None:
        self.url = sqlite_url


# Time on a server is real: limits that the contract's own requests do not reach.
class TestRedis(SharedContract):
    requests_per_minute = 100_000
    tokens_per_minute = 100_000_000

    @pytest.fixture(autouse=True)
    def _url(self, redis_url: str) -> None:
        self.url = redis_url


class TestPostgres(SharedContract):
    requests_per_minute = 100_000
    tokens_per_minute = 100_000_000

    @pytest.fixture(autouse=True)
    def _url(self, postgres_url: str) -> None:
        self.url = postgres_url


# ── The promise, in the time of a test's clock ──────────────────────────────────────────────────────────


def most_in_a_minute(starts: list[float]) -> int:
    return max(sum(1 for other in starts if start <= other < start + 60) for start in starts)


@pytest.mark.parametrize("rate", [0.5, 1, 2, 7, 10, 33, 60, 120])
def test_no_minute_sees_more_starts_than_allowed_and_few_are_given_away(sqlite_url: str, rate: float) -> None:
    clock, base = FakeClock(), fresh()
    stop = FakeStop(clock)
    limiters = [shared(sqlite_url, clock, base_url=base, requests=rate, key=f"key-{i}") for i in range(3)]
    starts = []
    for i in range(max(round(rate * 4), 3)):
        permit = limiters[i % 3].acquire(limiter_request(), stop)
        assert permit is not None
        starts.append(clock())
        permit.settle(OK, None)
    assert most_in_a_minute(starts) <= max(rate, 1)
    if rate < 1:
        assert starts[1] - starts[0] >= 60 / rate
    assert starts[-1] - starts[0] <= (len(starts) / rate) * 60 * 1.2


def test_what_is_granted_is_never_held_back_by_the_limit_of_the_process(sqlite_url: str) -> None:
    from rollouts.limiters.per_minute import PerMinute

    clock, base = FakeClock(), fresh()
    stop = FakeStop(clock)
    for rate in (1, 5, 60, 100, 250):
        limiter = shared(sqlite_url, clock, base_url=f"{base}/{rate}", requests=rate)
        local = PerMinute(limiter_options(clock, scope=f"local-{rate}", requests_per_minute=rate))
        for _ in range(rate * 3):
            assert limiter.acquire(limiter_request(), stop) is not None
            granted = clock()
            permit = local.acquire(limiter_request(), stop)
            assert permit is not None
            assert clock() == pytest.approx(granted, abs=0.02)
            permit.settle(OK, None)


def test_different_numbers_count_the_same_starts(sqlite_url: str) -> None:
    clock, base = FakeClock(), fresh()
    stop = FakeStop(clock)
    fast = shared(sqlite_url, clock, base_url=base, requests=600, key="a")
    slow = shared(sqlite_url, clock, base_url=base, requests=10, key="b")
    for _ in range(30):
        assert fast.acquire(limiter_request(), stop) is not None
    began = clock()
    assert slow.acquire(limiter_request(), stop) is not None
    assert clock() - began > 5


@pytest.mark.parametrize("differs", ["base_url", "name"])
def test_other_services_and_other_names_are_other_limits(sqlite_url: str, differs: str) -> None:
    clock, base = FakeClock(), fresh()
    stop = FakeStop(clock)
    for number in range(5):
        limiter = shared(
            sqlite_url, clock, requests=1,
            base_url=f"{base}/{number}" if differs == "base_url" else base,
            name=str(number) if differs == "name" else "one",
        )  # fmt: skip
        assert limiter.acquire(limiter_request(), stop) is not None
    assert clock() == FakeClock()()


def test_tokens_a_minute_are_counted_by_what_requests_are_likely_to_cost(sqlite_url: str) -> None:
    clock, base = FakeClock(), fresh()
    stop = FakeStop(clock)
    limiters = [shared(sqlite_url, clock, base_url=base, tokens=10_000, key=f"{i}") for i in range(2)]
    spent: list[tuple[float, float]] = []
    request = limiter_request(max_tokens=700)
    cost = len(request.canonical) / 4 + 700
    for i in range(60):
        permit = limiters[i % 2].acquire(request, stop)
        assert permit is not None
        spent.append((clock(), cost))
        permit.settle(OK, None)
    for start, _ in spent:
        assert sum(tokens for at, tokens in spent if start <= at < start + 60) <= 10_000
    assert spent[-1][0] - spent[0][0] <= 60 * cost / 10_000 * 60 * 1.3


def test_requests_that_turn_out_dear_are_paid_later(sqlite_url: str) -> None:
    clock, stop_base = FakeClock(), fresh()
    stop = FakeStop(clock)
    limiter = shared(sqlite_url, clock, base_url=stop_base, tokens=10_000)
    request = limiter_request(max_tokens=100)
    permit = limiter.acquire(request, stop)
    assert permit is not None
    permit.settle(OK, Usage(total_tokens=9_950))
    began = clock()
    for _ in range(2):
        permit = limiter.acquire(request, stop)
        assert permit is not None
        permit.settle(OK, Usage(total_tokens=150))
    assert clock() - began > 50


def test_unsent_requests_cost_no_tokens(sqlite_url: str) -> None:
    clock = FakeClock()
    stop = FakeStop(clock)
    limiter = shared(sqlite_url, clock, base_url=fresh(), tokens=10_000)
    for _ in range(50):
        permit: Any = limiter.acquire(limiter_request(max_tokens=5_000), stop)
        permit.cancel()
    assert clock() == FakeClock()()


def test_a_request_larger_than_the_limit_starts_when_nothing_else_did(sqlite_url: str) -> None:
    clock = FakeClock()
    stop = FakeStop(clock)
    limiter = shared(sqlite_url, clock, base_url=fresh(), tokens=1_000)
    starts = []
    for _ in range(3):
        permit = limiter.acquire(limiter_request(max_tokens=50_000), stop)
        assert permit is not None
        starts.append(clock())
        permit.settle(OK, None)
    assert [later - sooner > 60 for sooner, later in itertools.pairwise(starts)] == [True, True]


def test_no_more_is_given_back_than_was_taken(sqlite_url: str) -> None:
    clock = FakeClock()
    stop = FakeStop(clock)
    limiter = shared(sqlite_url, clock, base_url=fresh(), tokens=1_000)
    for _ in range(3):
        permit = limiter.acquire(limiter_request(max_tokens=50_000), stop)
        assert permit is not None
        permit.settle(Outcome("retryable", status=503), None)  # nothing was spent
    assert clock() == FakeClock()()
    permit = limiter.acquire(limiter_request(max_tokens=900), stop)
    assert permit is not None
    permit.settle(OK, None)
    assert limiter.acquire(limiter_request(max_tokens=900), stop) is not None
    assert clock() - FakeClock()() > 60


def test_after_a_restart_of_the_machine_nobody_waits_longer_than_a_window(sqlite_url: str) -> None:
    before = FakeClock(5_000_000.0)
    base = fresh()
    limiter = shared(sqlite_url, before, base_url=base, requests=1)
    assert limiter.acquire(limiter_request(), FakeStop(before)) is not None
    after = FakeClock(10.0)
    limiter = shared(sqlite_url, after, base_url=base, requests=1, key="after")
    assert limiter.acquire(limiter_request(), FakeStop(after)) is not None
    assert 60 < after() - 10 < 70


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "give", "owe"]), st.floats(0.1, 50), st.floats(0, 0.7)),
        max_size=40,
    )
)
@settings(deadline=None)
def test_no_more_is_used_than_was_taken_and_nothing_after_its_time(steps: list[tuple[str, float, float]]) -> None:
    allowance, now, taken, used, last = Allowance(), 0.0, 0.0, 0.0, [(0.0, math.inf)]
    for what, amount, passed in steps:
        now += passed
        if what == "take":
            missing = allowance.missing(amount, now)
            if missing:
                taken += math.ceil(missing)
                allowance.add(math.ceil(missing), now + 1)
            part, until = allowance.use(amount)
            assert part == pytest.approx(amount)
            assert until >= now
            used += part
            last.append((part, until))
        elif what == "give" and len(last) > 1:
            back, until = last.pop()
            if until >= now:
                used -= back
            allowance.give_back(back, until)
        elif what == "owe":
            allowance.owe(amount, most=100)
    assert used <= taken + 1e-6


# ── On each database, for real ──────────────────────────────────────────────────────────────────────────


def test_a_wait_ends_with_the_run(url: str) -> None:
    limiter = shared(url, time.monotonic, base_url=fresh(), requests=1)
    stop = threading.Event()
    assert limiter.acquire(limiter_request(), stop) is not None
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(limiter.acquire(limiter_request(), stop))) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(20)
    assert got == [None] * 4


def test_no_key_and_no_address_can_be_read_from_the_database(url: str, tmp_path: Path) -> None:
    limiter = shared(url, time.monotonic, base_url=fresh("canary"), requests=60, tokens=1000, name="canary")
    assert limiter.acquire(limiter_request(), threading.Event()) is not None
    if url.startswith("sqlite"):
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("limits.db*")).decode("latin-1")
    elif url.startswith("redis"):
        from redis import Redis

        with Redis.from_url(url) as client:
            stored = repr(
                [(key, client.zrange(key, 0, -1), client.pttl(key)) for key in client.scan_iter("rollouts:*")]
            )
            assert all(client.pttl(key) > 0 for key in client.scan_iter("rollouts:*"))
    else:
        import psycopg

        with psycopg.connect(url) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'ratelimit%'").fetchall()
            rows = [connection.execute(f"SELECT * FROM {table}").fetchall() for (table,) in tables]  # type: ignore[arg-type]
            stored = repr((tables, rows))
    assert "rollouts" in stored
    assert "canary" not in stored


def test_connections_that_break_are_made_again(url: str) -> None:
    limiter = shared(url, time.monotonic, base_url=fresh(), requests=60)
    stop = threading.Event()
    assert limiter.acquire(limiter_request(), stop) is not None
    if url.startswith("redis"):
        from redis import Redis

        with Redis.from_url(url) as client:
            client.script_flush()
            client.client_kill_filter(_type="normal", skipme=True)
    elif url.startswith("postgres"):
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rollouts-shared'"
            )
    assert limiter.acquire(limiter_request(), stop) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_shares_the_limit_over_a_connection_of_its_own(url: str) -> None:
    limiter = shared(url, time.monotonic, base_url=fresh(), requests=40)
    stop = threading.Event()
    for _ in range(3):
        assert limiter.acquire(limiter_request(), stop) is not None

    def work(say: Callable[[int], None]) -> None:
        assert limiter.acquire(limiter_request(), stop) is not None
        timer = threading.Timer(0.2, stop.set)  # the four starts that come at once are used up
        timer.start()
        say(0 if limiter.acquire(limiter_request(), stop) is None else 1)

    child = Child(work)
    assert child.hear() == 0
    child.wait()
    stop.set()
    assert limiter.acquire(limiter_request(), stop) is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://canary:p4ss@127.0.0.1:1/0", "postgresql://canary:p4ss@127.0.0.1:1/db", "sqlite:////proc/none/limits.db",
    ],
)  # fmt: skip
def test_a_database_that_stays_away_stops_the_run_and_shows_no_password(url: str) -> None:
    clock = FakeClock()
    limiter = shared(url, clock, base_url=fresh(), requests=60)
    with pytest.raises(PluginError, match="could not be asked for 30 s") as caught:
        limiter.acquire(limiter_request(), FakeStop(clock))
    assert clock() - 1000 >= 30
    shown = f"{caught.value!s} {caught.value.__cause__!r} {limiter!r}"
    assert "p4ss" not in shown
    assert "canary" not in shown
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "given",
    [
        {}, {"url": 1}, {"url": "mysql://h/p4ss"}, {"url": "sqlite://host/p4ss"}, {"url": "sqlite://"},
        {"url": "redis://:p4ss#x@h"}, {"url": "redis://h:p4ss/0"}, {"url": "redis://h", "name": 1},
        {"url": "redis://h", "windows": 1},
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(given: dict[str, Any]) -> None:
    options = LimiterOptions(scope_for(fresh(), None), 8, 60, None, FakeClock(), given)
    with pytest.raises(ConfigError) as caught:
        make_limiter(options)
    assert "p4ss" not in str(caught.value)


def test_without_a_limit_there_is_nothing_to_share() -> None:
    with pytest.raises(ConfigError, match="give requests_per_minute or tokens_per_minute"):
        shared("redis://h", FakeClock(), base_url=fresh())


# ── Many processes, as the service sees them ────────────────────────────────────────────────────────────

SENDERS = """
    import os, sys, threading, time, urllib.request
    from rollouts.engine.scopes import scope_for
    from rollouts.testing.contracts.limiter import OK, limiter_request
    from rollouts.typing import LimiterOptions
    from rollouts_shared.limiter import SharedLimiter
    database, name, server, rate, n = sys.argv[1:]
    options = LimiterOptions(scope_for("http://service", str(os.getpid())), 8, float(rate), None, time.monotonic,
                             {"url": database, "name": name})
    limiter = SharedLimiter(options, window=1.0)
    stop, request = threading.Event(), limiter_request()
    def send():
        for _ in range(int(n)):
            permit = limiter.acquire(request, stop)
            urllib.request.urlopen(urllib.request.Request(server + "/completions", b"{}")).read()
            permit.settle(OK, None)
    threads = [threading.Thread(target=send) for _ in range(8)]
    print("ready", flush=True)
    sys.stdin.readline()
    for t in threads: t.start()
    for t in threads: t.join()
"""


@pytest.mark.slow
def test_four_processes_of_eight_threads_share_one_limit(url: str) -> None:
    rate = 40  # in one second, which is counted as three; four processes for themselves would send 64
    with LoopbackServer() as server:
        command = [sys.executable, "-c", textwrap.dedent(SENDERS), url, fresh(), server.url, str(rate), "2"]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            child.communicate(timeout=120)
            assert child.returncode == 0
        arrived = sorted(request.received for request in server.requests)
    assert len(arrived) == 64
    most = max(sum(1 for other in arrived if start <= other < start + 1.0) for start in arrived)
    assert most <= rate


def test_a_killed_process_holds_nobody_up(url: str) -> None:
    with LoopbackServer() as server:
        name = fresh()
        command = [sys.executable, "-c", textwrap.dedent(SENDERS), url, name, server.url, "20"]
        with subprocess.Popen([*command, "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
            server.wait_for(10, 60)
            child.kill()
        server.reset()
        done = subprocess.run([*command, "1"], input="\n", text=True, timeout=120)
        assert done.returncode == 0
        assert len(server.requests) >= 8


PROGRAM = """
    import sys
    from rollouts import RolloutsClient
    base_url, database, seed = sys.argv[1:]
    with RolloutsClient("test/model", base_url=base_url, adapter="openai-compatible", api_key="sk-canary",
                        use_cache=False, progress_bar=False, requests_per_minute=120, limiter="shared",
                        limiter_options={"url": database}) as client:
        client.generate("What is 2 + 2?", n_samples=6, seed=int(seed))
"""


@pytest.mark.slow
def test_clients_in_several_processes_share_one_limit(sqlite_url: str) -> None:
    with LoopbackServer() as server:
        children = [
            subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROGRAM), server.url, sqlite_url, str(10 * i)])
            for i in range(3)
        ]
        assert [child.wait(120) for child in children] == [0, 0, 0]
        arrived = sorted(request.received for request in server.requests)
    assert len(arrived) == 18
    # 120 a minute: 12 at once, and 12 more after 62/109 · 12 = 6.8 s; the first may be a little late.
    assert max(sum(1 for other in arrived if start <= other < start + 5.5) for start in arrived) <= 12
