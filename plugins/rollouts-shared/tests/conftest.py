"""A real Redis and a real PostgreSQL: those that the environment names, else private ones for this run.

`ROLLOUTS_TEST_REDIS_URL` and `ROLLOUTS_TEST_POSTGRES_URL` name servers. Without them the programs of the system are
started on free loopback ports, with their data in a folder that goes with the run. Without those, tests are skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE = 60.0  # seconds for a server to start


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _until(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while not ready():
        if server.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"{server.args!r} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)  # another program's start gives no event


@contextlib.contextmanager
def _server(command: list[str], ready: Callable[[], bool], log: Path, user: str | None = None) -> Iterator[None]:
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/", user=user)
    try:
        _until(ready, server, log)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # PostgreSQL would wait for its clients at SIGTERM
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Not of pytest's: its folders are closed to the user under whom PostgreSQL must run.
    folder = tempfile.mkdtemp(prefix="rollouts-shared-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url(outside_environment: dict[str, str]) -> Iterator[str]:
    """A Redis server."""
    given = outside_environment.get("ROLLOUTS_TEST_REDIS_URL")
    if given:
        yield given
        return
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed and ROLLOUTS_TEST_REDIS_URL is not set")
    from redis import Redis, RedisError

    with _folder() as folder:
        port = _free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]

        def ready() -> bool:
            with Redis(port=port) as client, contextlib.suppress(RedisError):
                return bool(client.ping())
            return False

        with _server(command, ready, folder / "log"):
            yield f"redis://127.0.0.1:{port}/0"


def _postgres_programs() -> Path | None:
    program = shutil.which("initdb")
    if program is not None:
        return Path(program).parent
    # Debian keeps them out of the path, one folder a version.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts)
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres_url(outside_environment: dict[str, str]) -> Iterator[str]:
    """A PostgreSQL server, and a role that may do anything."""
    given = outside_environment.get("ROLLOUTS_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("postgresql is not installed and ROLLOUTS_TEST_POSTGRES_URL is not set")
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("postgresql does not run as root and there is no user postgres")
    import psycopg

    with _folder() as folder:
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", _free_port()
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "rollouts", "--auth=trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, cwd="/", user=user,
        )  # fmt: skip
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
        url = f"postgresql://rollouts@127.0.0.1:{port}/postgres"

        def ready() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
                return True
            return False

        with _server([*command, "-c", "fsync=off"], ready, folder / "log", user):
            yield url


@pytest.fixture
def postgres_schema(postgres_url: str) -> Iterator[Callable[[object], str]]:
    """The URL of a schema of its own for each thing that it is called with; the schemas go with the test."""
    import psycopg

    made: set[str] = set()
    run = os.urandom(8).hex()
    separator = "&" if "?" in postgres_url else "?"

    def url_of(thing: object) -> str:
        name = f"test_{hashlib.sha256(f'{run} {thing}'.encode()).hexdigest()[:16]}"
        if name not in made:
            with psycopg.connect(postgres_url) as connection:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
            made.add(name)
        return f"{postgres_url}{separator}options=-csearch_path%3D{name}"

    yield url_of
    with psycopg.connect(postgres_url) as connection:
        for name in made:
            connection.execute(f"DROP SCHEMA {name} CASCADE")
