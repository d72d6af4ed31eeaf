"""Sends prepared bodies over HTTP and brings whole answers back. It knows no service, retry, cache or prompt.

Importing this package loads neither requests nor urllib3: the first `post` or `get` does. Together with
the requests-cache backend it is the only place that knows them.
"""

from __future__ import annotations

from rollouts.transport.auth import Auth
from rollouts.transport.http import HttpTransport, Prepared, cut_all
from rollouts.transport.urls import shown_url

__all__ = ["Auth", "HttpTransport", "Prepared", "cut_all", "shown_url"]
