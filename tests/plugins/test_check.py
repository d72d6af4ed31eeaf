"""`rollouts plugins --check`: loads in a child process, and holds what is offered to its contract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rollouts
from rollouts.plugins import PluginManager
from rollouts.plugins.discovery import Found
from rollouts.plugins.trial import Trial, try_in_child
from rollouts.testing.checks import broken_rules

ROOT = Path(rollouts.__file__).parents[1]


@pytest.fixture
def check(site, tmp_path):
    def run(*arguments):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUTS", "PYTHON"))}
        env["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "rollouts", "plugins", "--check", *arguments],
            env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


def test_a_thing_that_breaks_its_contract_is_named_with_the_rule(install, check):
    install("rollouts-lossy", """
def split(text):
    return [Span(0, len(text.strip()), text.strip())]

@hookimpl
def rollouts_register_splitters():
    return [Spec(name="lossy", factory=lambda: split)]
""")  # fmt: skip
    done = check()
    assert done.returncode == 1
    assert "lossy (rollouts-lossy 1.0): doubtful" in done.stdout
    assert "splitter 'lossy': breaks the rule 'is lossless' of rollouts.testing.SplitterContract" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import threading; threading.Event().wait()", "its import did not end within 3 s"),
        ("import os; os._exit(9)", "its import ended the interpreter (exit code 9)"),
        (
            "@hookimpl\ndef rollouts_register_caches():\n    import threading; threading.Event().wait()",
            "contract did not",
        ),
        ("@hookimpl\ndef rollouts_register_caches():\n    import os; os._exit(9)", "contract ended the interpreter"),
        ("import threading; threading.Thread(target=threading.Event().wait).start()", None),
    ],
)
def test_a_child_that_hangs_or_dies_is_told(install, site, monkeypatch, text, said):
    module = install("rollouts-shaky", text)
    monkeypatch.syspath_prepend(str(site))
    trial = try_in_child(Found("shaky", module, "rollouts-shaky", "1.0"), 3)
    if said is None:
        assert trial == Trial()
    else:
        assert said in " ".join([trial.trouble or "", *trial.broken_rules])


WRONG = {
    "cache that writes when read": ("caches", """
class Shaky:
    def __init__(self, options):
        options.cache_dir.mkdir(); (options.cache_dir / "x").write_text("")
    def load_many(self, keys): return iter(())
    def store(self, key, response): pass
    def close(self): pass
"""),
    "cache without a method": ("caches", "class Shaky:\n    def __init__(self, options): pass"),
    "limiter that grants after a stop": ("limiters", """
class Shaky:
    def __init__(self, options): pass
    def acquire(self, request, stop): return self
    def settle(self, outcome, usage): pass
"""),
    "progress without close": ("progress", """
class Shaky:
    def __init__(self, options): pass
    def start(self, total, cached): pass
    def advance(self, event): pass
"""),
    "executor whose factory takes nothing": ("executors", "def Shaky(): pass"),
    "command that adds nothing": ("commands", "def Shaky(commands): pass"),
    "factory that fails": ("splitters", "def Shaky(): raise KeyError('lost')"),
    "transform that returns nothing": ("transforms", "def Shaky(): return lambda conversation: None"),
    "template that loses text": ("think_templates", """
class Shaky:
    def open(self, thought): return thought
    def split(self, text, prefill): return Parts(None, text.strip(), True)
"""),
    "adapter that sends the seed": ("adapters", """
from rollouts.testing import FakeAdapter
class Shaky(FakeAdapter):
    def __init__(self, options): super().__init__()
    def encode(self, conversation, settings):
        from dataclasses import replace
        wire = super().encode(conversation, settings)
        return replace(wire, body={**wire.body, "seed": 1})
"""),
}  # fmt: skip
SPECS = {"transforms": "TransformSpec", "think_templates": "TemplateSpec", "adapters": "AdapterSpec"}


def module_of(kind, body):
    namespace = {"__name__": "wrong"}
    register = (
        f"@hookimpl\ndef rollouts_register_{kind}():\n    return [{SPECS.get(kind, 'Spec')}(name='x', factory=Shaky)]"
    )
    exec(f"from rollouts.hookspecs import hookimpl\nfrom rollouts.typing import *\n{body}\n{register}", namespace)
    return type("Wrong", (), {f"rollouts_register_{kind}": staticmethod(namespace[f"rollouts_register_{kind}"])})()


@pytest.mark.parametrize("what", WRONG)
def test_the_cheap_part_of_a_contract_notices(what):
    kind, body = WRONG[what]
    manager = PluginManager([module_of(kind, body)], environ={"ROLLOUTS_PLUGIN_AUTOLOAD": "0"})
    (offer,) = manager.report()[-1].offers
    assert broken_rules(manager, offer) != []


def test_what_cannot_be_made_without_settings_is_left_to_its_own_tests():
    body = "from rollouts.exceptions import ConfigError\ndef Shaky(options): raise ConfigError('an address is missing')"
    manager = PluginManager([module_of("caches", body)], environ={"ROLLOUTS_PLUGIN_AUTOLOAD": "0"})
    assert broken_rules(manager, "cache:x") == []


def test_every_default_keeps_the_rules():
    assert try_in_child(None, 60) == Trial()
