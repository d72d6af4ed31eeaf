"""From a run's results to what the caller gets: slots in order, transforms of answers, errors with partial results.

Knows nothing of how samples are got.
"""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rollouts.continuation import Tally
from rollouts.engine import Job, Result, Run
from rollouts.exceptions import MixedSamples, PrefillUnsupported, RolloutsError, RolloutsWarning, SamplingError
from rollouts.homogeneity import Mixture
from rollouts.resources import Resolved
from rollouts.results import Failure, Response, Rollouts
from rollouts.results.response import keep_raw
from rollouts.settings import Settings
from rollouts.spilling import Spill
from rollouts.typing import ResponseTransform


class Collector:
    """Gathers the results of one run."""

    run: Run

    def __init__(
        self,
        resolved: Resolved,
        transforms: Sequence[ResponseTransform],
        *,
        prompts: Sequence[Any] = (),
        n: int | Sequence[int] = 0,
        settings: Sequence[Settings] | None = None,
        single: bool = False,
        keep: Callable[[Result], None] | None = None,
    ) -> None:
        """Gather `n` samples for each of `prompts`; or give each to `keep` and gather only failures.

        `n` may be a number for each prompt; `settings` are those of each prompt where they differ.
        """
        self._resolved = resolved
        self._transforms = transforms
        self._prompts = list(prompts)
        self._single = single
        sizes = [n] * len(prompts) if isinstance(n, int) else n
        self._slots: list[list[Result | None]] = [[None] * size for size in sizes]
        self._settings = list(settings) if settings is not None else [resolved.settings] * len(prompts)
        self._keep = keep
        self._failures: list[Failure] = []
        self._spill = Spill()
        self._tally = Tally()
        self._mixture = Mixture()

    def add(self, prompt: Any, n: int, settings: Settings) -> int:
        """Gather `n` samples of one more prompt; gives its place."""
        self._prompts.append(prompt)
        self._slots.append([None] * n)
        self._settings.append(settings)
        return len(self._prompts) - 1

    # ── While the run goes on ──

    def deliver(self, results: Iterable[tuple[Job, Result]]) -> None:
        """Take what is done."""
        plain: list[Response] = []
        for job, result in results:
            if isinstance(result, Response):
                if result.prefill is None and not self._transforms:
                    plain.append(result)
                else:
                    result = self._checked(job, result)
            if self._keep is None:
                if isinstance(result, Response) and isinstance(result.raw_source, bytes):
                    keep_raw(result, self._spill.take(result.raw_source))
                self._slots[job.ask.prompt_index][job.number - job.ask.first_number] = result
            elif isinstance(result, Failure) and self._resolved.settings.on_error == "raise":
                self._failures.append(result)
            else:
                self._keep(result)
        self._mixture.add(plain)

    def _checked(self, job: Job, response: Response) -> Result:
        if job.ask.call.require_prefill and response.prefill is not None and response.continued != "yes":
            error = PrefillUnsupported(
                f"{job.describe()}: the answer of {response.provider or 'the service'} does not go on from the prefill "
                f"({response.continued}: {response.continued_reason}). It is stored. Pin a provider that continues "
                "(provider={'only': ['…']}; `rollouts probe` finds one), or take require_prefill off."
            )
            return job.failure("failed", error, response.attempts)
        self._mixture.add([response])  # not before: what was refused is no part of the set
        self._tally.add(response)
        try:
            for transform in self._transforms:
                response = transform(response)
        except RolloutsError as error:
            # Raised when the run is over: what is in flight is stored, and the slot tells what happened.
            job.run.fail(error)
            return job.failure("failed", error, response.attempts)
        return response

    # ── When it is over ──

    def complete(self) -> list[Rollouts]:
        """Drive the run on this thread and give what it got.

        Raises:
            RolloutsError: As `result`.
            KeyboardInterrupt: With the partial result in `.rollouts`.
        """
        try:
            self.run.complete()
        except (KeyboardInterrupt, RolloutsError) as error:
            self.attach(error)
            raise
        return self.result()

    def result(self) -> list[Rollouts]:
        """One `Rollouts` for each prompt.

        Raises:
            SamplingError: Some samples failed and `on_error` is "raise".
            MixedSamples: The samples are not of one kind, and `strict` is set.
            RolloutsError: What stopped the run, as itself.
        """
        stopped = self.run.stop_error
        if stopped is not None:
            self.attach(stopped)
            raise stopped
        self._warn_of_continuation()
        everything = self._rollouts()
        failures = [failure for rollouts in everything for failure in rollouts.failures]
        if failures:
            message = _told(failures, sum(r.n_requested for r in everything))
            if self._resolved.settings.on_error == "raise":
                partial = everything[0] if self._single else everything
                raise SamplingError(message, rollouts=partial, failures=failures) from failures[0].error
            warnings.warn(message, RolloutsWarning, stacklevel=2)
        self._check_kind(everything)
        return everything

    def stream(self, ready: deque[Result]) -> Iterator[Result]:
        """Drive the run and yield its results as they are done."""
        yield from self.run.iterate(ready)
        if self.run.stop_error is not None:
            raise self.run.stop_error
        self._warn_of_continuation()
        failed = [failure for failure in self._failures if failure.kind == "failed"]
        if failed and self._resolved.settings.on_error == "raise":
            raise SamplingError(_told(self._failures, None), failures=self._failures) from failed[0].error
        self._check_kind([])

    def _check_kind(self, everything: list[Rollouts]) -> None:
        settings, watch = self._resolved.settings, self._resolved.watch
        what = self._mixture.describe() if settings.strict else None
        if what is not None:
            error = MixedSamples(
                f"strict=True, and the samples are not of one kind: {what}. They are stored. Name one provider "
                "(provider={'only': ['…']}) and ask again, or take strict off."
            )
            if everything:
                error.rollouts = everything[0] if self._single else everything
            raise error
        routing = settings.given_sampling.get("provider") or settings.extra_body.get("provider")
        watch.mixed(self._mixture, routing)
        watch.duplicates(everything, settings.given_sampling)

    def _warn_of_continuation(self) -> None:
        note = self._tally.warning()
        if note is not None:
            warnings.warn(note, RolloutsWarning, stacklevel=3)

    def attach(self, error: BaseException) -> None:
        """Put what was got into an error's `.rollouts`."""
        everything = self._rollouts()
        error.rollouts = everything[0] if self._single else everything  # type: ignore[attr-defined]

    def _rollouts(self) -> list[Rollouts]:
        return [self.of(place) for place in range(len(self._prompts))]

    def of(self, place: int) -> Rollouts:
        """What there is of one prompt; a sample that is not there yet counts as not sent."""
        settings, prompt = self._resolved.settings, self._prompts[place]
        return Rollouts(
            slots=self._filled(prompt, place),
            prompt=prompt,
            model=settings.model,
            settings=dict(self._settings[place].given_sampling),
            cache_dir=None if settings.use_cache is False else str(settings.cache_dir),
        )

    def _filled(self, prompt: Any, prompt_index: int) -> tuple[Result, ...]:
        slots = self._slots[prompt_index]
        seed, error = self._settings[prompt_index].seed, self.run.stop_error
        return tuple(
            Failure("not_sent", error, seed + index, index, prompt_index, prompt) if slot is None else slot
            for index, slot in enumerate(slots)
        )


def _told(failures: Sequence[Failure], asked: int | None) -> str:
    """What failed, in one line: `3 of 50 samples failed (ServerError: 3). First: …`."""
    kinds = Counter(type(f.error).__name__ if f.error is not None else f.kind for f in failures)
    listed = ", ".join(f"{name}: {n}" for name, n in kinds.most_common())
    first = failures[0]
    of = "" if asked is None else f" of {asked:,}"
    return (
        f"{len(failures):,}{of} samples have no answer ({listed}). The others are stored: the same call asks for the "
        f"missing ones only. First: {first.error if first.error is not None else first.kind}"
    )
