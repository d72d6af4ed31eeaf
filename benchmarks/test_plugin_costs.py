"""What plugins cost: ten no-op observers on fresh and on cached samples, and finding plugins among 300 distributions.

Limits in CPU time (`time.process_time`, so that a busy machine changes little): 25 µs a request and 8 µs a cached
sample for ten observers, 100 ms for the first discovery of a process. Run with `pytest benchmarks`.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
import time

import pytest

pytest.importorskip("pytest_benchmark")

from rollouts import RolloutsClient
from rollouts.engine.reporting import Reporter
from rollouts.events import SampleEvent
from rollouts.hookspecs import hookimpl
from rollouts.plugins import PluginManager, discovery
from rollouts.results import Response
from rollouts.testing import FakeAdapter

N = 2000
"""Samples of one run."""


class Quiet:
    """An observer of everything that does nothing."""

    @hookimpl
    def rollouts_on_run_start(self, event):
        pass

    @hookimpl
    def rollouts_on_sample(self, event):
        pass

    @hookimpl
    def rollouts_on_retry(self, event):
        pass

    @hookimpl
    def rollouts_on_run_end(self, event):
        pass


TEN = [Quiet() for _ in range(10)]
ALONE = {"ROLLOUTS_PLUGIN_AUTOLOAD": "0"}


def test_ten_observers_of_one_event(benchmark):
    manager = PluginManager(TEN, environ=ALONE)
    event = SampleEvent("run-1", Response("4"), 3)
    assert manager.has_observers("rollouts_on_sample")
    benchmark(lambda: manager.notify("rollouts_on_sample", event))


def test_no_observer_of_an_event(benchmark):
    manager = PluginManager(environ=ALONE)
    benchmark(lambda: manager.has_observers("rollouts_on_sample"))


@pytest.fixture
def seconds_of(tmp_path, monkeypatch):
    """CPU seconds of this process for one sample, with observers and without, cached or fresh."""
    monkeypatch.setenv("ROLLOUTS_PLUGIN_AUTOLOAD", "0")
    numbers = itertools.count(0, N)

    def measure(observers, *, cached):
        settings = {"cache_dir": tmp_path / "cache", "use_cache": "sql" if cached else False, "progress_bar": False}
        with RolloutsClient("fake/model", plugins=[FakeAdapter(), *observers], **settings) as client:
            seed = 0 if cached else next(numbers)
            client.generate("2+2?", n_samples=N if cached else 1, seed=seed)
            gc.collect()
            began = time.process_time()
            client.generate("2+2?", n_samples=N, seed=seed)
            return (time.process_time() - began) / N

    return measure


@pytest.mark.parametrize(("cached", "limit"), [(False, 25e-6), (True, 8e-6)], ids=["request", "cached sample"])
def test_ten_observers_cost_little(seconds_of, cached, limit, record_property):
    # Alternately, so that a machine that slows down slows both; the median forgets what disturbed one.
    pairs = [(seconds_of([], cached=cached), seconds_of(TEN, cached=cached)) for _ in range(9)]
    cost = statistics.median(with_ten - without for without, with_ten in pairs)
    record_property("microseconds", cost * 1e6)
    print(f"\nten observers cost {cost * 1e6:.1f} µs of {statistics.median(p[1] for p in pairs) * 1e6:.0f} µs")
    assert cost <= limit


@pytest.fixture
def crowded(tmp_path, monkeypatch):
    """300 distributions on `sys.path`, ten of them with plugins."""
    for i in range(300):
        info = tmp_path / f"distribution_{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: distribution-{i}\nVersion: 1.0\n" + "x\n" * 200)
        (info / "RECORD").write_text("a,b,c\n" * 100)
        group = "rollouts" if i % 30 == 0 else "console_scripts"
        (info / "entry_points.txt").write_text(f"[{group}]\nplugin-{i} = module_{i}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def test_discovery_among_300_distributions(benchmark, crowded):
    def discover():
        discovery._scans.clear()
        return discovery.installed()

    found = benchmark(discover)
    assert sum(plugin.name.startswith("plugin-") for plugin in found) == 10
    discovery._scans.clear()
    began = time.process_time()
    discovery.installed()
    assert time.process_time() - began < 0.1
    began = time.process_time()
    for _ in range(100):
        discovery.installed()
    assert time.process_time() - began < 0.01  # once per process


def test_a_sample_without_observers_builds_no_event(benchmark):
    reporter = Reporter(
        model="m", adapter="a", total=1, progress=None, notify=lambda hook, event: None, observed=lambda hook: False
    )
    job = type("Job", (), {"requests": 0, "retries": 0, "waited_for_limit": 0.0, "waited_for_retry": 0.0})()
    response = Response("4", cached=True)
    benchmark(lambda: reporter.sample(None, job, response))
