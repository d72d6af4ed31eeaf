"""What the process's environment says about proxies and certificates, read once. Knows no connection.

The variables mean what they mean to requests; `SSL_CERT_FILE`, which requests leaves out, comes last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from rollouts.exceptions import ConfigError

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Environment:
    """A snapshot: later changes of the environment do not matter to a client that exists."""

    proxies: Mapping[str, str] = field(repr=False)
    """By scheme (`http`, `https`, `all`); may hold a proxy's password."""
    no_proxy: str | None
    bundle: tuple[str, str] | None
    """The variable and the path of the certificates to trust; None for those of certifi."""

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Environment:
        """Take the snapshot."""
        proxies: dict[str, str] = {}
        # Lower case wins, as everywhere; an empty one switches the upper-case one off.
        for name, value in sorted(variables.items(), key=lambda item: item[0].islower()):
            if name.lower().endswith("_proxy"):
                proxies[name.lower().removesuffix("_proxy")] = value
        if "REQUEST_METHOD" in variables and "http_proxy" not in variables:
            # Inside CGI, HTTP_PROXY is a header that the caller chose (httpoxy).
            proxies.pop("http", None)
        no_proxy = proxies.pop("no", None)
        bundle = next(((name, variables[name]) for name in _BUNDLES if variables.get(name)), None)
        return cls({scheme: url for scheme, url in proxies.items() if url}, no_proxy, bundle)

    def verify(self) -> bool | str:
        """What to verify certificates against: a path, or True for certifi's.

        Raises:
            ConfigError: The variable names nothing that exists.
        """
        if self.bundle is None:
            return True
        name, path = self.bundle
        if not os.path.exists(path):
            raise ConfigError(f"{name} names {path}, which does not exist: correct or unset it")
        return path
