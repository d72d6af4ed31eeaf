"""The manager of one client: order, objects given by hand, observers, choice of adapter and template."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from rollouts import hookspecs
from rollouts.exceptions import ConfigError, PluginError
from rollouts.hookspecs import hookimpl
from rollouts.plugins import DEFAULT_PLUGINS, EVENTS, HOOKS, PluginManager, plugin_manager, wire_model
from rollouts.typing import AdapterSpec, ExecutorOptions, Spec, TemplateSpec

DEFAULTS_ONLY = {"ROLLOUTS_PLUGIN_AUTOLOAD": "0"}


def manager(*plugins, environ=None):
    return PluginManager(plugins, environ=DEFAULTS_ONLY if environ is None else environ)


class Caches:
    def __init__(self, *names, override=False, factory=lambda options: options):
        self.specs = [Spec(name=name, factory=factory, override=override) for name in names]

    @hookimpl
    def rollouts_register_caches(self):
        return self.specs


class Observer:
    def __init__(self, act):
        self.act = act

    @hookimpl
    def rollouts_on_sample(self, event):
        self.act(event)


def test_the_defaults_are_the_entry_points_of_the_project():
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.exists():
        declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"]["rollouts"]
    else:  # tests of an installed wheel, without the sources
        entries = importlib.metadata.distribution("rollouts").entry_points.select(group="rollouts")
        declared = {entry.name: entry.value for entry in entries}
    assert declared == DEFAULT_PLUGINS


def test_every_default_is_sound():
    report = [plugin for plugin in manager().report() if plugin.default]
    assert {plugin.name: (plugin.state, plugin.error, plugin.hints) for plugin in report} == {
        name: ("ok", None, ()) for name in DEFAULT_PLUGINS
    }
    assert all(plugin.kinds for plugin in report)


def test_things_come_in_the_order_defaults_then_objects_given():
    specs = manager(Caches("second"), Caches("third")).specs("cache")
    assert specs[0].name == "json"
    assert [spec.name for spec in specs][-2:] == ["second", "third"]


def test_observers_are_told_in_the_order_of_registration():
    told = []
    m = manager(*(Observer(lambda event, i=i: told.append(i)) for i in range(5)))
    m.notify("rollouts_on_sample", object())
    assert told == [0, 1, 2, 3, 4]


def test_an_observer_that_wants_to_be_first_or_last_is():
    told = []

    class First:
        @hookimpl(tryfirst=True)
        def rollouts_on_sample(self):
            told.append("first")

    class Last:
        @hookimpl(trylast=True)
        def rollouts_on_sample(self, event):
            told.append("last")

    m = manager(Last(), Observer(lambda event: told.append("middle")), First())
    m.notify("rollouts_on_sample", object())
    assert told == ["first", "middle", "last"]


def test_an_observer_that_raises_costs_the_others_nothing_and_is_logged_once(caplog):
    told = []
    m = manager(Observer(lambda event: 1 / 0), Observer(told.append))
    with caplog.at_level(logging.WARNING, logger="rollouts"):
        for i in range(3):
            m.notify("rollouts_on_sample", i)
    assert told == [0, 1, 2]
    assert len([record for record in caplog.records if "ZeroDivisionError" in record.getMessage()]) == 1
    assert any("ZeroDivisionError" in hint for plugin in m.report() for hint in plugin.hints)


def test_ctrl_c_in_an_observer_passes():
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manager(Observer(interrupt)).notify("rollouts_on_sample", object())


def test_whether_anybody_observes():
    m = manager(Observer(print))
    assert m.has_observers("rollouts_on_sample")
    assert not m.has_observers("rollouts_on_retry")
    with pytest.raises(ValueError, match="no event hook"):
        m.has_observers("rollouts_on_sampel")


def test_two_clients_do_not_share_their_plugins():
    with_cache, without = manager(Caches("mine")), manager()
    assert with_cache.spec("cache", "mine").name == "mine"
    with pytest.raises(ConfigError, match="use_cache='mine'"):
        without.spec("cache", "mine")


def test_a_module_can_be_given_as_a_plugin():
    module = types.ModuleType("my_study")
    module.rollouts_register_caches = hookimpl(lambda: [Spec(name="mine", factory=dict)])
    module.rollouts_register_caches.__name__ = "rollouts_register_caches"
    m = manager(module)
    assert m.make("cache", "mine") == {}
    assert [plugin.name for plugin in m.report()][-1] == "my_study"


def test_an_object_given_that_is_broken_is_an_error_at_once():
    class Broken:
        @hookimpl
        def rollouts_on_sample(self, event, moon):
            pass

    with pytest.raises(PluginError, match=r"'Broken' .given to the client. is broken"):
        manager(Broken()).specs("limiter")


def test_an_object_given_twice_is_registered_once():
    caches = Caches("mine")
    assert [spec.name for spec in manager(caches, caches).specs("cache")].count("mine") == 1


def test_a_default_may_be_overridden_by_an_object_that_says_so():
    assert manager(Caches("json", override=True, factory=lambda: "mine")).make("cache", "json") == "mine"
    with pytest.raises(PluginError, match="claimed by the plugins 'cache-json' of rollouts"):
        manager(Caches("json")).spec("cache", "json")


def test_a_factory_that_fails_is_named_with_its_plugin():
    def fail(options):
        raise OSError("no disk")

    with pytest.raises(PluginError, match=r"cache 'mine' of plugin 'Caches'.*OSError: no disk") as caught:
        manager(Caches("mine", factory=fail)).make("cache", "mine", None)
    assert isinstance(caught.value.__cause__, OSError)


def test_our_own_errors_come_out_of_a_factory_as_they_are():
    def fail(options):
        raise ConfigError("no such backend")

    with pytest.raises(ConfigError, match="no such backend"):
        manager(Caches("mine", factory=fail)).make("cache", "mine", None)


def test_a_name_of_a_first_party_plugin_says_what_to_install():
    with pytest.raises(ConfigError, match="rollouts-dask"):
        manager().spec("executor", "dask")
    with pytest.raises(ConfigError, match="rollouts-local"):
        manager().adapter_for("local/smollm2-135m-instruct")


def test_a_thing_that_is_no_name_is_refused():
    with pytest.raises(ConfigError, match="by its name, not by a dict"):
        manager().spec("executor", {})


def test_the_threads_executor_runs_work():
    with manager().make("executor", "threads", ExecutorOptions(max_concurrency=2)) as executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]


# ── Choice ──────────────────────────────────────────────────────────────────────────────────────────────


class Adapters:
    @hookimpl
    def rollouts_register_adapters(self):
        return [
            AdapterSpec(
                name="acme", factory=dict, hosts=("api.acme.example", "127.0.0.1:11434"), model_prefixes=("acme/",)
            ),
            AdapterSpec(name="acme-raw", factory=dict, model_prefixes=("acme/raw/",)),
        ]


@pytest.mark.parametrize(
    ("model", "base_url", "adapter", "chosen"),
    [
        ("qwen/qwen3-8b", None, None, "openrouter"),
        ("qwen/qwen3-8b", "https://openrouter.ai/api/v1", None, "openrouter"),
        ("qwen/qwen3-8b", "http://127.0.0.1:8000/v1", None, "openai-compatible"),
        ("m", "https://user:pw@API.acme.example:443/v1?x=1", None, "acme"),
        ("m", "http://127.0.0.1:11434/v1", None, "acme"),
        ("acme/m", None, None, "acme"),
        ("acme/raw/m", None, None, "acme-raw"),
        ("acme/m", "http://127.0.0.1:8000/v1", None, "acme"),
        ("acme/m", "https://api.acme.example/v1", "openrouter", "openrouter"),
    ],
)
def test_the_adapter_is_chosen_by_name_then_url_then_prefix(model, base_url, adapter, chosen):
    assert manager(Adapters()).adapter_for(model, base_url, adapter).name == chosen


def test_an_unknown_adapter_is_answered_with_the_list():
    with pytest.raises(
        ConfigError, match=r"adapter='openruoter'.*openai-compatible, openrouter.*Did you mean 'openrouter'"
    ):
        manager().adapter_for("m", None, "openruoter")


def test_the_prefix_that_chose_the_adapter_is_taken_off():
    spec = manager(Adapters()).adapter_for("acme/raw/m")
    assert wire_model(spec, "acme/raw/m") == "m"
    assert wire_model(spec, "other/m") == "other/m"


class Templates:
    @hookimpl
    def rollouts_register_think_templates(self):
        return [TemplateSpec(name="brackets", factory=lambda: "[]", models=("*/qwen3-special*",))]


def test_the_longest_pattern_chooses_the_template():
    m = manager(Templates())
    assert m.template_for("qwen/Qwen3-Special-8b").name == "brackets"
    assert m.template_for("qwen/qwen3-8b").name == "think-tags"


def test_a_template_by_name_or_object_wins():
    m, own = manager(Templates()), object()
    assert m.template_for("qwen/qwen3-8b", "brackets").template == "[]"
    assert m.template_for("qwen/qwen3-8b", own).template is own
    with pytest.raises(ConfigError, match="template='braces'"):
        m.template_for("qwen/qwen3-8b", "braces")


def test_an_unknown_model_is_not_guessed_to_think():
    choice = manager().template_for("acme/never-heard-of")
    assert (choice.name, choice.warning) == ("none", None)
    assert choice.template.split("a</think>b", None).content == "a</think>b"


def test_an_unknown_model_with_a_thought_injected_takes_tags_and_says_so():
    choice = manager().template_for("acme/never-heard-of", injecting=True)
    assert choice.name == "think-tags"
    assert "acme/never-heard-of" in choice.warning
    assert manager().template_for("qwen/qwen3-8b", injecting=True).warning is None


# ── Our own hooks ───────────────────────────────────────────────────────────────────────────────────────


def test_every_hook_is_known_to_the_manager():
    specified = {name for name in vars(hookspecs) if name.startswith("rollouts_")}
    assert specified == HOOKS
    assert set(EVENTS) <= HOOKS


@pytest.mark.parametrize(("name", "target"), DEFAULT_PLUGINS.items())
def test_a_default_offers_the_kind_that_its_name_begins_with_and_observes_nothing(name, target):
    info = next(plugin for plugin in manager().report() if plugin.name == name)
    assert len(info.kinds) == 1
    assert name.startswith(info.kinds[0].replace("_", "-") + "-")


@pytest.mark.parametrize("target", DEFAULT_PLUGINS.values())
def test_our_own_implementations_give_no_argument_a_default(target):
    functions = [f for f in vars(importlib.import_module(target)).values() if hasattr(f, "rollouts_impl")]
    assert functions
    for function in functions:
        assert all(p.default is p.empty for p in inspect.signature(function).parameters.values())


def test_registering_all_defaults_loads_no_heavy_module_and_opens_nothing(tmp_path):
    code = (
        "import sys\n"
        "def watch(name, args):\n"
        "    assert not name.startswith('socket.') and not (name == 'open' and 'w' in str(args[1])), (name, args)\n"
        "sys.addaudithook(watch)\n"
        "from rollouts.plugins import PluginManager\n"
        "m = PluginManager(environ={'ROLLOUTS_PLUGIN_AUTOLOAD': '0'})\n"
        "m.report()\n"
        "heavy = ('requests', 'requests_cache', 'tqdm', 'urllib3', 'numpy', 'pandas', 'asyncio', 'ssl')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_plugin_manager_takes_the_environment_of_the_process(monkeypatch):
    monkeypatch.setenv("ROLLOUTS_PLUGIN_AUTOLOAD", "0")
    assert all(plugin.default or plugin.state == "disabled" for plugin in plugin_manager().report())
