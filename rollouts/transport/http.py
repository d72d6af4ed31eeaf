"""One request, one whole answer, within one deadline. Knows no service, retry, cache or prompt.

A connection that was idle and turns out dead is replaced, unseen, only where the sending itself failed. Where the
request went out and no byte of an answer came, nobody can know whether the service worked (and charges): that is
reported with `.sent`, and the one retry layer decides.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rollouts.exceptions import ConfigError, TransportError
from rollouts.transport.auth import Auth
from rollouts.transport.dns import Resolver
from rollouts.transport.environment import Environment
from rollouts.transport.urls import checked_url, shown_url
from rollouts.transport.watchdog import Watchdog, allowed_cpus
from rollouts.typing import Clock, Stop, WireReply

if TYPE_CHECKING:
    import requests

    from rollouts.transport.answers import Exchange
    from rollouts.transport.connections import Adapter

_DEFAULT_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
_POST_HEADERS = {"Content-Type": "application/json"}


class Prepared:
    """A request without its body: made once per prompt, sent any number of times. Never shows the key."""

    __slots__ = ("_auth", "_headers", "_ready", "direct", "method", "url")

    def __init__(
        self, method: str, url: str, headers: dict[str, str], auth: Auth | None = None, *, direct: bool = False
    ) -> None:
        self.direct = direct
        self.method = method
        self.url = url
        self._headers = headers
        self._auth = auth
        self._ready: _Ready | None = None

    def hide(self, reply: WireReply) -> WireReply:
        """Take the key out of an answer that repeats it: answers are stored and shown."""
        if self._auth is not None:
            reply.body = self._auth.hide(reply.body)
        return reply

    def shown_headers(self, key_header: str) -> dict[str, str]:
        """The headers, without the value of the one that carries the key."""
        hidden = key_header.lower()
        return {name: "***" if name.lower() == hidden else value for name, value in self._headers.items()}

    def __repr__(self) -> str:
        return f"Prepared({self.method} {shown_url(self.url)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be pickled: the key would be in it."""
        raise TypeError("a prepared request holds the key and is not pickled")


class _Ready:
    """What requests makes of a `Prepared`: copied for each sending."""

    __slots__ = ("adapter", "proxies", "proxy", "request", "verify")

    def __init__(
        self, request: requests.PreparedRequest, adapter: Adapter, proxies: dict[str, str], verify: bool | str
    ) -> None:
        from requests.utils import select_proxy

        self.request = request
        self.adapter = adapter
        self.proxies = proxies
        self.verify = verify
        proxy = select_proxy(request.url or "", proxies)
        self.proxy = shown_url(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
        """The proxy's URL as it may be shown; None without one."""


class HttpTransport:
    """Sends requests for many threads at once, over as many connections as there are requests under way."""

    def __init__(
        self, *, max_connections: int, max_body: int = 256 * 1024 * 1024, clock: Clock = time.monotonic
    ) -> None:
        """Read the environment; make no socket and no thread.

        Args:
            max_connections: Most idle connections kept; as many as the requests that may be under way at once.
            max_body: Most bytes of an answer's body.
            clock: Seconds, for deadlines and latencies.
        """
        if max_connections < 1 or max_body < 1:
            raise ConfigError("max_connections and max_body must be at least 1")
        self._max_connections = max_connections
        self._max_body = max_body
        self._clock = clock
        self._environment = Environment.read()
        # Ours are started by whichever worker needs them first, and that one may be kept to one CPU.
        self._cpus = allowed_cpus()
        self._resolver = Resolver(clock, self._cpus)
        self._watchdog = Watchdog(clock, self._cpus)
        self._adapter: Adapter | None = None
        self._finalizer: Any = None
        self._lock = threading.Lock()
        self._closed = False
        _live.add(self)

    def prepare(
        self, url: str, headers: Mapping[str, str], auth: Auth | None, *, method: str = "POST", direct: bool = False
    ) -> Prepared:
        """Everything of a request that does not change with the sample. Loads nothing and sends nothing.

        Args:
            url: Where it goes; a user and password in it are not sent.
            headers: Over our defaults, whatever the case of their names; `auth` is put over them.
            auth: The key, or None.
            method: HTTP method.
            direct: Through no proxy, whatever the environment says: the server is one of this process's own.

        Raises:
            ConfigError: The URL or a header cannot be sent, or a CA bundle that the environment names is missing.
        """
        self._environment.verify()
        target = checked_url(url)  # before the key is at hand: an error's frame must not hold it
        merged = dict(_DEFAULT_HEADERS if method == "GET" else _DEFAULT_HEADERS | _POST_HEADERS)
        merged["User-Agent"] = _user_agent()
        for name, value in headers.items():
            if not _sendable(name, value):
                raise ConfigError(
                    f"the header {str(name)[:40]!r} cannot be sent: a line break or a character beyond Latin-1"
                )
            _put(merged, name, value)
        if auth is not None:
            _put(merged, auth.header, auth.value)
        return Prepared(method, target, merged, auth, direct=direct)

    def post(self, prepared: Prepared, body: bytes, *, timeout: float, stop: Stop | None = None) -> WireReply:
        """Send `body` and wait for the whole answer, whatever its status. Redirects are not followed.

        Args:
            prepared: From `prepare` of this transport.
            body: The JSON body.
            timeout: Seconds for everything: name, connect, TLS, sending, waiting, reading.
            stop: Where it is set, nothing is sent.

        Raises:
            DeadlineExceeded: The time was over.
            TransportError: No whole answer came; `.sent` and `.permanent` say more.
        """
        error: TransportError
        if self._closed or (stop is not None and stop.is_set()):
            error = TransportError(
                f"nothing was sent to {shown_url(prepared.url)}: {'closed' if self._closed else 'stopped'}"
            )
        else:
            answer = self._exchange(prepared, body, timeout, stop)
            if isinstance(answer, WireReply):
                return prepared.hide(answer)
            error = answer
        # Outside of any `except`: no context, and no frame but this one.
        raise error

    def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, auth: Auth | None = None, timeout: float
    ) -> WireReply:
        """Fetch `url`; as `post`, without a body."""
        return self.post(self.prepare(url, headers or {}, auth, method="GET"), b"", timeout=timeout)

    def cut(self, stop: Stop | None = None) -> None:
        """Shut sockets in flight down: each such `post` under way raises at once. Later posts work.

        Args:
            stop: Cut only the posts that were given this stop; None cuts all.
        """
        self._watchdog.cut(stop)

    def close(self) -> None:
        """Cut what is in flight, close all sockets, end the thread. May be called twice."""
        self._closed = True
        self._watchdog.stop()
        with self._lock:
            if self._adapter is not None:
                self._adapter.close()

    def _exchange(
        self, prepared: Prepared, body: bytes, timeout: float, stop: Stop | None
    ) -> WireReply | TransportError:
        # All at the first request: when something fails there may be no file descriptor left to load a module with.
        from rollouts.transport import failures  # noqa: F401
        from rollouts.transport.answers import Exchange, read_body
        from rollouts.transport.connections import NO_TIMEOUT, here

        exchange = here.exchange = Exchange(self._clock() + timeout, stop, self._resolver, self._max_body)
        self._watchdog.add(exchange)
        ready: _Ready | None = None
        response: Any = None
        try:
            ready = prepared._ready
            if ready is None or ready.adapter is not self._adapter:
                ready = self._make_ready(prepared)
            while True:
                request = ready.request.copy()
                if prepared.method != "GET":
                    request.body = body
                    request.headers["Content-Length"] = str(len(body))
                began = self._clock()
                try:
                    response = ready.adapter.send(
                        request, stream=True, timeout=NO_TIMEOUT, verify=ready.verify, proxies=ready.proxies
                    ).raw
                    break
                except OSError:
                    # An idle connection that was closed meanwhile. Each turn uses one up, so that this ends.
                    if not (exchange.refused and exchange.reused) or exchange.ended:
                        raise
                    exchange.start_again()
            content = read_body(response, self._max_body)
            headers = {name.lower(): response.headers[name] for name in response.headers}
            return WireReply(response.status, headers, content, self._clock() - began)
        except Exception as caught:
            return self._failure(caught, prepared, ready, exchange, timeout)
        finally:
            exchange.leave()
            here.exchange = None
            self._watchdog.remove(exchange)
            if response is not None and not response.closed:
                response.close()

    def _failure(
        self, caught: Exception, prepared: Prepared, ready: _Ready | None, exchange: Exchange, timeout: float
    ) -> TransportError:
        from rollouts.transport.failures import explain, late, was_cut

        sent = exchange.sent
        if exchange.ended == "cut":
            return was_cut(prepared.url, sent=sent)
        if exchange.ended == "deadline":
            return late(prepared.url, timeout, sent=sent)
        proxy = ready.proxy if ready is not None else None
        return explain(caught, url=prepared.url, proxy=proxy, sent=sent, connected=exchange.connected)

    def _make_ready(self, prepared: Prepared) -> _Ready:
        import requests
        from requests.utils import should_bypass_proxies

        from rollouts.transport.connections import Adapter

        with self._lock:
            if self._adapter is None:
                self._adapter = Adapter(self._max_connections)
                # A transport that is forgotten, not closed, leaves no open socket either.
                self._finalizer = weakref.finalize(self, self._adapter.close)
            adapter = self._adapter
        proxies = {} if prepared.direct else dict(self._environment.proxies)
        if proxies and should_bypass_proxies(prepared.url, no_proxy=self._environment.no_proxy or ""):
            proxies = {}
        request = requests.Request(prepared.method, prepared.url, headers=prepared._headers).prepare()
        # The names are as we want them, and a plain dictionary is copied four times as fast, twice a request.
        request.headers = dict(request.headers)  # type: ignore[assignment]
        prepared._ready = ready = _Ready(request, adapter, proxies, self._environment.verify())
        return ready

    def _after_fork(self) -> None:
        """Start again in a forked child: its threads are gone, and the connections are the parent's."""
        self._lock = threading.Lock()
        self._watchdog = Watchdog(self._clock, self._cpus)
        self._resolver = Resolver(self._clock, self._cpus)
        if self._adapter is not None:
            self._finalizer.detach()
            self._adapter = None


_live: weakref.WeakSet[HttpTransport] = weakref.WeakSet()


def cut_all() -> None:
    """Cut what is in flight in every transport of the process: at exit, nothing then waits for a server."""
    for transport in list(_live):
        transport.cut()


def _forked() -> None:
    for transport in list(_live):
        transport._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _sendable(name: object, value: object) -> bool:
    if not isinstance(name, str) or not isinstance(value, str) or not name or not name.isascii():
        return False
    return not any(c in "\r\n\0" or ord(c) > 255 for c in name + value) and not any(c in " :\t" for c in name)


def _put(headers: dict[str, str], name: str, value: str) -> None:
    for known in [known for known in headers if known.lower() == name.lower()]:
        del headers[known]
    headers[name] = value


def _user_agent() -> str:
    from rollouts import __version__

    return f"rollouts/{__version__}"
