"""Turns what sockets, TLS and urllib3 raise into one error with a sentence that says what to do. Sends nothing."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import zlib
from typing import Any

from rollouts.exceptions import DeadlineExceeded, TransportError
from rollouts.transport.answers import BodyTooLong, Broken
from rollouts.transport.urls import shown_url


def explain(error: BaseException, *, url: str, proxy: str | None, sent: bool, connected: bool) -> TransportError:
    """The error to raise for `error`.

    Args:
        error: What was caught; it is not chained, since its frames hold the key.
        url: Where the request went.
        proxy: The proxy on the way, as it may be shown.
        sent: The whole request had been sent.
        connected: A connection had been made.
    """
    root = _root(error)
    if proxy is not None and not connected and not isinstance(root, ssl.SSLCertVerificationError):
        told = TransportError(f"{_proxy_failed(root, proxy)} (on the way to {shown_url(url)})")
    else:
        text, permanent = _direct(root, shown_url(url), sent)
        told = TransportError(text)
        told.permanent = permanent
    told.sent = sent
    return told


def late(url: str, timeout: float, *, sent: bool) -> DeadlineExceeded:
    """The error for an attempt whose `timeout` seconds are over."""
    what = "the service may charge for it all the same" if sent else "nothing had been sent yet"
    told = DeadlineExceeded(f"no complete answer from {shown_url(url)} within {timeout:g} s; {what}")
    told.sent = sent
    return told


def was_cut(url: str, *, sent: bool) -> TransportError:
    """The error for an attempt that was cut from this side."""
    told = TransportError(f"the request to {shown_url(url)} was cut off by a stop")
    told.sent = sent
    return told


def _root(error: BaseException) -> BaseException:
    """What lies beneath urllib3's wrappers."""
    for _ in range(8):
        inner = getattr(error, "original_error", None) or error.__cause__
        if inner is None:
            inner = next((part for part in error.args if isinstance(part, BaseException)), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def _direct(error: BaseException, url: str, sent: bool) -> tuple[str, bool]:
    """A sentence, and whether it is no use to ask again."""
    host = url.partition("://")[2].partition("/")[0]
    if isinstance(error, socket.gaierror):
        return f"the name {host} was not found: is base_url right, and is there a network?", False
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {url}: is the server running?", False
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "it is not trusted"
        return f"the TLS certificate of {host} was refused ({why}): set REQUESTS_CA_BUNDLE to its CA's file", True
    if isinstance(error, ssl.SSLError):
        return f"TLS with {host} failed ({error.reason or 'the connection ended'}): does it serve https?", False
    if isinstance(error, ConnectionResetError | BrokenPipeError):  # http.client's RemoteDisconnected is one
        when = "after the request had been sent" if sent else "before the request was sent"
        return f"the connection to {url} was closed by the other side {when}", False
    if (broken := _broken(error)) is not None:
        return f"the answer of {url} is broken: {broken}", False
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files: lower max_concurrency, or raise the limit (`ulimit -n`)", False
    if isinstance(error, TimeoutError):
        return f"{url} did not accept a connection in time: is there a firewall between?", False
    if isinstance(error, OSError) and error.strerror:
        return f"no answer from {url}: {error.strerror}", False
    return f"no answer from {url}: {type(error).__name__}", False


def _broken(error: Any) -> str | None:
    """What is wrong with an answer, as http.client, urllib3 or we found it; None where something else is."""
    if isinstance(error, Broken | BodyTooLong):
        return str(error)
    if isinstance(error, http.client.IncompleteRead):
        if isinstance(error.partial, int):  # urllib3's own; http.client's are about chunks
            return f"the connection ended after {error.partial} of {error.partial + error.expected} bytes of the body"
        return "the chunked body ended early, or what stands before a chunk is no length"
    if isinstance(error, http.client.LineTooLong):
        return "the headers are longer than anything that is HTTP"
    if isinstance(error, http.client.BadStatusLine):
        return "what came is not HTTP"
    name = type(error).__name__
    if name == "InvalidHeader":
        return "its Content-Length is no length"
    if isinstance(error, zlib.error):
        return "the compressed body is damaged"
    return f"{name}: {error}" if isinstance(error, http.client.HTTPException) else None


def _proxy_failed(error: BaseException, proxy: str) -> str:
    text = str(error)
    if isinstance(error, OSError) and text.startswith("Tunnel connection failed"):
        return f"the proxy {proxy} refused the tunnel ({text.partition(': ')[2]}): see HTTPS_PROXY and NO_PROXY"
    if isinstance(error, socket.gaierror):
        return f"the proxy {proxy} was not found: see HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    if isinstance(error, ConnectionRefusedError):
        return f"the proxy {proxy} refused the connection: is it running? See HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return f"the proxy {proxy} failed ({type(error).__name__}): see HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
