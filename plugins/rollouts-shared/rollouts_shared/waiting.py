"""A wait that the stop ends, and another thread too. Knows the Protocols only."""

from __future__ import annotations

from rollouts.typing import Stop, Waiter

_GLANCE = 0.05
"""Seconds between two looks, for a stop that makes no waiters."""


def waiter_of(stop: Stop) -> Waiter:
    """A waiter that `stop` ends; for a stop that makes none (a plain `threading.Event`) one that looks every 50 ms."""
    make = getattr(stop, "waiter", None)
    return make() if make is not None else _Glancing(stop)


class _Glancing:
    __slots__ = ("_stop", "_woken")

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._woken = False

    def wait(self, timeout: float | None) -> bool:
        """Wait once, 50 ms at most: whoever waits looks again anyway."""
        if self._woken:
            self._woken = False
            return self._stop.is_set()
        return self._stop.wait(_GLANCE if timeout is None else min(timeout, _GLANCE))

    def wake(self) -> None:
        """Let the next wait return at once."""
        self._woken = True
