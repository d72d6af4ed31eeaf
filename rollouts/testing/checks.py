"""The cheap part of each contract, without pytest: what `rollouts plugins --check` runs in a child process.

Nothing is sent, no server is started, and what a thing writes goes to a folder that is taken away again. A thing that
cannot be made without settings (its factory raises `ConfigError`) is left to its own tests.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rollouts.exceptions import ConfigError, RolloutsError
from rollouts.identity import SampleKey
from rollouts.plugins import PluginManager
from rollouts.testing import (
    AdapterContract,
    CommandContract,
    LimiterContract,
    ProgressContract,
    PromptTransformContract,
    ResponseTransformContract,
    SplitterContract,
    ThinkTemplateContract,
)
from rollouts.testing.contracts.cache import sample_request
from rollouts.typing import AdapterOptions, AdapterSpec, CacheBackend, CacheOptions, Spec, TransformSpec

__all__ = ["broken_rules", "try_out"]

Check = Callable[[Spec], Iterable[str]]
"""Gives the broken rules of what a spec makes."""


def try_out(target: str) -> list[str]:
    """The broken rules of all that a plugin offers; none where it cannot be loaded, which others tell.

    Args:
        target: `package.module` or `package.module:attribute`; empty for the core's own.
    """
    plugins = []
    if target:
        try:
            plugins = [importlib.metadata.EntryPoint("tried", target, "rollouts").load()]
        except BaseException:
            return []
    manager = PluginManager(plugins, environ={"ROLLOUTS_PLUGIN_AUTOLOAD": "0"})
    try:
        reports = manager.report()
    except RolloutsError:
        return []
    told = reports[-1:] if target else reports
    return [rule for report in told for offer in report.offers for rule in broken_rules(manager, offer)]


def broken_rules(manager: PluginManager, offer: str) -> list[str]:
    """The rules that one thing breaks, a sentence each.

    Args:
        manager: Whose thing it is.
        offer: Kind and name: `cache:json`.
    """
    kind, _, name = offer.partition(":")
    try:
        spec = manager.spec(kind, name)
    except RolloutsError:
        return []  # claimed twice, which others tell
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            broken = list(_CHECKS[kind](spec))
    except ConfigError:
        return []
    except Exception as error:
        broken = [f"its factory fails: {type(error).__name__}: {error}"]
    return [f"{kind.replace('_', ' ')} {name!r}: {rule}" for rule in broken]


def _held(contract: type, rules: Iterable[str], **members: Any) -> Iterator[str]:
    """Run some tests of a contract."""
    suite = type("Checked", (contract,), members)()
    for rule in rules:
        test = getattr(suite, f"test_{rule}")
        try:
            test()
        except ConfigError:
            continue  # it needs a setting that only its own tests know
        except Exception as error:
            why = f" ({type(error).__name__}: {error})" if not isinstance(error, AssertionError) else ""
            yield f"breaks the rule {rule.replace('_', ' ')!r} of rollouts.testing.{contract.__name__}{why}"


def _every_rule(contract: type) -> list[str]:
    tests = [name for name in vars(contract) if name.startswith("test_")]
    return [
        name.removeprefix("test_") for name in tests if len(inspect.signature(getattr(contract, name)).parameters) == 1
    ]


def _adapter(spec: Spec) -> Iterable[str]:
    assert isinstance(spec, AdapterSpec)
    url = spec.base_url or "http://127.0.0.1:9/v1"
    spec.factory(AdapterOptions(url))  # a failure here is told as itself
    rules = (
        "fits_the_protocol",
        "encodes_json_without_seed_and_key",
        "what_is_encoded_is_the_same_each_time",
        "leaves_what_it_is_given_as_it_is",
    )
    return _held(AdapterContract, rules, base_url=url, make=lambda self, options: spec.factory(options))


def _cache(spec: Spec) -> Iterable[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        directory = Path(folder) / "cache"
        backend = spec.factory(CacheOptions(directory))
        if not isinstance(backend, CacheBackend):
            yield "has not load_many, store and close"
            return
        if list(backend.load_many([])) or list(backend.load_many([SampleKey(sample_request(), 0)])):
            yield "has an answer that nobody stored"
        if directory.exists() and list(directory.iterdir()):
            yield "writes when it is only read"
        backend.close()
        backend.close()


def _limiter(spec: Spec) -> Iterable[str]:
    rules = ("fits_the_protocol", "grants_nothing_once_stopped", "any_outcome_can_be_settled")
    return _held(LimiterContract, rules, make=lambda self, options: spec.factory(options))


def _think_template(spec: Spec) -> Iterable[str]:
    template = spec.factory()
    marks = template.split("x", template.open("y")).reasoning is not None
    return _held(
        ThinkTemplateContract, _every_rule(ThinkTemplateContract), marks=marks, make=lambda self: spec.factory()
    )


def _transform(spec: Spec) -> Iterable[str]:
    assert isinstance(spec, TransformSpec)
    if any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in _parameters(spec.factory)):
        return ()  # it has options that must be given
    spec.factory()
    contract = PromptTransformContract if spec.acts_on == "prompt" else ResponseTransformContract
    return _held(contract, _every_rule(contract), make=lambda self: spec.factory())


def _splitter(spec: Spec) -> Iterable[str]:
    return _held(SplitterContract, _every_rule(SplitterContract), make=lambda self: spec.factory())


def _progress(spec: Spec) -> Iterable[str]:
    rules = ("fits_the_protocol", "shows_a_run_of_unknown_length", "can_be_closed_before_the_end")
    return _held(ProgressContract, rules, make=lambda self, options: spec.factory(options))


def _executor(spec: Spec) -> Iterable[str]:
    # Making one may start a cluster: that is for its own tests.
    try:
        inspect.signature(spec.factory).bind(None)
    except TypeError as error:
        yield f"its factory does not take ExecutorOptions alone: {error}"
    except ValueError:
        return


def _command(spec: Spec) -> Iterable[str]:
    rules = ("stands_beside_others",)
    return _held(CommandContract, rules, name=spec.name, make=lambda self: spec.factory)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        return []


_CHECKS: dict[str, Check] = {
    "adapter": _adapter,
    "cache": _cache,
    "limiter": _limiter,
    "think_template": _think_template,
    "transform": _transform,
    "splitter": _splitter,
    "progress": _progress,
    "executor": _executor,
    "command": _command,
}
