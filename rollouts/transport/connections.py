"""requests' adapter over urllib3's pools, with connections that the watchdog can end. Knows no prompt and no answer.

Imports requests and urllib3; imported by `http` when the first request is sent.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.util import Timeout

from rollouts.transport.answers import Answer, Exchange

_CONNECT = 30.0
"""Seconds for one address to accept a connection, before the next is tried."""
_TRUSTED = 1.0
"""Seconds for which a connection just used is taken to be alive without asking the kernel."""
_POOLS = 1 << 16
"""Origins whose connections are kept: more than any client has, so that none is pushed out."""
NO_TIMEOUT: Any = Timeout(connect=None, read=None)
"""The watchdog ends what lasts too long."""
# A model may think for many minutes without a byte: probes keep routers from forgetting the connection, and find out
# when the other side is gone.
_KEEP_ALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]


class _Here(threading.local):
    """What this thread is about: urllib3 hands nothing of ours down to a connection."""

    exchange: Exchange | None = None


here = _Here()


def _exchange() -> Exchange:
    exchange = here.exchange
    assert exchange is not None, "connections are used by the transport only"
    return exchange


class _Socket(socket.socket):
    """Asks the kernel for another timeout only when it is another one: urllib3 sets it twice a request."""

    def settimeout(self, value: float | None) -> None:
        if value != self.gettimeout():
            super().settimeout(value)


class _Watched:
    """A connection of urllib3's that the watchdog can end at any time, and that sends a request in one piece."""

    sock: Any
    _held: list[Any] | None = None
    _used = 0.0

    def response_class(self, sock: Any, **options: Any) -> Answer:
        return Answer(sock, _exchange(), **options)

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        exchange = _exchange()
        exchange.use(self.sock)
        exchange.connected = True

    @property
    def is_connected(self) -> bool:
        """As urllib3 asks for it before it uses an idle connection."""
        if self.sock is None:
            return False
        if time.monotonic() - self._used < _TRUSTED:
            return True
        alive: bool = super().is_connected  # type: ignore[misc]
        return alive

    def request(self, *args: Any, **options: Any) -> None:
        exchange = _exchange()
        if self.sock is not None:
            exchange.use(self.sock)
            exchange.connected = True
            exchange.reused = self._used > 0.0
        self._held = []
        super().request(*args, **options)  # type: ignore[misc]
        message, self._held = b"".join(self._held), None
        try:
            super().send(message)  # type: ignore[misc]
        except OSError:
            exchange.refused = exchange.connected
            raise
        exchange.sent = True

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._held.append(data)

    def close(self) -> None:
        self._held = None
        super().close()  # type: ignore[misc]

    def may_serve_again(self) -> bool:
        """Called when an answer was read: takes the connection from the watchdog, and says whether to keep it."""
        exchange = _exchange()
        # The watchdog sets its mark first and looks for the socket second, we the other way round.
        exchange.sock = None
        self._used = time.monotonic()
        return exchange.sent and not exchange.left_over and not exchange.ended and self.sock is not None


class _Connecting:
    """Finds the address within the deadline, and puts a socket under the watchdog before it connects."""

    port: int
    socket_options: Any
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        exchange = _exchange()
        error: OSError = socket.gaierror(f"no address for {self._dns_host}")
        for family, kind, protocol, _, address in exchange.resolver.addresses(self._dns_host, self.port, exchange):
            sock = _Socket(family, kind, protocol)
            try:
                for option in (*_KEEP_ALIVE, *(self.socket_options or ())):
                    sock.setsockopt(*option)
                self._watch(exchange, sock)
                sock.settimeout(_CONNECT)
                sock.connect(address)
                # Blocking from here on: the watchdog ends what lasts too long, and a timeout costs a poll per recv.
                sock.settimeout(None)
                return sock
            except BaseException as caught:
                sock.close()
                if exchange.ended or not isinstance(caught, OSError):
                    raise
                error = caught
        raise error

    def _watch(self, exchange: Exchange, sock: socket.socket) -> None:
        exchange.use(sock)


class _ConnectingTLS(_Connecting):
    """The same before a handshake."""

    _guard: socket.socket | None = None

    def _watch(self, exchange: Exchange, sock: socket.socket) -> None:
        # Wrapping detaches `sock`, and the handshake runs before the wrapper is ours: a duplicate reaches it.
        self._drop_guard()
        self._guard = sock.dup()
        exchange.use(self._guard)

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        finally:
            # The watchdog may look at it once more: a closed socket is shut down without harm.
            self._drop_guard()

    def _drop_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.close()


class _Idle:
    """The idle connections of a pool, the last used first: urllib3's queue takes two locks a request for the same."""

    def __init__(self, maxsize: int = 0) -> None:
        self._most = maxsize
        # `list.append` and `pop` are atomic.
        self._connections: list[Any] = []

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, connection: Any, block: bool = False) -> None:
        if connection is None:
            return  # urllib3's stand-in for a connection not made yet
        if connection.may_serve_again() and len(self._connections) < self._most:
            self._connections.append(connection)
        else:
            connection.close()

    def qsize(self) -> int:
        return len(self._connections)


def _watched(pool_class: Any) -> Any:
    """`pool_class` with connections of ours."""
    plain = pool_class.ConnectionCls
    bases: tuple[type, ...] = (_Watched, plain)
    if "socks" not in plain.__module__:  # a SOCKS connection finds its own way
        bases = (_ConnectingTLS if issubclass(plain, HTTPSConnection) else _Connecting, *bases)
    connection_class = type("Watched" + plain.__name__, bases, {})
    return type("Watched" + pool_class.__name__, (pool_class,), {"ConnectionCls": connection_class, "QueueCls": _Idle})


def _watch_pools(manager: Any) -> None:
    """Let a pool manager make pools with connections of ours."""
    manager.pool_classes_by_scheme = {
        scheme: _watched(pool_class) for scheme, pool_class in manager.pool_classes_by_scheme.items()
    }


class Adapter(HTTPAdapter):
    """The transport's one adapter: never retries, and works out once per URL what cannot change between requests.

    Used without a session: no environment is read, no redirect followed, no cookie kept, no `.netrc` looked up.
    """

    def __init__(self, max_connections: int) -> None:
        """Keep up to `max_connections` idle connections for each origin."""
        self._pools: dict[str, Any] = {}
        self._making = threading.Lock()
        super().__init__(pool_connections=_POOLS, pool_maxsize=max_connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make pools with connections of ours."""
        super().init_poolmanager(*args, **options)
        _watch_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        """Make such pools for a proxy too."""
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            _watch_pools(manager)
        return manager

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The pool of a URL."""
        pool = self._pools.get(request.url)
        if pool is None:
            with self._making:
                pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
                super().cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
                self._pools[request.url] = pool
        return pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Done when the pool was made: it asks the disk for the certificates each time."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """The response without what nobody here reads: cookies, a copy of the headers."""
        response = requests.Response()
        response.status_code, response.raw, response.request = resp.status, resp, req
        return response

    def close(self) -> None:
        """Close the idle connections."""
        # urllib3 leaves that to the garbage collector, which comes late where an exception still knows the pool.
        for pool in list(self._pools.values()):
            pool.close()
        self._pools.clear()
        super().close()
