"""Gets one sample: wait for leave, send, judge the outcome, perhaps again. The only retry loop.

Runs on worker threads. Knows limiter, transport and adapter by their Protocols, and nothing of queues or caches.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rollouts.engine.guests import said
from rollouts.engine.jobs import Ask, Job
from rollouts.engine.limits import cancel
from rollouts.events import RetryEvent
from rollouts.exceptions import (
    MalformedResponse,
    PluginError,
    ProviderError,
    RolloutsError,
    ServerError,
    TransportError,
)
from rollouts.outcome import classify, classify_exception, to_error
from rollouts.results import Failure, Response
from rollouts.results.codec import is_answer
from rollouts.typing import Outcome, OutcomeKind, WireReply

if TYPE_CHECKING:
    from rollouts.engine.run import Run
    from rollouts.typing import Permit

logger = logging.getLogger("rollouts")


def obtain(job: Job) -> Response | Failure:
    """Ask for one sample until it is there, is given up, or the run stops."""
    run, ask = job.run, job.ask
    stopped = _must_not_start(run, ask)
    if stopped is not None:
        return job.failure("not_sent", stopped)
    budget = ask.call.budget
    if budget is None:
        return _attempts(job)
    reservation = budget.reserve(ask.request, run.stop)
    if reservation is None:
        if budget.exhausted:
            run.exhaust_budget()
        return job.failure("not_sent", run.stop_error or _STOPPED)
    try:
        result = _attempts(job)
    except BaseException:
        reservation.cancel()  # or those who wait for its end would wait for ever
        raise
    reservation.settle(result.usage if isinstance(result, Response) else None, lost=job.billed)
    return result


def _must_not_start(run: Run, ask: Ask) -> RolloutsError | None:
    if ask.dead is not None:
        return ask.dead
    if run.stop.is_set():
        return run.stop_error or _STOPPED
    return None


TRIES_OF_A_SILENT_SERVICE = 4
"""Tries of one sample after which a service that never answered is taken to be down, whatever `max_retries` says.

A wrong address must not cost minutes. Once a service has answered, it gets all the patience there is."""

_STOPPED = RolloutsError("the run was stopped before this sample was sent")


def _attempts(job: Job) -> Response | Failure:
    run, ask = job.run, job.ask
    call = ask.call
    attempts = deadlines = 0
    while True:
        started = time.monotonic()
        try:
            permit = call.limiter.acquire(ask.request, run.stop)
        except RolloutsError as broken:
            # Without its limiter nothing may be sent; what is in flight is answered and kept.
            run.fail(broken)
            return job.failure("cancelled" if attempts else "not_sent", broken, attempts)
        job.waited_for_limit += time.monotonic() - started
        if permit is None or ask.dead is not None:
            if permit is not None:
                cancel(permit)
            return job.failure(
                "cancelled" if attempts else "not_sent", ask.dead or run.stop_error or _STOPPED, attempts
            )
        attempts += 1
        job.requests = attempts
        try:
            outcome, response = _attempt(job)
        except BaseException:
            _settle(job, permit, _LOST, None)
            raise
        _settle(job, permit, outcome, response)
        if response is not None:
            return _finished(job, response, attempts)
        deadlines += outcome.billed
        job.billed = deadlines
        if outcome.kind == "retryable" and not call.service.answered and attempts >= TRIES_OF_A_SILENT_SERVICE:
            outcome = replace(outcome, kind="fatal", stops="run")
        wait = None if outcome.kind == "fatal" else call.policy.decide(outcome, attempts, deadlines, random.random)
        if wait is None:
            error = _error(job, outcome, attempts)
            if outcome.kind == "fatal" and outcome.stops == "run":
                run.fail(error)
            elif outcome.kind == "fatal" and outcome.stops == "prompt":
                ask.dead = error
            return job.failure("failed", error, attempts)
        if run.stop.is_set():  # what failed was cut, and has no successor
            return job.failure("cancelled", run.stop_error or _STOPPED, attempts)
        job.retries += 1
        run.tell_retry(RetryEvent(run.run_id, job.number, ask.prompt_index, attempts, outcome, wait))
        started = time.monotonic()
        stopped = run.stop.wait(wait)
        job.waited_for_retry += time.monotonic() - started
        if stopped:
            return job.failure("cancelled", run.stop_error or _STOPPED, attempts)


def _once(word: str | None) -> str | None:
    """The one copy of a word that many answers hold."""
    return sys.intern(word) if type(word) is str else word


def _error(job: Job, outcome: Outcome, attempts: int) -> RolloutsError:
    kind = outcome.error
    if kind is not None and not issubclass(kind, ProviderError | TransportError):
        return kind(outcome.message)  # our own words: nothing was answered
    return to_error(outcome, what=job.describe(), attempts=attempts, service=job.ask.call.service.host)


_LOST = Outcome("empty", message="nothing is known of it")


def _settle(job: Job, permit: Permit, outcome: Outcome, response: Response | None) -> None:
    """Tell the limiter how it went. One that fails ends the run, because it may never grant again; the answer stays."""
    try:
        permit.settle(outcome, None if response is None else response.usage)
    except RolloutsError as error:
        job.run.fail(error)


def _attempt(job: Job) -> tuple[Outcome, Response | None]:
    """One request: the verdict, and the answer if it is one."""
    ask, call = job.ask, job.ask.call
    service = call.service
    try:
        reply = _post(job)
        service.answered = True
        outcome = service.classify(reply) if service.classify is not None else None
        if outcome is None:
            outcome = classify(reply)
        if not outcome.is_answer:
            return outcome, None
        response = service.adapter.decode(ask.request.wire, reply)
        if not is_answer(response):
            message = f"{service.host} marked its answer as an error (finish_reason 'error')"
            return Outcome("retryable", ServerError, message=message, status=reply.status), None
        # The number is not known to `decode`; what the package pinned and when it came belong to the record.
        response = replace(
            response,
            seed=job.number,
            model=_once(response.model),
            provider=_once(response.provider),
            finish_reason=_once(response.finish_reason),
            native_finish_reason=_once(response.native_finish_reason),
            reasoning_kind=_once(response.reasoning_kind),
            latency=reply.latency,
            received=time.time(),
            pin=dict(ask.pin) or None,
            raw_source=response.raw_source if response.raw_source is not None else reply.body,
        )
    except TransportError as error:
        return classify_exception(error), None
    except ProviderError as error:
        return _of_decoding(error), None
    except RolloutsError as error:
        return Outcome("fatal", type(error), "run", message=str(error)), None
    except Exception as error:
        # A plugin's mistake would repeat on every sample: stop at the first, and say whose it is.
        logger.warning("%s failed", service.credit, exc_info=True)
        return Outcome("fatal", PluginError, "run", message=f"{service.credit} failed: {said(error)}"), None
    return outcome, response


def _of_decoding(error: ProviderError) -> Outcome:
    """The verdict on an answer that passed the common rules and that its adapter could not read."""
    kind: OutcomeKind = "retryable" if isinstance(error, MalformedResponse | ServerError) else "fatal"
    return Outcome(kind, type(error), "prompt", message=str(error), status=error.status, code=error.code)


def _post(job: Job) -> WireReply:
    ask, call = job.ask, job.ask.call
    service = call.service
    service.open()
    prepared = ask.prepared or ask.prepare()
    if service.send is not None:
        reply: WireReply = service.send(ask.request.wire, job.number, job.run.stop)
        return reply
    assert prepared is not None
    return call.transport.post(prepared, ask.body_for(job.number), timeout=call.timeout, stop=job.run.stop)


def _finished(job: Job, response: Response, attempts: int) -> Response:
    call, conversation = job.ask.call, job.ask.request.wire.conversation
    if conversation.prefill is not None:
        call.service.prefilled.add(job.ask.request.model)
    if conversation.prefill is not None and call.judge is not None:
        verdict, reason = call.judge(response, conversation)
        response = replace(response, continued=verdict, continued_reason=reason, attempts=attempts)  # type: ignore[arg-type]
    elif attempts != 1:
        response = replace(response, attempts=attempts)
    return response
