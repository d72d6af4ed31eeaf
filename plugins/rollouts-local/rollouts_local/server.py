"""Starts, shares and stops the serving processes of this process. Knows nothing of adapters and requests.

Equal configurations share one server; it stops with its last lease, and at the latest with this process, however
that ends: the server reads a pipe from us and leaves when that closes. A forked child starts its own.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from typing import IO

from rollouts.exceptions import PluginError

_STOP_WITHIN = 5.0
"""Seconds that a server gets to leave by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What is served, and how."""

    path: str
    """The GGUF file."""
    alias: str
    """The model's name in answers."""
    slots: int = 8
    """Requests computed at once; further ones queue."""
    context: int = 2048
    """Tokens per slot, prompt and answer together."""
    threads: int = 1
    """Threads of one computation. More than 1 is faster on idle cores, and much slower on busy ones: llama.cpp's
    threads spin while they wait for each other."""


class Lease:
    """A share in a running server. Thread-safe."""

    def __init__(self, config: ServerConfig) -> None:
        """Start the server, or join the one that runs.

        Raises:
            PluginError: The server did not start.
        """
        self._config = config
        self._pid = os.getpid()
        with _registry.lock:
            _registry.leases[config] = _registry.leases.get(config, 0) + 1
            try:
                _registry.running(config)
            except BaseException:
                _registry.drop(config)
                raise

    def url(self) -> str:
        """The server's base URL; a server that died is started again, a forked child starts its own.

        Raises:
            PluginError: The server did not start.
        """
        with _registry.lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                _registry.leases[self._config] = _registry.leases.get(self._config, 0) + 1
            return _registry.running(self._config).url

    def release(self) -> None:
        """Give the share back; the last one stops the server."""
        with _registry.lock:
            if self._pid == os.getpid():
                _registry.drop(self._config)


class _Process:
    """One serving process and the pipe that keeps it alive."""

    def __init__(self, config: ServerConfig) -> None:
        argument = json.dumps({**asdict(config), "port": 0})
        # A file, not a pipe: nobody has to drain it, and its end tells why a start failed.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the server is gone)
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "rollouts_local.helper", argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            assert self._popen.stdout is not None
            self.url = self._popen.stdout.readline().decode("ascii").strip()
            self._popen.stdout.close()
            if not self.url:
                raise PluginError(f"llama.cpp could not serve {config.path}: {self._why()}")
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def stop(self) -> None:
        self._hang_up()
        try:
            self._popen.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def forget(self) -> None:
        """In a forked child: let go of the parent's server, which must not live on by our copy of its pipe."""
        self._hang_up()
        self._popen.returncode = 0

    def _hang_up(self) -> None:
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()

    def _why(self) -> str:
        self._popen.wait()
        self._log.seek(0)
        lines = self._log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        if any("libgomp" in line for line in lines):
            return "the system library libgomp.so.1 is missing (Debian: apt-get install libgomp1)"
        return lines[-1] if lines else f"it ended with {self._popen.returncode} and no word"


class _Registry:
    """The servers of this process; whoever calls holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.leases: dict[ServerConfig, int] = {}
        self._processes: dict[ServerConfig, _Process] = {}

    def running(self, config: ServerConfig) -> _Process:
        process = self._processes.get(config)
        if process is None or not process.alive:
            if process is not None:
                process.stop()
            process = self._processes[config] = _Process(config)
        return process

    def drop(self, config: ServerConfig) -> None:
        self.leases[config] -= 1
        if self.leases[config] == 0:
            del self.leases[config]
            process = self._processes.pop(config, None)
            if process is not None:
                process.stop()

    def stop_all(self) -> None:
        with self.lock:
            for process in self._processes.values():
                process.stop()
            self._processes.clear()

    def forked(self) -> None:
        self.lock = threading.RLock()  # the parent's may have been held by a thread that is not here
        for process in self._processes.values():
            process.forget()
        self._processes.clear()
        self.leases.clear()


_registry = _Registry()
atexit.register(_registry.stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_registry.forked)
