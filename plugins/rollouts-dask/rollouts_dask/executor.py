"""The executor `dask`: one worker of ours on each Dask worker. Knows Dask, and nothing of what is sent and sampled."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from rollouts.exceptions import ConfigError, RolloutsError
from rollouts.typing import ExecutorOptions
from rollouts_dask.channel import ActorChannel
from rollouts_dask.seat import Seat, version

if TYPE_CHECKING:
    from distributed import Client

OPTIONS = ("address", "client", "workers", "timeout")

TIMEOUT = 60.0
"""Seconds that the scheduler, and a worker, gets to be there."""

_LEAVE = 5.0
"""Seconds that workers get to be gone before the connection is closed."""


class DaskExecutor(Executor):
    """The workers of a Dask cluster. Connects when a run first needs them."""

    carries_key = False
    patience = None
    round_trip = 0.1

    def __init__(self, options: ExecutorOptions) -> None:
        """Connect to nothing.

        Args:
            options: `address` of a scheduler, or a `client` of `distributed`; else a cluster of its own on this
                machine, of `workers` processes (one for each CPU). `timeout` is in seconds.

        Raises:
            ConfigError: An option that is not known, or two that contradict.
        """
        given = options.options
        unknown = [name for name in given if name not in OPTIONS]
        if unknown:
            raise ConfigError(f"executor_options: 'dask' knows {', '.join(OPTIONS)}, not {', '.join(unknown)}.")
        self._address: str | None = given.get("address")
        self._client: Client | None = given.get("client")
        self._owned = self._client is None
        if self._address is not None and self._client is not None:
            raise ConfigError("executor_options: give an address or a client, not both.")
        if "workers" in given and not (self._address is None and self._client is None):
            raise ConfigError("executor_options: workers= is for a cluster that is begun here; yours has its own.")
        self._wanted: int | None = given.get("workers")
        if self._wanted is not None and (not isinstance(self._wanted, int) or self._wanted < 1):
            raise ConfigError(f"executor_options: workers is {self._wanted!r}: give a whole number from 1.")
        self._timeout: float = given.get("timeout", TIMEOUT)
        self._most = options.max_concurrency
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)
        self._hired: Counter[str] = Counter()

    @property
    def client(self) -> Client:
        """The connection to the cluster, made when first needed.

        Raises:
            ConfigError: No scheduler answers.
        """
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Client:
        from distributed import Client, LocalCluster

        if self._address is not None:
            try:
                return Client(self._address, timeout=self._timeout, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise ConfigError(f"no Dask scheduler answers at {self._address}: {error}") from error
        cluster = LocalCluster(
            n_workers=self._wanted,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=40,
        )
        client = Client(cluster, set_as_default=False, direct_to_workers=True)
        client._rollouts_cluster = cluster
        return client

    @property
    def workers(self) -> int:
        """Dask workers now, at most as many as requests may be under way; at least one is waited for."""
        client = self.client
        try:
            client.wait_for_workers(1, timeout=self._timeout)
        except TimeoutError as error:
            raise ConfigError(f"the Dask cluster had no worker for {self._timeout:g} s") from error
        return min(len(client.nthreads()), self._most)

    @property
    def spread(self) -> bool:
        """True where the workers are on several machines."""
        return len({urlsplit(address).hostname for address in self.client.nthreads()}) > 1

    def hire(self, entry: str, environment: Mapping[str, str]) -> ActorChannel:
        """Begin a worker of ours on the Dask worker that has fewest of them.

        Raises:
            RolloutsError: None can be had, or it has another version of rollouts.
        """
        client = self.client
        client.wait_for_workers(1, timeout=self._timeout)
        with self._lock:
            there = client.nthreads()
            place = min(there, key=lambda address: self._hired[address], default=None)
            if place is None:
                raise RolloutsError("the Dask cluster has no worker")
            self._hired[place] += 1

        def leave() -> None:
            with self._gone:
                self._hired[place] -= 1
                self._gone.notify_all()

        try:
            # Another place than the one wished for is better than to wait for one that has just gone.
            future = client.submit(Seat, entry, actor=True, workers=[place], allow_other_workers=True, pure=False)
            with client.as_current():  # an actor finds its client that way, at its first call
                seat = future.result(timeout=self._timeout)
                theirs = seat.version().result(timeout=self._timeout)
        except Exception as error:
            leave()
            raise RolloutsError(
                f"no worker could be begun on the Dask worker {place} ({type(error).__name__}: {error}): rollouts and "
                "rollouts-dask must be installed there"
            ) from error
        if theirs != version():
            leave()
            raise RolloutsError(f"the Dask worker {place} has rollouts {theirs}, and this is rollouts {version()}")
        return ActorChannel(seat, leave)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run any function on the cluster."""
        return cast("Future[Any]", self.client.get_executor().submit(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Disconnect, and end the cluster that was begun here."""
        with self._gone:
            client = self._client
            if client is None:
                return
            self._gone.wait_for(lambda: not self._hired.total(), _LEAVE)
            if not self._owned:
                return
            self._client = None
        cluster = getattr(client, "_rollouts_cluster", None)
        client.close()
        if cluster is not None:
            cluster.close()
