"""From one job to those that wait for the same sample: the answer, or the claim. Runs on whatever thread is at it."""

from __future__ import annotations

from dataclasses import replace

from rollouts.engine.claims import CLAIMS
from rollouts.engine.jobs import Job
from rollouts.exceptions import CacheError, RolloutsError
from rollouts.results import Response


def settle(kept: list[tuple[Job, Response]]) -> None:
    """Give up the claims of samples that are durable, and hand copies to those who wait for them."""
    if kept[0][0].run.call.store is None:
        return
    waiting: list[tuple[Job, list[Job]]] = []
    try:
        CLAIMS.settle((job for job, _ in kept), waiting)
        _hand_copies(kept, waiting)
    except BaseException:
        # Ctrl-C on a caller's own thread: the runs of others must not wait for ever.
        CLAIMS.settle((job for job, _ in kept), waiting)
        _hand_copies(kept, waiting)
        raise


def _hand_copies(kept: list[tuple[Job, Response]], waiting: list[tuple[Job, list[Job]]]) -> None:
    """Serve `waiting`, each removed when it is served; one that is served twice takes it once."""
    answers = dict(kept) if waiting else {}
    while waiting:
        job, parked = waiting[-1]
        store = job.run.call.store
        while parked:
            other = parked[-1]
            # This call made no request for it: to its user the answer is a cached one.
            response = replace(answers[job], cached=True)
            theirs = other.run.call.store
            if theirs is None or (store is not None and theirs.location == store.location):
                other.run.post([(other, response)])
            else:
                other.given = response
                hand_on(other)
            parked.pop()
        waiting.pop()


def hand_on(job: Job) -> None:
    """Let a job that was parked go on by itself: it is in its own cache after all, or its run's workers get it."""
    heir: Job | None = job
    while heir is not None:  # not by recursion: a thousand equal prompts may stand in one queue
        heir = _resume(heir)


def _resume(job: Job) -> Job | None:
    """Do it for one job; returns the parked job that owns the claim now, where this one gave it up."""
    run, store = job.run, job.run.call.store
    refusal: RolloutsError | None = None
    try:
        # It was parked before it was looked up, and the cache of whoever held the claim need not be its own.
        for key, response in store.load_many([job.key]) if store is not None else ():
            if key == job.key:
                job.ask.stay(response.pin)
                settle([(job, response)])
                run.post([(job, response)])
                return None
        if job.given is None:
            refusal = run.refusal(job)
        if refusal is None:
            run.pool.submit(run.lane, [job])
            return None
        run.fail(refusal)
    except CacheError as error:
        refusal = error
        run.fail(error)
    except (RolloutsError, RuntimeError) as error:  # the client is closed, or the interpreter is ending
        refusal = RolloutsError(str(error))
    except BaseException as error:  # even `sys.exit()` in this cache must not end the worker of the run before us
        refusal = CacheError(f"{job.describe()} could not be looked up ({type(error).__name__}: {error})")
        run.fail(refusal)
    heir = CLAIMS.give_up(job)
    run.post([(job, job.failure("not_sent", refusal))])
    return heir
