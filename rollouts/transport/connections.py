"""Connections: made by requests' adapter and urllib3, watched before they connect, kept and reused.

Knows no answer. Imports requests and urllib3; imported by `http` when the first request is sent.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy, should_bypass_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.proxy import connection_requires_http_tunnel
from urllib3.util.wait import wait_for_read

from rollouts.transport.dns import Resolver
from rollouts.transport.environment import Environment
from rollouts.transport.urls import shown_url
from rollouts.transport.watchdog import Attempt, shut_down

_CONNECT = 30.0
"""Seconds for one address to accept a connection, before the next is tried."""
_TRUSTED = 1.0
"""Seconds for which a connection just used is taken to be alive without asking the kernel."""
# A model may think for many minutes without a byte: probes keep routers from forgetting the connection, and find out
# when the other side is gone.
_KEEP_ALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]


class _Watched:
    """Puts a socket under the watchdog before it connects."""

    attempt: Attempt
    resolver: Resolver
    guard: socket.socket | None = None
    port: int
    socket_options: Any
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        error: OSError = socket.gaierror(f"no address for {self._dns_host}")
        for family, kind, protocol, _, address in self.resolver.addresses(self._dns_host, self.port, self.attempt):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in (*_KEEP_ALIVE, *(self.socket_options or ())):
                    sock.setsockopt(*option)
                self._watch(sock)
                sock.settimeout(_CONNECT)
                sock.connect(address)
                # Blocking from here on: the watchdog ends what lasts too long, and a timeout costs a poll per recv.
                sock.settimeout(None)
                return sock
            except BaseException as caught:
                sock.close()
                if self.attempt.ended or not isinstance(caught, OSError):
                    raise
                error = caught
        raise error

    def _watch(self, sock: socket.socket) -> None:
        self.attempt.use(sock)


class WatchedHTTP(_Watched, HTTPConnection):
    """A plain connection."""


class WatchedHTTPS(_Watched, HTTPSConnection):
    """A TLS connection."""

    def _watch(self, sock: socket.socket) -> None:
        # Wrapping detaches `sock`, and the handshake runs before the wrapper is ours: a duplicate reaches it.
        self.drop_guard()
        self.guard = sock.dup()
        self.attempt.use(self.guard)

    def drop_guard(self) -> None:
        """Close the duplicate."""
        guard, self.guard = self.guard, None
        if guard is not None:
            guard.close()

    def connect(self) -> None:
        """Connect and shake hands."""
        try:
            super().connect()
            self.attempt.use(self.sock)
        finally:
            self.drop_guard()


class Route:
    """The way to one origin: its pool, its proxy, and the connections that are idle now."""

    def __init__(self, pool: Any, target_prefix: str, proxy: str | None, tunnel: bool, resolver: Resolver) -> None:
        self.pool = pool
        self.target_prefix = target_prefix
        """What stands before the path in the request line: empty, or the origin for a forwarding proxy."""
        self.proxy = proxy
        """The proxy's URL as it may be shown; None without one."""
        self.tunnel = tunnel
        self._resolver = resolver
        # `list.append` and `pop` are atomic; urllib3's queue takes two locks a request for the same.
        self._idle: list[tuple[Any, float]] = []

    @property
    def proxy_headers(self) -> dict[str, str]:
        """Headers for a forwarding proxy (its password)."""
        return {} if self.tunnel or self.proxy is None else dict(self.pool.proxy_headers)

    def idle(self, attempt: Attempt) -> Any:
        """A living idle connection, or None."""
        while self._idle:
            try:
                connection, used = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - used < _TRUSTED or not wait_for_read(connection.sock, timeout=0.0):
                attempt.use(connection.sock)
                return connection
            connection.close()
        return None

    def connect(self, attempt: Attempt) -> Any:
        """A new connection, through the proxy where there is one.

        Raises:
            OSError, urllib3.exceptions.HTTPError: It could not be made.
        """
        connection = self.pool._new_conn()
        connection.attempt, connection.resolver = attempt, self._resolver
        try:
            if self.tunnel:
                self.pool._prepare_proxy(connection)
            else:
                connection.connect()
            attempt.use(connection.sock)
        except BaseException:
            connection.close()
            raise
        return connection

    def keep(self, connection: Any, at_most: int) -> None:
        """Give a connection back for the next request, unless `at_most` are idle."""
        if len(self._idle) >= at_most:
            connection.close()
            return
        self._idle.append((connection, time.monotonic()))

    def clear(self, *, forked: bool = False) -> None:
        """Close the idle connections; in a forked child without a word to the server, which still serves the parent."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not forked:
                shut_down(connection.sock)
            connection.close()


class Connections:
    """All routes of one transport, over one shared `HTTPAdapter` that never retries."""

    def __init__(self, environment: Environment, resolver: Resolver) -> None:
        self._environment = environment
        self._resolver = resolver
        # One kept connection in urllib3's own queue, which stays empty: `Route` keeps them.
        self._adapter = HTTPAdapter(pool_maxsize=1, max_retries=0)
        self._routes: dict[tuple[str, str], Route] = {}
        self._lock = threading.Lock()

    def route(self, url: str) -> Route:
        """The way to the origin of `url`.

        Raises:
            OSError, ValueError: The proxy's URL or the certificates cannot be used.
        """
        parts = urlsplit(url)
        with self._lock:
            known = self._routes.get((parts.scheme, parts.netloc))
            if known is None:
                known = self._routes[parts.scheme, parts.netloc] = self._new_route(url)
            return known

    def _new_route(self, url: str) -> Route:
        proxies = dict(self._environment.proxies)
        if proxies and should_bypass_proxies(url, no_proxy=self._environment.no_proxy or ""):
            proxies = {}
        verify = self._environment.verify()
        request = requests.Request("POST", url).prepare()
        pool: Any = self._adapter.get_connection_with_tls_context(request, verify, proxies=proxies)
        self._adapter.cert_verify(pool, url, verify, None)  # type: ignore[no-untyped-call]
        proxy = select_proxy(url, proxies)
        if proxy is None or not proxy.lower().startswith("socks"):
            pool.ConnectionCls = WatchedHTTPS if pool.scheme == "https" else WatchedHTTP
        pool.conn_kw.setdefault("socket_options", HTTPConnection.default_socket_options)
        target = self._adapter.request_url(request, proxies)
        return Route(
            pool,
            "" if target.startswith("/") else target[: -len(request.path_url)],
            shown_url(proxy if "://" in proxy else f"http://{proxy}") if proxy else None,
            bool(proxy) and connection_requires_http_tunnel(pool.proxy, pool.proxy_config, urlsplit(url).scheme),
            self._resolver,
        )

    def clear(self, *, forked: bool = False) -> None:
        """Close every idle connection."""
        for route in list(self._routes.values()):
            route.clear(forked=forked)
        if not forked:
            self._adapter.close()


def render_head(method: str, url: str, headers: dict[str, str], route: Route, with_body: bool) -> bytes:
    """The request up to the value of its Content-Length, or whole where there is no body.

    Raises:
        ValueError: A header or the URL cannot be sent.
    """
    prepared = requests.Request(method, url, headers=headers).prepare()
    assert prepared.url is not None
    host = urlsplit(prepared.url).netloc.rpartition("@")[2]
    fields = {"Host": host, **prepared.headers, **route.proxy_headers}
    fields = {name: value for name, value in fields.items() if name.lower() not in ("content-length", "cookie")}
    lines = [f"{method} {route.target_prefix}{prepared.path_url} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join(lines).encode("latin-1")
    return head + (b"\r\nContent-Length: " if with_body else b"\r\n\r\n")
