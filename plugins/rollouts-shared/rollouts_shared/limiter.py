"""The limiter `shared`: requests and tokens a minute for all processes and machines that name one database.

The promise is that of `requests_per_minute` everywhere in rollouts: in no window of 60 seconds do more than r requests
start. Here it holds for all who share the limit: they have one URL of a database, one base URL, and one `name`. The key
plays no part, for a limiter is never told it: who has two keys gives two names.

Knows databases only as a `Ledger`. One thread of a process asks it at a time, the others wait in line.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import math
import os
import random
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from rollouts.exceptions import ConfigError, PluginError
from rollouts.typing import LimiterOptions, Outcome, Permit, Stop, Waiter
from rollouts_shared.addresses import url_of
from rollouts_shared.allowance import KEEP, Allowance
from rollouts_shared.ledgers import Ledger, open_ledger
from rollouts_shared.waiting import waiter_of

if TYPE_CHECKING:
    from rollouts.identity import SampleRequest
    from rollouts.results import Usage
    from rollouts.typing import Clock

WINDOW = 60.0
"""Seconds in which a limit holds."""

MARGIN = 1.0
"""Seconds by which we count longer: what leaves machines so far apart may arrive at once."""

TOKENS_PER_ROW = 100
"""Tokens for which one row of the log stands."""

PATIENCE = 30.0
"""Seconds for which a database that cannot be reached is asked again."""

_GUESS = 1000.0  # completion tokens assumed where neither `max_tokens` nor any answer tells
_LONGEST_WAIT = 5.0  # seconds between two looks, for clocks that are set
_STEPS = 500  # a process takes 1/500 of a limit at once, so that a high limit costs no more than 500 questions a minute


class _Limit(NamedTuple):
    """`rows` in `seconds` on a log, of so many `units` each; a process takes `step` rows at least."""

    log: str
    rows: int
    seconds: float
    units: int
    step: int


class Line:
    """Those of this process who wait for one shared limit, first come first served."""

    def __init__(self, ledger: Ledger) -> None:
        """Ask `ledger`."""
        self.ledger = ledger
        self.lock = threading.Lock()
        self.queue: deque[Waiter] = deque()
        self.requests = Allowance()
        self.tokens = Allowance()
        self.mean_completion: float | None = None
        self._pid = os.getpid()
        atexit.register(self._close)

    def _close(self) -> None:
        if self._pid == os.getpid():  # else the connection is the parent's
            self.ledger.close()

    def wake_head(self) -> None:
        """Let the first in line look again; the caller holds the lock."""
        if self.queue:
            self.queue[0].wake()


class SharedLimiter:
    """A `Limiter` whose starts are counted in a database.

    Used where all agree on the numbers. With different ones each process keeps to its own, counting everybody's starts.
    """

    def __init__(self, options: LimiterOptions, *, window: float = WINDOW) -> None:
        """Join the limit; connects to nothing.

        Args:
            options: The scope, the limits, and in `options` the `url` of the database, or `url_from`; perhaps a `name`.
            window: Seconds in which `requests_per_minute` requests may start: 60, but for tests.

        Raises:
            ConfigError: No `url`, one that cannot be used, an unknown option, or no limit.
        """
        example = "redis://localhost:6379/0"
        address = url_of(options.options, setting="limiter_options", others=("name",), example=example)
        name = options.options.get("name", "")
        if not isinstance(name, str):
            raise ConfigError(f"The name of a shared limit is a text, not {name!r}.")
        if options.requests_per_minute is None and options.tokens_per_minute is None:
            raise ConfigError("limiter='shared' has nothing to limit: give requests_per_minute or tokens_per_minute.")
        self._address = address
        self._clock: Clock = options.clock
        self._scope = options.scope
        open_ledger(address, options.clock)  # says what is wrong with the URL
        self._span = window + MARGIN + KEEP
        self._log = _log_name(options.scope.label, name, window, options.requests_per_minute)
        self._line_name = f"rollouts-shared.{self._log}.{_digest(address.url)}"
        self.requests_per_minute = options.requests_per_minute
        self.tokens_per_minute = options.tokens_per_minute

    def acquire(self, request: SampleRequest, stop: Stop) -> Permit | None:
        """Wait until a start breaks no limit; None when stopped.

        Raises:
            PluginError: The database cannot be reached for half a minute. Nothing is sent without its leave.
        """
        if stop.is_set():
            return None
        line = self._line()
        tokens = 0.0 if self.tokens_per_minute is None else _estimate(request, line.mean_completion)
        waiter = waiter_of(stop)
        with line.lock:
            line.queue.append(waiter)
        failing_since: float | None = None
        try:
            while True:
                timeout = None
                with line.lock:
                    first = line.queue[0] is waiter
                if first:
                    try:
                        permit, timeout = self._try(line, tokens)
                        failing_since = None
                    except line.ledger.errors as error:
                        permit, now = None, self._clock()
                        line.ledger.close()
                        failing_since = now if failing_since is None else failing_since
                        if now - failing_since >= PATIENCE:
                            raise self._unreachable(error) from None
                        timeout = min(0.1 + (now - failing_since), 2.0)
                    if permit is not None:
                        return permit
                if waiter.wait(timeout):
                    return None
        finally:
            with line.lock:
                line.queue.remove(waiter)
                line.wake_head()

    def _try(self, line: Line, tokens: float) -> tuple[Permit | None, float]:
        """A permit, or how long to wait. Only the first in line comes here, so nobody else asks the ledger."""
        now = self._clock()
        # Requests first: one that then waits for tokens is lost after a second, and where tokens lack, requests abound.
        limits = []
        if self.requests_per_minute is not None:
            limits.append((line.requests, 1.0, self._requests_limit(self.requests_per_minute)))
        if self.tokens_per_minute is not None:
            limits.append((line.tokens, tokens, self._tokens_limit(self.tokens_per_minute)))
        for allowance, wanted, limit in limits:
            # One that is larger than the limit takes all of it.
            amount = min(wanted, limit.rows * limit.units)
            with line.lock:
                missing = allowance.missing(amount, now)
            if missing <= 0:
                continue
            rows = min(max(math.ceil(missing / limit.units), limit.step), limit.rows)
            wait = line.ledger.take(limit.log, limit.rows, limit.seconds, rows)
            if wait:
                return None, min(wait, _LONGEST_WAIT) + random.uniform(0, 0.01)
            with line.lock:
                allowance.add(rows * limit.units, now + KEEP)
        with line.lock:
            uses = [(allowance, *allowance.use(wanted)) for allowance, wanted, _ in limits]
        return _Permit(line, uses, self.tokens_per_minute), 0.0

    def _requests_limit(self, rate: float) -> _Limit:
        """The limit on starts.

        So that the local limiter, which sees the same `requests_per_minute`, never holds a start back for which we have
        counted already, ours keeps to its bucket: b = r/10 starts at once, and one more every 60/(r − b + 1) seconds.
        """
        whole = int(rate)
        burst = max(1, whole // 10)
        seconds = burst * self._span / (whole - burst + 1 if whole else rate)
        return _Limit(f"{self._log}_requests", burst, seconds, 1, round(rate / _STEPS))

    def _tokens_limit(self, rate: float) -> _Limit:
        """The limit on tokens."""
        rows = int(rate // TOKENS_PER_ROW)
        seconds = self._span if rows else self._span * TOKENS_PER_ROW / rate
        step = round(rate / TOKENS_PER_ROW / _STEPS)
        return _Limit(f"{self._log}_tokens", max(rows, 1), seconds, TOKENS_PER_ROW, step)

    def _line(self) -> Line:
        # By process: in a forked one nobody of this line is alive, and the connection is the parent's.
        return self._scope.shared(
            f"{self._line_name}.{os.getpid()}", lambda: Line(open_ledger(self._address, self._clock))
        )

    def _unreachable(self, error: Exception) -> PluginError:
        return PluginError(
            f"The shared limit at {self._address.shown} could not be asked for {PATIENCE:.0f} s "
            f"({self._address.scrubbed(error)}), and without its leave nothing is sent. Start that database or correct "
            "the url in limiter_options; what was answered is kept."
        )

    def __repr__(self) -> str:
        return (
            f"SharedLimiter({self._address.shown}, requests_per_minute={self.requests_per_minute}, "
            f"tokens_per_minute={self.tokens_per_minute})"
        )


class _Permit:
    __slots__ = ("_line", "_tokens_per_minute", "_uses")

    def __init__(self, line: Line, uses: list[tuple[Allowance, float, float]], tokens_per_minute: float | None) -> None:
        self._line = line
        self._uses = uses
        self._tokens_per_minute = tokens_per_minute

    def settle(self, outcome: Outcome, usage: Usage | None) -> None:
        """Correct the tokens; the start itself stays counted."""
        spent = _spent(outcome, usage)
        line = self._line
        with line.lock:
            if usage is not None and usage.completion_tokens is not None:
                mean, new = line.mean_completion, float(usage.completion_tokens)
                line.mean_completion = new if mean is None else mean + (new - mean) / 16
            for allowance, used, until in self._uses:
                if allowance is line.tokens and spent is not None:
                    allowance.owe(spent - used, most=self._tokens_per_minute or 0.0)
                    allowance.give_back(used - spent, until)
            line.wake_head()

    def cancel(self) -> None:
        """Give back what another may use at once; after a second it is lost."""
        line = self._line
        with line.lock:
            for allowance, used, until in self._uses:
                allowance.give_back(used, until)
            line.wake_head()


def _estimate(request: SampleRequest, mean_completion: float | None) -> float:
    body = request.wire.body
    allowed = body.get("max_completion_tokens", body.get("max_tokens"))
    completion: float = mean_completion if mean_completion is not None else allowed if allowed is not None else _GUESS
    return len(request.canonical) / 4 + (min(completion, allowed) if allowed is not None else completion)


def _spent(outcome: Outcome, usage: Usage | None) -> float | None:
    """Tokens that a request cost in the end; None where nobody knows and the estimate stands."""
    if usage is not None and usage.total_tokens is not None:
        return usage.total_tokens
    return None if outcome.is_answer or outcome.billed else 0


def _log_name(label: str, name: str, window: float, requests_per_minute: float | None) -> str:
    """The same in every process that shares the limit, and nothing can be read from it."""
    # Below one a minute the window is longer than rows are kept for the others.
    rare = requests_per_minute if requests_per_minute is not None and requests_per_minute < 1 else None
    return _digest(json.dumps([label, name, window, rare]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
