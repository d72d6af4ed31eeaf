"""Each hook through a client: when it is called, how often, on which thread, and what it gets.

The names are held: `test_every_hook_has_a_test_and_a_section` wants one test named for each hook.
"""

from __future__ import annotations

import ast
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import pluggy
import pytest

from rollouts import RolloutsClient, hookspecs
from rollouts.exceptions import SamplingError
from rollouts.hookspecs import deprecated, hookimpl
from rollouts.plugins import EVENTS, HOOKS, PluginManager
from rollouts.plugins.doubts import doubts
from rollouts.progress.none import Silent
from rollouts.testing import FakeAdapter, Reply
from rollouts.typing import AdapterSpec, Parts, Span, Spec, TemplateSpec, TransformSpec

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"


def plugin(name, function):
    """A plugin object with one hook."""
    function.__name__ = name
    return SimpleNamespace(__name__="the plugin", **{name: hookimpl(function)})


@pytest.fixture
def ask(tmp_path):
    """Ask a fake service twice with a plugin; gives what the client got."""
    clients = []

    def run(*plugins, script=("4",), prompt="2+2?", n_samples=2, times=2, model="fake/model", **settings):
        given = {"cache_dir": tmp_path / "cache", "progress_bar": False, "max_retries": 0} | settings
        client = RolloutsClient(model, plugins=[FakeAdapter(script), *plugins], **given)
        clients.append(client)
        return [client.generate(prompt, n_samples=n_samples) for _ in range(times)]

    yield run
    for client in clients:
        client.close()


def offer(hook, spec, calls):
    def register():
        calls.append(threading.current_thread())
        return [spec]

    return plugin(hook, register)


def test_rollouts_register_adapters(ask):
    calls, fake = [], FakeAdapter(["mine"])
    spec = AdapterSpec(name="mine", factory=lambda options: fake, key_required=False, http=False,
                       model_prefixes=("mine/",))  # fmt: skip
    (first, again) = ask(offer("rollouts_register_adapters", spec, calls), model="mine/model")
    assert [r.content for r in first] == ["mine", "mine"]
    assert all(r.cached for r in again)
    assert calls == [threading.main_thread()]


def test_rollouts_register_caches(ask):
    calls, made = [], []

    class Cache(dict):
        def load_many(self, keys):
            return ((key, self[key]) for key in keys if key in self)

        def store(self, key, response):
            self[key] = response

        def close(self):
            made.append("closed")

    spec = Spec(name="mine", factory=lambda options: made.append(options.cache_dir.name) or Cache())
    ask(offer("rollouts_register_caches", spec, calls), use_cache="mine", times=3)
    assert (len(calls), made) == (1, ["cache"])


def test_rollouts_register_limiters(ask):
    calls, settled = [], []

    class Limiter:
        def acquire(self, request, stop):
            return SimpleNamespace(settle=lambda outcome, usage: settled.append((outcome.kind, usage.cost)))

    spec = Spec(name="mine", factory=lambda options: Limiter())
    ask(offer("rollouts_register_limiters", spec, calls), limiter="mine")
    assert (len(calls), settled) == (1, [("ok", 0.0001)] * 2)


def test_rollouts_register_think_templates(ask):
    calls = []
    template = SimpleNamespace(open=lambda t: f"(({t}", split=lambda text, prefill: Parts(text, "", False))
    spec = TemplateSpec(name="mine", factory=lambda: template, models=("model",))
    (first, _) = ask(offer("rollouts_register_think_templates", spec, calls), prompt="2+2?\n<think>\nTwo")
    assert (first[0].prefill, first[0].thought, len(calls)) == ("((Two", "Two4", 1)


def test_rollouts_register_transforms(ask):
    calls, threads = [], set()

    def shout(response):
        threads.add(threading.current_thread())
        return type(response)(content=response.content + "!", seed=response.seed, cached=response.cached)

    spec = TransformSpec(name="mine", factory=lambda: shout, acts_on="response")
    first, again = ask(offer("rollouts_register_transforms", spec, calls), transforms=["mine"])
    assert {r.content for r in [*first, *again]} == {"4!"}
    assert (len(calls), threads) == (1, {threading.main_thread()})


def test_rollouts_register_splitters():
    calls = []
    spec = Spec(name="mine", factory=lambda: lambda text: [Span(0, len(text), text)])
    manager = PluginManager([offer("rollouts_register_splitters", spec, calls)])
    assert manager.make("splitter", "mine")("a. b.") == [Span(0, 5, "a. b.")]
    manager.make("splitter", "sentences")
    assert len(calls) == 1


def test_rollouts_register_progress(ask):
    calls, made = [], []

    class Reporter(Silent):
        def advance(self, event):
            made.append(threading.current_thread())

    spec = Spec(name="mine", factory=lambda options: made.append(options.description) or Reporter())
    ask(offer("rollouts_register_progress", spec, calls), progress="mine", progress_bar=True, times=1)
    assert (len(calls), made) == (1, ["fake/model", *[threading.main_thread()] * 2])


def test_rollouts_register_executors(ask):
    from concurrent.futures import ThreadPoolExecutor

    calls, made = [], []

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            made.append("shut down")
            super().shutdown(wait=wait, cancel_futures=cancel_futures)

    spec = Spec(name="mine", factory=lambda options: made.append(options.max_concurrency) or Pool(2))
    ask(offer("rollouts_register_executors", spec, calls), executor="mine", max_concurrency=2, use_cache=False)
    assert (len(calls), made) == (1, [2])


def test_rollouts_register_commands(ask):
    calls = []
    spec = Spec(name="mine", factory=lambda commands: commands.append("mine"))
    the_plugin = offer("rollouts_register_commands", spec, calls)
    ask(the_plugin)
    assert calls == []  # never by a client
    commands: list[str] = []
    PluginManager([the_plugin]).make("command", "mine", commands)
    assert (len(calls), commands) == (1, ["mine"])


def watch(hook):
    seen = []
    return plugin(f"rollouts_on_{hook}", lambda event: seen.append((event, threading.current_thread()))), seen


def test_rollouts_on_run_start(ask):
    the_plugin, seen = watch("run_start")
    ask(the_plugin)
    assert [(e.model, e.adapter, e.total, e.max_concurrency) for e, _ in seen] == [("fake/model", "fake", 2, 64)] * 2
    assert len({event.run_id for event, _ in seen}) == 2
    assert {thread for _, thread in seen} == {threading.main_thread()}


def test_rollouts_on_sample(ask):
    the_plugin, seen = watch("sample")
    ask(the_plugin, script={0: "4", 1: Reply(status=500, json={})}, times=2, on_error="raise", n_samples=1)
    with pytest.raises(SamplingError):
        ask(the_plugin, script={0: "4", 1: Reply(status=500, json={})}, times=1)
    assert [(e.cached, e.failed) for e, _ in seen] == [(False, False), (True, False), (True, False), (False, True)]
    assert {thread for _, thread in seen} == {threading.main_thread()}


def test_rollouts_on_retry(ask):
    the_plugin, seen = watch("retry")
    ask(the_plugin, script={0: [Reply(status=503, json={}), "4"]}, n_samples=1, max_retries=2)
    ((event, thread),) = seen
    assert (event.seed, event.attempt, event.outcome.status) == (0, 1, 503)
    assert event.wait > 0
    assert thread is not threading.main_thread()


def test_rollouts_on_run_end(ask):
    the_plugin, seen = watch("run_end")
    ask(the_plugin)
    numbers = [(e.answered, e.cached, e.failed, e.requests, e.cost, e.error) for e, _ in seen]
    assert numbers == [(2, 0, 0, 2, 0.0002, None), (0, 2, 0, 0, None, None)]


def test_every_hook_has_a_test_and_a_section():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    tested = {node.name.removeprefix("test_") for node in tree.body if isinstance(node, ast.FunctionDef)}
    specs = {name for name in vars(hookspecs) if name.startswith("rollouts_")}
    assert specs == HOOKS
    assert specs - tested == set()
    sections = {line.removeprefix("## ").strip("`") for line in DOCS.read_text(encoding="utf-8").splitlines()}
    assert specs - sections == set()


def test_every_hook_says_when_what_it_returns_whose_it_is_and_shows_an_example():
    for hook in HOOKS:
        text = getattr(hookspecs, hook).__doc__
        for part in ("When:", "Returns:", "Errors:", "Ownership:", "@hookimpl", f"def {hook}("):
            assert part in text, (hook, part)


def test_every_event_hook_takes_one_event_and_every_other_nothing():
    import inspect

    for hook in HOOKS:
        assert list(inspect.signature(getattr(hookspecs, hook)).parameters) == (["event"] if hook in EVENTS else [])


# ── How an argument goes ──


class Specs:
    """Hooks as a later version may have them."""

    @staticmethod
    @hookspecs.hookspec(warn_on_impl_args=deprecated("rollouts_on_sample", "0.3", "0.5", number="event.result.seed"))
    def rollouts_on_sample(event, number):
        pass


def test_a_plugin_that_names_a_deprecated_argument_works_on_and_its_author_is_warned():
    manager = pluggy.PluginManager("rollouts")
    manager.add_hookspecs(Specs)
    seen = []
    old = plugin("rollouts_on_sample", lambda number: seen.append(number))
    new = plugin("rollouts_on_sample", lambda event: seen.append(event))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager.register(new, name="new")
    with pytest.warns(
        DeprecationWarning, match=r"'number' is deprecated since rollouts 0\.3 and goes in 0\.5; use event"
    ):
        manager.register(old, name="old")
    manager.hook.rollouts_on_sample(event="e", number=3)
    assert sorted(map(str, seen)) == ["3", "e"]


def test_rollouts_plugins_calls_a_deprecated_argument_doubtful():
    specs = SimpleNamespace(rollouts_on_sample=Specs.rollouts_on_sample)
    assert doubts(plugin("rollouts_on_sample", lambda event: None), specs) == []
    (hint,) = doubts(plugin("rollouts_on_sample", lambda number: None), specs)
    assert "deprecated since rollouts 0.3" in hint
