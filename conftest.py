"""What holds for every test, of the core and of `plugins/`: no key, no home, no network beyond this machine.

Each test runs in a folder of its own, with an empty home and without the user's keys, base URLs and proxies. One that
reaches for an address other than loopback fails, even where the code under test swallows the error.
`ROLLOUTS_TEST_REAL=1` lets the tests marked `real_service` through, with the keys as they are.
"""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("rollouts", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rollouts")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts a job in the background has it ignore Ctrl-C, and every program that it starts: those of the
    # tests are sent one.
    signal.signal(signal.SIGINT, signal.default_int_handler)

REAL = os.environ.get("ROLLOUTS_TEST_REAL") == "1"
UNSET = re.compile(r"(?i).*(_API_KEY|_BASE_URL|_PROXY)|ROLLOUTS_(?!LOCAL_DIR|TEST_).*")
RESERVED = ("invalid", "example", "test")
"""Top-level names that belong to nobody (RFC 2606): asking for them is how a failing look-up is tested."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip real services unless they were asked for."""
    for item in items:
        if "real_service" in item.keywords and not REAL:
            item.add_marker(pytest.mark.skip(reason="real service: set ROLLOUTS_TEST_REAL=1 and its key"))


def _is_loopback(host: Any) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "localhost")
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name.rstrip(".").lower().rpartition(".")[2] == "localhost"


class Guard:
    """Refuses every address but loopback, and remembers what was tried (by threads too)."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self._connect, self._connect_ex = socket.socket.connect, socket.socket.connect_ex
        self._getaddrinfo = socket.getaddrinfo

    def install(self) -> None:
        """Stand before every socket of this process."""
        guard = self

        def connect(self: socket.socket, address: Any) -> None:
            guard.check(self.family, address)
            return guard._connect(self, address)

        def connect_ex(self: socket.socket, address: Any) -> int:
            guard.check(self.family, address)
            return guard._connect_ex(self, address)

        def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
            if not _is_loopback(host):
                if str(host).rstrip(".").rpartition(".")[2] not in RESERVED:
                    guard.tried.append(str(host))
                raise socket.gaierror(socket.EAI_NONAME, "tests look up no names")
            return guard._getaddrinfo(host, *arguments, **named)

        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
        socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]

    def check(self, family: int, address: Any) -> None:
        """Refuse `address` where it is not on this machine."""
        if family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            self.tried.append(str(address[0]))
            raise ConnectionRefusedError(f"tests connect to loopback alone, not to {address[0]}")

    def remove(self) -> None:
        """Give the sockets back."""
        socket.socket.connect = self._connect  # type: ignore[method-assign]
        socket.socket.connect_ex = self._connect_ex  # type: ignore[method-assign]
        socket.getaddrinfo = self._getaddrinfo


@pytest.fixture(scope="session")
def outside_environment() -> dict[str, str]:
    """The environment that the tests were started in."""
    return _OUTSIDE


_OUTSIDE = dict(os.environ)


def _keep_weights_reachable() -> None:
    # The one thing of the user's home that tests need: 98 MB that every run would fetch anew.
    if "ROLLOUTS_LOCAL_DIR" not in os.environ:
        try:
            from rollouts_local.weights import directory
        except ImportError:
            return
        os.environ["ROLLOUTS_LOCAL_DIR"] = str(directory())


_keep_weights_reachable()


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with nothing in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _isolated(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_home: Path
) -> Iterator[None]:
    if REAL and request.node.get_closest_marker("real_service"):
        yield
        return
    for name in list(os.environ):
        if UNSET.fullmatch(name):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(name, str(empty_home))
    monkeypatch.chdir(tmp_path)
    guard = Guard()
    guard.install()
    try:
        yield
    finally:
        guard.remove()
    if guard.tried:
        pytest.fail(f"the test reached for {', '.join(sorted(set(guard.tried)))}: give it a server on 127.0.0.1")


@pytest.fixture(scope="session")
def local_model(outside_environment: dict[str, str]) -> str:
    """The name of the local model, its weights fetched."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "rollouts_local", "fetch"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**outside_environment, "ROLLOUTS_LOCAL_DIR": os.environ["ROLLOUTS_LOCAL_DIR"]},
    )
    if done.returncode:
        pytest.fail(f"the weights of the local model cannot be had: {done.stderr.strip()}")
    return "local/smollm2-135m-instruct"
