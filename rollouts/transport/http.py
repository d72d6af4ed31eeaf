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
from typing import Any

from rollouts.exceptions import ConfigError, TransportError
from rollouts.transport.auth import Auth
from rollouts.transport.dns import Resolver
from rollouts.transport.environment import Environment
from rollouts.transport.failures import explain, late, was_cut
from rollouts.transport.urls import checked_url, shown_url
from rollouts.transport.watchdog import Attempt, Watchdog
from rollouts.transport.wire import WireAnswer, WireError, read_answer
from rollouts.typing import Clock, Stop, WireReply

_DEFAULT_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}
_POST_HEADERS = {"Content-Type": "application/json"}


class Prepared:
    """A request without its body: made once per prompt, sent any number of times. Never shows its headers."""

    __slots__ = ("_headers", "_ready", "method", "url")

    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method = method
        self.url = url
        self._headers = headers
        self._ready: tuple[Any, bytes] | None = None

    def __repr__(self) -> str:
        return f"Prepared({self.method} {shown_url(self.url)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be pickled: the key would be in it."""
        raise TypeError("a prepared request holds the key and is not pickled")


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
        self._resolver = Resolver(clock)
        self._watchdog = Watchdog(clock)
        self._connections: Any = None
        self._lock = threading.Lock()
        self._closed = False
        _live.add(self)

    def prepare(self, url: str, headers: Mapping[str, str], auth: Auth | None, *, method: str = "POST") -> Prepared:
        """Everything of a request that does not change with the sample. Loads nothing and sends nothing.

        Args:
            url: Where it goes; a user and password in it are not sent.
            headers: Over our defaults, whatever the case of their names; `auth` is put over them.
            auth: The key, or None.
            method: HTTP method.

        Raises:
            ConfigError: The URL or a header cannot be sent, or a CA bundle that the environment names is missing.
        """
        self._environment.verify()
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
        return Prepared(method, checked_url(url), merged)

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
        attempt = Attempt(self._clock() + timeout, stop)
        error: TransportError
        if self._closed or (stop is not None and stop.is_set()):
            error = TransportError(
                f"nothing was sent to {shown_url(prepared.url)}: {'closed' if self._closed else 'stopped'}"
            )
        else:
            self._watchdog.add(attempt)
            try:
                answer = self._exchange(prepared, body, attempt, timeout)
            finally:
                self._watchdog.remove(attempt)
            if isinstance(answer, WireReply):
                return answer
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
            if self._connections is not None:
                self._connections.clear()

    def _exchange(
        self, prepared: Prepared, body: bytes, attempt: Attempt, timeout: float
    ) -> WireReply | TransportError:
        connection: Any = None
        route: Any = None
        sent = False
        try:
            route, head = prepared._ready or self._make_ready(prepared)
            message = head if prepared.method == "GET" else b"%b%d\r\n\r\n%b" % (head, len(body), body)
            connection = route.idle(attempt)
            reused = connection is not None
            while True:
                if connection is None:
                    connection = route.connect(attempt)
                began = self._clock()
                refused = _send(connection.sock, message)
                sent = refused is None
                try:
                    # A server may refuse (413) and close before it has read all: its answer is worth having.
                    answer = read_answer(connection.sock.recv, self._max_body)
                    break
                except (OSError, WireError):
                    if refused is None or not reused or attempt.ended:
                        raise
                    connection.close()
                    connection, reused = None, False
            reply = WireReply(answer.status, answer.headers, answer.body, self._clock() - began)
        except Exception as caught:
            failed = self._failure(caught, prepared, route, attempt, timeout, sent, connected=connection is not None)
            if connection is not None:
                connection.close()
            return failed
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        self._give_back(route, connection, attempt, answer, clean=sent)
        return reply

    def _failure(
        self,
        caught: Exception,
        prepared: Prepared,
        route: Any,
        attempt: Attempt,
        timeout: float,
        sent: bool,
        *,
        connected: bool,
    ) -> TransportError:
        if attempt.ended == "cut":
            return was_cut(prepared.url, sent=sent)
        if attempt.ended == "deadline":
            return late(prepared.url, timeout, sent=sent)
        proxy = route.proxy if route is not None else None
        return explain(caught, url=prepared.url, proxy=proxy, sent=sent, connected=connected)

    def _give_back(self, route: Any, connection: Any, attempt: Attempt, answer: WireAnswer, *, clean: bool) -> None:
        self._watchdog.remove(attempt)
        if clean and answer.reusable and not attempt.ended and not self._closed:
            route.keep(connection, self._max_connections)
        else:
            connection.close()
        if self._closed:
            route.clear()

    def _make_ready(self, prepared: Prepared) -> tuple[Any, bytes]:
        from rollouts.transport import connections

        with self._lock:
            if self._connections is None:
                self._connections = connections.Connections(self._environment, self._resolver)
                # A transport that is forgotten, not closed, leaves no open socket either.
                weakref.finalize(self, self._connections.clear)
        route = self._connections.route(prepared.url)
        with_body = prepared.method != "GET"
        head = connections.render_head(prepared.method, prepared.url, prepared._headers, route, with_body)
        prepared._ready = (route, head)
        return prepared._ready

    def _after_fork(self) -> None:
        """Start again in a forked child: its threads are gone, and the connections are the parent's."""
        self._lock = threading.Lock()
        self._watchdog = Watchdog(self._clock)
        self._resolver = Resolver(self._clock)
        if self._connections is not None:
            self._connections.clear(forked=True)


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


def _send(sock: Any, message: bytes) -> OSError | None:
    try:
        sock.sendall(message)
    except OSError as error:
        return error
    return None


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
