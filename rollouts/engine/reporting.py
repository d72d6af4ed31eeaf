"""Tells the world how a run goes: progress, event hooks, and the log that answers "why is it slow".

Observers and progress reporters are guests: what they raise is logged once and never costs a sample.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rollouts.engine.guests import said
from rollouts.events import RetryEvent, RunEnd, RunStart, SampleEvent
from rollouts.logs import hide_log, show_log
from rollouts.results import Failure, Response
from rollouts.results.totals import Totals

if TYPE_CHECKING:
    from rollouts.engine.jobs import Job
    from rollouts.engine.run import Run
    from rollouts.typing import Progress

logger = logging.getLogger("rollouts")

LOG_EVERY = 10.0
"""Seconds between two lines of the log."""

_numbers = itertools.count(1)


class Reporter:
    """Progress, events and totals of one run."""

    def __init__(
        self,
        *,
        model: str,
        adapter: str,
        total: int | None,
        progress: Progress | None,
        progress_credit: str = "the progress reporter",
        notify: Callable[[str, Any], None],
        observed: Callable[[str], bool],
        account: Callable[[Totals], None] | None = None,
        verbose: bool = False,
    ) -> None:
        """Report to `progress` (None: nobody looks) and to the hooks behind `notify`, where `observed` says so.

        `progress_credit` says whose the reporter is; `account` gets the totals at the end;
        with `verbose` the log is shown while the run goes on.
        """
        self.run_id = f"run-{next(_numbers)}"
        self.model = model
        self.adapter = adapter
        self.total = total
        self.answered = self.cached = self.failed = self.requests = self.retries = 0
        self.waited_for_limit = self.waited_for_retry = 0.0
        self.cost = 0.0
        self.cost_known_for = 0
        self.prompt_tokens = self.completion_tokens = self.tokens_known_for = 0
        self._account = account
        self._verbose = verbose
        self._progress = progress
        self._progress_credit = progress_credit
        self._notify = notify
        self._on_sample = observed("rollouts_on_sample")
        self._on_retry = observed("rollouts_on_retry")
        self._shown = False
        self._began = self._logged = 0.0
        self._ended = False

    def begin(self, run: Run) -> None:
        """The run begins."""
        self._began = self._logged = time.monotonic()
        if self._verbose:
            show_log()
        self._notify(
            "rollouts_on_run_start",
            RunStart(self.run_id, self.model, self.adapter, self.total, run.call.max_concurrency),
        )

    def looked_up(self) -> None:
        """The cache was asked for the first samples: what it had is not progress, but where progress begins."""
        if not self._shown:
            self._shown = True
            self._show("start", self.total, self.cached)

    def sample(self, run: Run, job: Job, result: Response | Failure) -> None:
        """One sample is done."""
        self.requests += job.requests
        self.retries += job.retries
        self.waited_for_limit += job.waited_for_limit
        self.waited_for_retry += job.waited_for_retry
        if isinstance(result, Failure):
            self.failed += 1
        elif result.cached:
            self.cached += 1
        else:
            self.answered += 1
            usage = job.paid or result.usage
            if usage.cost is not None:
                self.cost += usage.cost
                self.cost_known_for += 1
            if usage.completion_tokens is not None:
                self.prompt_tokens += usage.prompt_tokens or 0
                self.completion_tokens += usage.completion_tokens
                self.tokens_known_for += 1
        if self._on_sample or self._progress is not None:
            self._tell(run, job, result)

    def stored(self, run: Run, hits: Sequence[tuple[Job, Response]]) -> None:
        """Samples were in the cache: nothing was asked for them."""
        self.cached += len(hits)
        if self._on_sample or self._progress is not None:
            for job, response in hits:
                self._tell(run, job, response)

    def _tell(self, run: Run, job: Job, result: Response | Failure) -> None:
        event = SampleEvent(self.run_id, result, run.lane.in_flight, job.waited_for_limit + job.waited_for_retry)
        if self._shown:
            self._show("advance", event)
        if self._on_sample:
            self._notify("rollouts_on_sample", event)

    def retry(self, event: RetryEvent) -> None:
        """A request failed and will be tried again (called by workers)."""
        logger.info(
            "sample %d: attempt %d failed (%s); again in %.1f s",
            event.seed, event.attempt, event.outcome.message or event.outcome.code or event.outcome.kind, event.wait,
        )  # fmt: skip
        if self._on_retry:
            self._notify("rollouts_on_retry", event)

    def tick(self, run: Run) -> None:
        """Say now and then how it goes."""
        now = time.monotonic()
        if now - self._logged < LOG_EVERY or not logger.isEnabledFor(logging.INFO):
            return
        self._logged = now
        flying = sorted(run.flying.copy().values())
        slowest = f", the longest for {now - flying[0]:.0f} s" if flying else ""
        logger.info(
            "%s: %d of %s done (%d cached, %d failed), %d in flight%s; %d requests, %d retries; waited %.1f s for "
            "limits and %.1f s before retries (summed over workers)",
            self.run_id, self.answered + self.cached + self.failed, "?" if self.total is None else self.total,
            self.cached, self.failed, len(flying), slowest, self.requests, self.retries, self.waited_for_limit,
            self.waited_for_retry,
        )  # fmt: skip

    def end(self, run: Run, error: BaseException | None = None) -> None:
        """The run is over; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        if self._shown:
            self._show("close")
        totals = Totals(
            answered=self.answered,
            cached=self.cached,
            failed=self.failed,
            requests=self.requests,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            tokens_known_for=self.tokens_known_for,
            cost=self.cost,
            cost_known_for=self.cost_known_for,
        )
        if self._account is not None:
            self._account(totals)
        elapsed = time.monotonic() - self._began
        known = self.cost if self.cost_known_for else None
        error = error or run.stop_error
        event = RunEnd(
            run_id=self.run_id,
            answered=self.answered,
            cached=self.cached,
            failed=self.failed,
            requests=self.requests,
            retries=self.retries,
            elapsed=elapsed,
            waited_for_limit=self.waited_for_limit,
            waited_for_retry=self.waited_for_retry,
            cost=known,
            cost_known_for=self.cost_known_for,
            error=None if error is None else type(error).__name__,
        )
        logger.info(
            "%s: %s in %.0f s; %d retries; waited %.1f s for limits and %.1f s before retries (summed over workers)",
            self.run_id, totals, elapsed, self.retries, self.waited_for_limit, self.waited_for_retry,
        )  # fmt: skip
        if self._verbose and self._began:
            hide_log()
        self._notify("rollouts_on_run_end", event)

    def _show(self, what: str, *arguments: Any) -> None:
        if self._progress is None:
            return
        try:
            getattr(self._progress, what)(*arguments)
        except Exception as error:
            logger.warning(
                "%s failed in %s and is left out from here on: %s", self._progress_credit, what, said(error),
                exc_info=True,
            )  # fmt: skip
            self._progress = None
