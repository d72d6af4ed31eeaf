"""Tells rollouts that there are a limiter `shared` and a cache `postgresql`. Opens nothing and connects to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollouts.hookspecs import hookimpl
from rollouts.typing import CacheOptions, LimiterOptions, Spec

if TYPE_CHECKING:
    from rollouts_shared.limiter import SharedLimiter
    from rollouts_shared.postgresql import PostgresqlCache


def make_limiter(options: LimiterOptions) -> SharedLimiter:
    """The limiter; connects when the first request wants to start.

    Raises:
        ConfigError: No `url`, one that cannot be used, an unknown option, or no limit.
    """
    from rollouts_shared.limiter import SharedLimiter

    return SharedLimiter(options)


def make_cache(options: CacheOptions) -> PostgresqlCache:
    """The cache; connects at the first load or store.

    Raises:
        ConfigError: No `url`, one that is not PostgreSQL's, or an unknown option.
    """
    from rollouts_shared.postgresql import make

    return make(options)


@hookimpl
def rollouts_register_limiters() -> Sequence[Spec]:
    """Offer `shared`."""
    return [
        Spec(
            name="shared",
            factory=make_limiter,
            description="requests and tokens a minute, for all processes and machines that share a database",
        )
    ]


@hookimpl
def rollouts_register_caches() -> Sequence[Spec]:
    """Offer `postgresql`."""
    return [Spec(name="postgresql", factory=make_cache, description="one PostgreSQL database, for many machines")]
