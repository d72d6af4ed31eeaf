"""The tests' own fence: what a test cannot reach."""

from __future__ import annotations

import os
import socket
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

CONFTEST = Path(__file__).parents[2] / "conftest.py"

pytest_plugins = ["pytester"]


def outcome_of(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(textwrap.dedent(body))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--import-mode=importlib")


def test_a_test_that_swallows_the_error_of_a_connection_outside_fails(pytester: pytest.Pytester) -> None:
    result = outcome_of(
        pytester,
        """
        import contextlib, socket, threading
        import pytest

        ATTEMPTS = {
            "connect": lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
            "connect_ex": lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
            "look-up": lambda: socket.create_connection(("openrouter.ai", 443), timeout=1),
        }

        @pytest.mark.parametrize("how", ATTEMPTS)
        def test_x(how):
            def reach():
                with contextlib.suppress(OSError):
                    ATTEMPTS[how]()
            thread = threading.Thread(target=reach)
            thread.start()
            thread.join()
        """,
    )
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(["*the test reached for *"])


def test_keys_and_proxies_of_the_user_are_out_of_sight(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENROUTER_API_KEY", "ACME_API_KEY", "OPENROUTER_BASE_URL", "https_proxy", "ROLLOUTS_CACHE_DIR"):
        monkeypatch.setenv(name, "x")
    result = outcome_of(
        pytester,
        """
        import os
        def test_x():
            seen = [n for n in os.environ if n.endswith(("_KEY", "_URL", "_proxy")) or n == "ROLLOUTS_CACHE_DIR"]
            assert [n for n in seen if not n.startswith("ROLLOUTS_TEST_")] == []  # test servers of this machine
        """,
    )
    result.assert_outcomes(passed=1)


def test_loopback_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with socket.create_connection(("localhost", server.getsockname()[1])) as client:
            assert client.recv(1) == b""
        thread.join()


def test_names_that_belong_to_nobody_fail_to_resolve_without_failing_the_test() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("no-such-host.invalid", 80)


@given(st.integers())
def test_each_test_has_a_folder_and_a_home_of_its_own(number: int) -> None:
    assert Path.cwd().name.startswith("test_")
    assert list(Path.cwd().iterdir()) == []
    assert Path.home() == Path(os.environ["HOME"])
    assert Path.home().name.startswith("home")
