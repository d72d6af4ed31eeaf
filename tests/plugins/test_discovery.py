"""Plugins of small distributions, installed for real: a module and its metadata on `sys.path`, in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

import rollouts
from rollouts.plugins.discovery import unmet

ROOT = Path(rollouts.__file__).parents[1]

GOOD = """
from rollouts.hookspecs import hookimpl
from rollouts.typing import Spec

@hookimpl
def rollouts_register_caches():
    return [Spec(name="{name}", factory=lambda options: "a cache", description="for tests", override={override})]
"""


def install(site, distribution, module_text, *, entry=None, version="1.0", requires=()):
    """Lay a distribution out as pip does."""
    module = distribution.replace("-", "_") + "_module"
    (site / f"{module}.py").write_text(textwrap.dedent(module_text))
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{needs}")
    (info / "entry_points.txt").write_text(
        f"[console_scripts]\nx = y:z\n\n[rollouts]\n{entry or distribution} = {module}\n"
    )
    return module


def cache(site, distribution, name="memcache", override=False, **options):
    return install(site, distribution, GOOD.format(name=name, override=override), **options)


PROLOGUE = """
import importlib.metadata, json, sys, threading
from rollouts.exceptions import *
from rollouts.plugins import plugin_manager
manager = plugin_manager()
def states():
    # Of this test only: the environment may have others.
    own = {d.name for d in importlib.metadata.distributions(path=["."])}
    return {p.name: p.state for p in manager.report() if p.distribution in own}
def info(name):
    return next(p for p in manager.report() if p.name == name)
def error(call):
    try:
        call()
    except Exception as e:
        return [type(e).__name__, str(e), type(e.__cause__).__name__]
    return None
"""


def run(site, code, **environ):
    """Run `code` in a fresh interpreter that has the distributions of `site`; what it printed last, as JSON."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUTS", "PYTHON"))}
    env["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + textwrap.dedent(code)],
        env=env | environ, capture_output=True, text=True, timeout=60, check=False, cwd=site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_installed_plugin_is_found_and_named_with_its_distribution(tmp_path):
    cache(tmp_path, "rollouts-memcache", version="2.5")
    out = run(
        tmp_path,
        """
        p = info("rollouts-memcache")
        made = manager.make("cache", "memcache", None)
        print(json.dumps([p.distribution, p.version, p.state, p.kinds, p.offers, made]))
        """,
    )
    assert out == ["rollouts-memcache", "2.5", "ok", ["cache"], ["cache:memcache"], "a cache"]


def test_only_those_defaults_are_imported_that_may_offer_the_kind(tmp_path):
    code = """
    manager.has_observers("rollouts_on_sample")
    seen = [sorted(m for m in sys.modules if m.startswith(("rollouts.caches.", "rollouts.adapters.")))]
    manager.spec("cache", "json")
    seen += ["rollouts.caches.json_files" in sys.modules, "rollouts.adapters.openrouter" in sys.modules]
    manager.spec("limiter", "adaptive")
    names = [p.name for p in manager.report() if p.default]
    print(json.dumps([seen, names]))
    """
    from rollouts.plugins import DEFAULT_PLUGINS

    assert run(tmp_path, code, ROLLOUTS_PLUGIN_AUTOLOAD="0") == [[[], True, False], list(DEFAULT_PLUGINS)]


def test_nothing_is_imported_before_a_kind_is_looked_up(tmp_path):
    module = cache(tmp_path, "rollouts-memcache")
    out = run(
        tmp_path,
        f"""
        before = {module!r} in sys.modules
        manager.specs("limiter")
        print(json.dumps([before, {module!r} in sys.modules]))
        """,
    )
    assert out == [False, True]


@pytest.mark.parametrize(
    ("breakage", "tells"),
    [
        ("import a_library_that_is_not_there", "ModuleNotFoundError"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def (", "SyntaxError"),
        (
            "from rollouts.hookspecs import hookimpl\n@hookimpl\ndef rollouts_on_sample(event, moon): pass",
            "PluginValidationError",
        ),
        (
            "from rollouts.hookspecs import hookimpl\n@hookimpl\ndef rollouts_register_caches(): raise KeyError('k')",
            "KeyError",
        ),
        (
            "from rollouts.hookspecs import hookimpl\n@hookimpl\ndef rollouts_register_caches(): return ['memcache']",
            "Spec",
        ),
        (
            "from rollouts.hookspecs import hookimpl\nfrom rollouts.typing import Spec\n"
            "@hookimpl\ndef rollouts_register_caches(): return Spec(name='memcache', factory=int)",
            "return a list",
        ),
        (
            "from rollouts.hookspecs import hookimpl\nfrom rollouts.typing import Spec\n"
            "@hookimpl\ndef rollouts_register_adapters(): return [Spec(name='memcache', factory=int)]",
            "AdapterSpec",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_harms_no_other(tmp_path, breakage, tells):
    install(tmp_path, "rollouts-memcache", breakage)
    cache(tmp_path, "rollouts-other", name="other")
    out = run(
        tmp_path,
        """
        other = manager.make("cache", "other", None)
        p = info("rollouts-memcache")
        print(json.dumps([other, states(), p.error, p.traceback, error(lambda: manager.spec("cache", "memcache"))]))
        """,
    )
    other, states, short, traceback, used = out
    assert other == "a cache"
    assert states == {"rollouts-memcache": "broken", "rollouts-other": "ok"}
    assert tells in short
    assert "Error" in traceback or "SystemExit" in traceback
    assert used[0] == "PluginError"
    assert "rollouts-memcache 1.0" in used[1]
    assert used[2] != "NoneType"


def test_an_unknown_name_lists_the_known_ones_and_the_broken_plugins(tmp_path):
    install(tmp_path, "rollouts-shaky", "1/0")
    name, message, _ = run(tmp_path, "print(json.dumps(error(lambda: manager.spec('limiter', 'adaptve'))))")
    assert name == "ConfigError"
    for part in ("limiter='adaptve'", "adaptive", "per-minute", "Did you mean 'adaptive'", "rollouts-shaky 1.0"):
        assert part in message


def test_two_plugins_with_one_name_are_an_error_on_use_that_names_both(tmp_path):
    cache(tmp_path, "rollouts-one")
    cache(tmp_path, "rollouts-two")
    cache(tmp_path, "rollouts-other", name="other")
    out = run(
        tmp_path,
        """
        fine = manager.make("cache", "other", None)
        print(json.dumps([fine, error(lambda: manager.spec("cache", "memcache")), states()]))
        """,
    )
    assert out[0] == "a cache"
    assert out[1][0] == "PluginError"
    assert "rollouts-one 1.0" in out[1][1]
    assert "rollouts-two 1.0" in out[1][1]
    assert out[2] == {"rollouts-one": "doubtful", "rollouts-two": "doubtful", "rollouts-other": "ok"}


@pytest.mark.parametrize(("override", "wins"), [(True, True), (False, False)])
def test_a_default_is_replaced_only_by_one_that_says_override(tmp_path, override, wins):
    install(tmp_path, "rollouts-fast", GOOD.format(name="json", override=override))
    out = run(tmp_path, "print(json.dumps(error(lambda: print(manager.spec('cache', 'json').description))))")
    assert (out is None) is wins


def test_two_that_override_are_still_two(tmp_path):
    cache(tmp_path, "rollouts-one", override=True)
    cache(tmp_path, "rollouts-two", override=True)
    assert run(tmp_path, "print(json.dumps(error(lambda: manager.spec('cache', 'memcache'))))")[0] == "PluginError"


@pytest.mark.parametrize(
    ("environ", "states"),
    [
        ({"ROLLOUTS_DISABLE_PLUGINS": "rollouts-one"}, {"one": "disabled", "two": "ok"}),
        ({"ROLLOUTS_DISABLE_PLUGINS": " two , Rollouts_One"}, {"one": "disabled", "two": "disabled"}),
        ({"ROLLOUTS_PLUGIN_AUTOLOAD": "0"}, {"one": "disabled", "two": "disabled"}),
        ({"ROLLOUTS_PLUGIN_AUTOLOAD": "1"}, {"one": "ok", "two": "ok"}),
    ],
)
def test_plugins_are_switched_off_by_the_environment_and_the_defaults_stay(tmp_path, environ, states):
    modules = [cache(tmp_path, f"rollouts-{n}", name=n, entry=n) for n in ("one", "two")]
    out = run(
        tmp_path,
        f"""
        seen = states()
        loaded = [m in sys.modules for m in {modules}]
        print(json.dumps([seen, loaded, len(manager.specs("limiter")), error(lambda: manager.spec("cache", "one"))]))
        """,
        ROLLOUTS_DISABLE_PLUGINS=environ.get("ROLLOUTS_DISABLE_PLUGINS", "") + ",adapter-openrouter,cache-json",
        **{k: v for k, v in environ.items() if k != "ROLLOUTS_DISABLE_PLUGINS"},
    )
    seen = {name: state for name, state in out[0].items() if name in states}
    assert seen == states
    assert out[1] == [state == "ok" for state in states.values()]
    assert out[2] >= 2
    if states["one"] == "disabled":
        assert "switched off by ROLLOUTS_" in out[3][1]


def test_strict_raises_for_any_broken_plugin(tmp_path):
    install(tmp_path, "rollouts-shaky", "1/0")
    code = "print(json.dumps(error(lambda: manager.spec('limiter', 'adaptive'))))"
    assert run(tmp_path, code) is None
    name, message, cause = run(tmp_path, code, ROLLOUTS_STRICT_PLUGINS="1")
    assert (name, cause) == ("PluginError", "ZeroDivisionError")
    assert "rollouts-shaky 1.0" in message


MISSPELT = """
from rollouts.hookspecs import hookimpl

@hookimpl
def rollouts_register_cache():
    return []

@hookimpl
def rollouts_on_sample(event=None):
    pass

def rollouts_on_retry(event):
    pass
"""


def test_hooks_that_would_never_fire_are_reported(tmp_path):
    install(tmp_path, "rollouts-typo", MISSPELT)
    state, hints = run(tmp_path, "p = info('rollouts-typo'); print(json.dumps([p.state, p.hints]))")
    assert state == "doubtful"
    assert any("rollouts_register_cache is no hook" in h and "rollouts_register_caches" in h for h in hints)
    assert any("rollouts_on_sample gives event a default" in hint for hint in hints)
    assert any("rollouts_on_retry" in hint and "@hookimpl" in hint for hint in hints)
    name, message, _ = run(
        tmp_path, "print(json.dumps(error(lambda: manager.spec('limiter', 'adaptive'))))", ROLLOUTS_STRICT_PLUGINS="1"
    )
    assert name == "PluginError"
    assert "rollouts_register_caches" in message


def test_a_plugin_that_needs_a_newer_rollouts_is_named_and_not_imported(tmp_path):
    module = cache(tmp_path, "rollouts-memcache", requires=["rollouts>=99.1", "requests"])
    out = run(
        tmp_path,
        f"""
        p = info("rollouts-memcache")
        used = error(lambda: manager.spec("cache", "memcache"))
        print(json.dumps([p.state, p.error, used[0], {module!r} in sys.modules]))
        """,
    )
    assert out[0] == "broken"
    assert "needs rollouts>=99.1" in out[1]
    assert out[2:] == ["PluginError", False]


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("rollouts>=0.2", True), ("rollouts (>=0.2)", True), ("rollouts", True), ("rollouts>=0.2,<0.3", True),
        ("rollouts[dev]>=0.2", True), ("rollouts~=0.2.0", True), ("rollouts~=0.1", True), ("rollouts==0.2.*", True),
        ("rollouts-local>=9", True), ("rollouts>=9; extra == 'x'", True), ("rollouts!=0.2.0", False),
        ("rollouts>=0.3", False), ("rollouts<0.2", False), ("rollouts==0.1.11", False), ("rollouts~=0.1.5", False),
        ("Rollouts >0.2.0", False),
    ],
)  # fmt: skip
def test_requirements_on_rollouts_are_compared(requirement, met):
    assert (unmet([requirement], "0.2.0") is None) is met


def test_a_plugin_in_a_zip_is_found(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    cache(inner, "rollouts-zipped", name="zipped")
    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as archive:
        for path in inner.rglob("*"):
            archive.write(path, path.relative_to(inner))
    code = "print(json.dumps([info('rollouts-zipped').version, manager.make('cache', 'zipped', None)]))"
    assert run(tmp_path / "..", f"sys.path.insert(0, {str(tmp_path / 'plugins.zip')!r})\n{code}") == ["1.0", "a cache"]


def test_damaged_metadata_of_a_stranger_harms_nothing(tmp_path):
    cache(tmp_path, "rollouts-good", name="good")
    for i, text in enumerate([b"\xff\xfe[rollouts]", b"[rollouts\nx", b"[rollouts]\nno equals sign\n", b""]):
        info = tmp_path / f"damaged{i}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(text)
    assert run(tmp_path, "print(json.dumps(manager.make('cache', 'good', None)))") == "a cache"


def test_an_older_copy_further_down_the_path_is_not_loaded_too(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir(), old.mkdir()
    cache(new, "rollouts-memcache", version="2.0")
    cache(old, "rollouts-memcache", version="1.0")
    code = "print(json.dumps([p.version for p in manager.report() if p.name == 'rollouts-memcache']))"
    assert run(new, f"sys.path.append({str(old)!r}); {code}") == ["2.0"]


def test_the_scan_happens_again_when_sys_path_changes(tmp_path):
    cache(tmp_path, "rollouts-late", name="late")
    empty = tmp_path / "empty"
    empty.mkdir()
    out = run(
        empty,
        f"""
        first = error(lambda: manager.spec("cache", "late"))[0]
        sys.path.append({str(tmp_path)!r})
        print(json.dumps([first, plugin_manager().make("cache", "late", None)]))
        """,
    )
    assert out == ["ConfigError", "a cache"]


def test_without_metadata_of_its_own_the_core_still_has_its_defaults(tmp_path):
    """As when the package is copied into another project."""
    code = """
    from importlib import metadata
    found = metadata.MetadataPathFinder.find_distributions
    metadata.MetadataPathFinder.find_distributions = classmethod(lambda cls, context=None: iter(()))
    print(json.dumps([p.name for p in manager.report()]))
    """
    from rollouts.plugins import DEFAULT_PLUGINS

    assert run(tmp_path, code) == list(DEFAULT_PLUGINS)


def test_many_threads_may_look_up_at_once(tmp_path):
    cache(tmp_path, "rollouts-memcache")
    out = run(
        tmp_path,
        """
        barrier, found = threading.Barrier(16), []
        def look():
            barrier.wait()
            found.append(manager.spec("cache", "memcache"))
        threads = [threading.Thread(target=look) for _ in range(16)]
        [t.start() for t in threads], [t.join() for t in threads]
        print(json.dumps([len(found), len(set(map(id, found)))]))
        """,
    )
    assert out == [16, 1]


@pytest.mark.slow
def test_a_plugin_that_pip_installed_into_a_fresh_environment_is_found(tmp_path):
    source = tmp_path / "rollouts-tiny"
    source.mkdir()
    (source / "tiny_cache.py").write_text(GOOD.format(name="tiny", override=False))
    (source / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
        "[project]\nname = 'rollouts-tiny'\nversion = '3.1'\n"
        "[project.entry-points.rollouts]\ntiny = 'tiny_cache'\n"
        "[tool.hatch.build.targets.wheel]\ninclude = ['tiny_cache.py']\n"
    )
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True, symlinks=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    sources = [source]
    if (ROOT / "pyproject.toml").exists():
        sources.append(ROOT)
    else:  # rollouts itself was installed from its wheel: the new environment sees it where it lies
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "behind.pth").write_text(f"import site; site.addsitedir({str(ROOT)!r})\n")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *sources], check=True, env=env, timeout=300)
    if (ROOT / "pyproject.toml").exists():
        subprocess.run([python, "-m", "pip", "install", "-q", "pluggy"], check=True, env=env, timeout=300)
    done = subprocess.run(
        [python, "-m", "rollouts", "plugins", "--json"],
        check=True,
        env=env,
        timeout=60,
        capture_output=True,
        cwd=tmp_path,
    )
    tiny = next(plugin for plugin in json.loads(done.stdout) if plugin["name"] == "tiny")
    assert (tiny["distribution"], tiny["version"], tiny["state"]) == ("rollouts-tiny", "3.1", "ok")
