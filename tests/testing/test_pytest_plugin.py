"""The pytest plugin as users meet it: found by itself, silent, and of no cost to those who do not use it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rollouts

ROOT = Path(rollouts.__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    """Run pytest in a folder of its own, in a process of its own, with warnings as errors."""

    def outcome(*files, entry_point=True, arguments=()):
        site = tmp_path / "site"
        info = site / "pretended-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pretended\nVersion: 1.0\n")
        if entry_point:
            # As pip writes it for rollouts itself; pytest loads one name once.
            (info / "entry_points.txt").write_text("[pytest11]\nrollouts = rollouts.testing.pytest_plugin\n")
        tests = tmp_path / "tests"
        tests.mkdir(exist_ok=True)
        for i, text in enumerate(files):
            (tests / f"test_{i}.py").write_text(textwrap.dedent(text))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUTS", "PY"))}
        env["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-W", "error", "-q"]
        return subprocess.run(
            [*command, *arguments, str(tests)], env=env, cwd=tests, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return outcome


def passed(done, n):
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{n} passed" in done.stdout


def test_fixtures_are_there_without_an_import(run):
    done = run(
        """
        def test_server_and_client(rollouts_server, rollouts_client):
            assert len(rollouts_client.generate("2+2?", n_samples=3)) == 3
            assert len(rollouts_server.requests) == 3

        def test_each_test_has_a_cache_of_its_own(rollouts_server, rollouts_client):
            rollouts_client.generate("2+2?")
            assert len(rollouts_server.requests) == 1

        def test_manager(plugin_manager):
            assert "json" in [spec.name for spec in plugin_manager.specs("cache")]
        """
    )
    passed(done, 3)


def test_a_mark_gives_the_client_settings_and_plugins(run):
    done = run(
        """
        import pytest
        from rollouts.testing import FakeAdapter

        @pytest.mark.rollouts(temperature=0.5, use_cache=False)
        class TestMarked:
            def test_of_the_class(self, rollouts_server, rollouts_client):
                rollouts_client.generate("2+2?")
                assert rollouts_server.requests[0].json()["temperature"] == 0.5

            @pytest.mark.rollouts(temperature=1)
            def test_the_nearest_mark_wins(self, rollouts_client):
                assert rollouts_client.settings.temperature == 1
                assert rollouts_client.settings.use_cache is False

        @pytest.mark.rollouts(model="fake/model", plugins=[FakeAdapter(["4"])])
        def test_fake(rollouts_client, plugin_manager):
            assert rollouts_client.generate("2+2?")[0].content == "4"
            assert plugin_manager.spec("adapter", "fake").name == "fake"
        """
    )
    passed(done, 3)


def test_the_suites_speak_as_tests_do(run):
    done = run(
        """
        from rollouts.testing import SplitterContract

        class TestMine(SplitterContract):
            def make(self):
                return lambda text: []
        """
    )
    assert done.returncode == 1
    assert "test_is_lossless" in done.stdout
    assert "assert 0 == 16" in done.stdout  # the rewritten assertion shows both sides


def test_who_does_not_use_it_pays_nothing(run):
    done = run(
        """
        import sys

        def test_nothing_is_imported():
            names = ("requests", "rollouts.engine", "rollouts.plugins", "rollouts.client",
                     "rollouts.testing.server", "rollouts.hookspecs", "rollouts.typing", "rollouts.results")
            assert [name for name in names if name in sys.modules] == []
            assert "rollouts.testing.pytest_plugin" in sys.modules
        """
    )
    passed(done, 1)


def test_it_can_be_switched_off_as_any(run):
    done = run("def test_x(rollouts_client): pass", arguments=("-p", "no:rollouts"))
    assert "fixture 'rollouts_client' not found" in done.stdout


def test_the_entry_point_is_declared():
    from importlib.metadata import distribution

    (declared,) = [e for e in distribution("rollouts").entry_points if e.group == "pytest11"]
    assert (declared.name, declared.value) == ("rollouts", "rollouts.testing.pytest_plugin")
