"""Time for tests: a clock that moves only when told, and a stop whose waits pass at once in that time.

    clock = FakeClock()
    stop = FakeStop(clock)
    limiter = PerMinute(LimiterOptions(scope=..., clock=clock, ...))
    limiter.acquire(request, stop)      # a wait of 6 s moves the clock by 6 s and returns

With `FakeClock(moves_itself=False)` waits block their thread until the test calls `advance`; `until_waiting(n)` returns
once n threads wait. No thread ever sleeps in real time.
"""

from __future__ import annotations

import threading

__all__ = ["FakeClock", "FakeStop"]

_PATIENCE = 30.0
"""Real seconds after which a test that waits for its own threads is told that it hangs."""


class FakeClock:
    """Seconds that pass only as told. Call it for the time; hand it wherever a `Clock` is wanted."""

    def __init__(self, start: float = 1000.0, *, moves_itself: bool = True) -> None:
        """Stand at `start`.

        Args:
            start: The first reading, in seconds.
            moves_itself: True where a wait on a `FakeStop` moves the clock (for tests of one thread); False where
                waits block until `advance`.
        """
        self.moves_itself = moves_itself
        self._now = start
        self._changed = threading.Condition()
        self._waiting = 0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and wake those whose wait is over."""
        self.move_to(self._now + seconds)

    def move_to(self, moment: float) -> None:
        """Let time pass until `moment`; does nothing when that is past."""
        with self._changed:
            self._now = max(self._now, moment)
            self._changed.notify_all()

    def until_waiting(self, threads: int) -> None:
        """Return once at least `threads` threads wait on stops of this clock.

        Raises:
            AssertionError: They do not within 30 real seconds.
        """
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._waiting >= threads, _PATIENCE)
        assert arrived, f"{self._waiting} threads wait, not {threads}"

    def pass_until(self, stop: FakeStop, waiter: _FakeWaiter | None, timeout: float | None) -> bool:
        """One wait: until stopped, woken or over; True when stopped. Used by `FakeStop`."""
        with self._changed:
            deadline = None if timeout is None else self._now + max(timeout, 0.0)

            def over() -> bool:
                return (
                    stop.is_set()
                    or (waiter is not None and waiter.woken)
                    or (deadline is not None and self._now >= deadline)
                )

            if self.moves_itself and deadline is not None and not over():
                self._now = deadline
            self._waiting += 1
            self._changed.notify_all()
            ended = self._changed.wait_for(over, _PATIENCE)
            self._waiting -= 1
            if waiter is not None:
                waiter.woken = False
            assert ended, "nobody ended a wait: wake it, stop it, or advance the clock"
            return stop.is_set()

    def tell(self) -> None:
        """Let all waits look again. Used by `FakeStop`."""
        with self._changed:
            self._changed.notify_all()


class FakeStop:
    """A `Stop` in the time of a `FakeClock`."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin unset."""
        self._clock = clock
        self._set = False

    def set(self) -> None:
        """Stop: end all waits."""
        self._set = True
        self._clock.tell()

    def is_set(self) -> bool:
        """True once set."""
        return self._set

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds of the clock; True as soon as set."""
        return self._clock.pass_until(self, None, timeout)

    def waiter(self) -> _FakeWaiter:
        """A wait that another thread can end too."""
        return _FakeWaiter(self, self._clock)


class _FakeWaiter:
    __slots__ = ("_clock", "_stop", "woken")

    def __init__(self, stop: FakeStop, clock: FakeClock) -> None:
        self._stop = stop
        self._clock = clock
        self.woken = False

    def wait(self, timeout: float | None) -> bool:
        """Wait until woken, stopped, or `timeout` seconds of the clock are over; True when stopped."""
        return self._clock.pass_until(self._stop, self, timeout)

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self.woken = True
        self._clock.tell()
