"""Every contract suite, run over every default of its kind: what strangers are held to holds for us.

A default without a suite here fails the last test.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from rollouts.plugins import KINDS, PluginManager
from rollouts.testing import (
    AdapterContract,
    CommandContract,
    ExecutorContract,
    FakeAdapter,
    ProgressContract,
    PromptTransformContract,
    ResponseTransformContract,
    SplitterContract,
    ThinkTemplateContract,
)
from rollouts.testing.contracts.cache import CacheContract
from rollouts.testing.contracts.limiter import LimiterContract
from rollouts.typing import CacheOptions, WireReply

DEFAULTS = PluginManager(environ={"ROLLOUTS_PLUGIN_AUTOLOAD": "0"})

TRANSFORM_OPTIONS: dict[str, dict[str, Any]] = {
    "system": {"text": "Be brief."},
    "few-shot": {"examples": [("1 + 1?", "2")]},
    "prompt-template": {"template": "Q: {prompt}"},
}
"""What those need that cannot be made without."""


class Anthropics:
    sampling: ClassVar[dict[str, Any]] = {"max_tokens": 100}
    model = "claude-sonnet-4-5"

    def answer(self, text):
        body = {"id": "m", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": {}}
        return WireReply(200, {}, json.dumps(body).encode())


def suite(kind, name, contract, make, **members):
    """A test class as an author writes it, for one default."""
    title = f"Test{kind.title().replace('_', '')}_{name.replace('-', '_')}"
    members["make"] = make
    bases = (Anthropics, contract) if name == "anthropic" else (contract,)
    globals()[title] = type(title, bases, members | {"__module__": __name__})
    return kind, name


HELD = []
for spec in DEFAULTS.specs("adapter"):
    HELD.append(suite("adapter", spec.name, AdapterContract, lambda self, options, spec=spec: spec.factory(options)))
for spec in DEFAULTS.specs("cache"):
    HELD.append(
        suite("cache", spec.name, CacheContract, lambda self, folder, spec=spec: spec.factory(CacheOptions(folder)))
    )
for spec in DEFAULTS.specs("limiter"):
    HELD.append(suite("limiter", spec.name, LimiterContract, lambda self, options, spec=spec: spec.factory(options)))
for spec in DEFAULTS.specs("think_template"):
    HELD.append(
        suite("think_template", spec.name, ThinkTemplateContract, lambda self, spec=spec: spec.factory(),
              marks=spec.name != "none")
    )  # fmt: skip
for spec in DEFAULTS.specs("transform"):
    contract = PromptTransformContract if spec.acts_on == "prompt" else ResponseTransformContract
    options = TRANSFORM_OPTIONS.get(spec.name, {})
    HELD.append(
        suite("transform", spec.name, contract, lambda self, spec=spec, options=options: spec.factory(**options))
    )
for spec in DEFAULTS.specs("splitter"):
    HELD.append(suite("splitter", spec.name, SplitterContract, lambda self, spec=spec: spec.factory()))
for spec in DEFAULTS.specs("progress"):
    HELD.append(suite("progress", spec.name, ProgressContract, lambda self, options, spec=spec: spec.factory(options)))
for spec in DEFAULTS.specs("executor"):
    if spec.name == "elsewhere":  # made from an executor of the caller's, which has a contract of its own
        continue
    HELD.append(
        suite("executor", spec.name, ExecutorContract, lambda self, options, spec=spec: spec.factory(options),
              in_threads=spec.name == "threads")
    )  # fmt: skip


class TestFakeAdapter(AdapterContract):
    def make(self, options):
        return FakeAdapter()


class TestCommand(CommandContract):
    name = "hello"

    def make(self):
        def add(commands):
            commands.add_parser("hello", help="says hello").set_defaults(run=print)

        return add


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_default_is_held_to_its_contract(kind):
    assert {name for held, name in HELD if held == kind} == {spec.name for spec in DEFAULTS.specs(kind)} - {"elsewhere"}
