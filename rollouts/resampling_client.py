"""What a client offers for resampling: each method hands `rollouts.resampling` an asker made of the client.

The asker's runs share a progress bar and a budget. Nothing here cuts, judges or measures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollouts import resampling
from rollouts.events import SampleEvent
from rollouts.exceptions import BudgetExceeded, ConfigError
from rollouts.plugins import PluginManager
from rollouts.resources import Resources
from rollouts.results import Response, Rollouts
from rollouts.settings import Settings
from rollouts.typing import Progress, ProgressOptions

if TYPE_CHECKING:
    from rollouts.planning import Plan
    from rollouts.resampling import Conditional, Dialect, ResamplePlan, Resampling, Resilience, Steering, Trace
    from rollouts.resampling.asking import Then, Want
    from rollouts.resampling.conditional import Similar
    from rollouts.resampling.trace import Positions, Prompt

_OPENED = "x\n<think>\n"
"""Any prompt that opens a thought: asks for the template that the client would open one with."""


class ResamplingMethods(ABC):
    """The resampling of `RolloutsClient`.

    `**options` are those of the function of the same name in `rollouts.resampling`; others are settings of the call.
    """

    settings: Settings
    plugins: PluginManager
    _resources: Resources

    def trace(
        self, source: Response | str, question: Prompt | None = None, *, style: Any = "sentences", **settings: Any
    ) -> Trace:
        """A thought cut into sentences, with the marks of this client's model. Sends nothing.

        Args:
            source: A sample with a thought, or the text of one (`thought</think>answer`).
            question: What was asked; a sample knows it.
            style: How to cut: a splitter's name, those of plugins too, or a function.
            **settings: Settings of the call (`model`, `template`).

        Raises:
            ConfigError: No thought, no question, or no such splitter.
        """
        if isinstance(style, str) and style not in resampling.STYLES:
            style = self.plugins.make("splitter", style)
        marks = self._dialect(settings)
        if isinstance(source, Response):
            return resampling.Trace.from_response(source, question, style=style).fitted(marks)
        if question is None:
            raise ConfigError("a text does not know what was asked: pass `question=`.")
        made = resampling.Trace.from_text(question, source, style=style, dialect=marks)
        return replace(made, dialect=None, model_dialect=marks)

    def resample(
        self,
        trace: Trace | Response,
        n_samples: int = 100,
        positions: Positions = "all",
        *,
        forced: bool = False,
        **options: Any,
    ) -> Resampling:
        """Sample `n_samples` continuations before each sentence, and answers forced there, in one bounded stream.

        What the cache holds is not asked again: a crash costs what had not arrived, 200 after 100 asks for 100 more.
        Where a position's prompt is the very one that the trace was sampled from, its number is left out and one more
        is drawn: the trace is no sample that leaves a sentence out.

        Args:
            trace: What to resample; a sample is cut into sentences first.
            n_samples: Samples of each position; with `until` at most so many.
            positions: `"all"`, a sentence's number, or numbers.
            forced: Also close the thought before each position and ask for the answer at once.
            **options: `until`, `round_size`, `truth`, `extract`, `where`, `policy`, `normalise`, `forced_samples`,
                `forced_lead`, `forced_settings` as for `rollouts.resampling.resample`; anything else is a setting of
                the call.

        Raises:
            ConfigError: Bad input; nothing was sent.
            SamplingError: Some samples failed (`on_error="raise"`); the others are stored.
            BudgetExceeded: `max_cost` holds for all of it, rounds together.
        """
        fitted, numbered = self._fitted(trace, options), self._numbered(options)
        return resampling.resample(_Stream(self), fitted, n_samples, positions, forced=forced, **numbered)

    def plan_resample(
        self,
        trace: Trace | Response,
        n_samples: int = 100,
        positions: Positions = "all",
        *,
        forced: bool = False,
        **options: Any,
    ) -> ResamplePlan:
        """What `resample` would ask: calls, distinct prefixes, what is cached, tokens, dollars. Sends nothing.

        Dollars are those of the price list that `client.prices(refresh=True)` last brought.

        Args:
            trace: As for `resample`.
            n_samples: As for `resample`.
            positions: As for `resample`.
            forced: As for `resample`.
            **options: As for `resample`. How answers are judged changes nothing of what is asked; with `until` the plan
                is that of the most that may be.

        Raises:
            ConfigError: What `resample` would raise before it sends.
        """
        from rollouts.resampling.sampling import plan_options

        asked, settings = plan_options(self._numbered(options))
        merged = self.settings.override(**settings)
        price = self._resources.price(self._resources.resolve(merged))
        return resampling.plan_resample(
            self._fitted(trace, settings),
            n_samples,
            positions,
            forced=forced,
            max_tokens=merged.given_sampling.get("max_tokens"),
            prompt_price=None if price is None else price.prompt,
            completion_price=None if price is None else price.completion,
            cached=lambda wants: self._stored(wants, settings),
            **asked,
        )

    def force_answer(
        self, trace: Trace | Response, position: int | None = None, n_samples: int = 1, **options: Any
    ) -> Rollouts:
        """Close the thought before a sentence (after the last one: None) and ask for the answer with few tokens."""
        fitted, numbered = self._fitted(trace, options), self._numbered(options)
        return resampling.force_answer(_Stream(self), fitted, position, n_samples, **numbered)

    def force_answers(
        self, trace: Trace | Response, n_samples: int = 100, positions: Positions = "all", **options: Any
    ) -> dict[int, Rollouts]:
        """The answers forced before each position, in one stream."""
        fitted, numbered = self._fitted(trace, options), self._numbered(options)
        return resampling.force_answers(_Stream(self), fitted, n_samples, positions, **numbered)

    def draw_until(
        self, prompt: Prompt, accept: Callable[[Response], bool], n_accepted: int = 1, **options: Any
    ) -> Conditional:
        """Draw until `n_accepted` samples satisfy `accept`, judged in the order of their numbers."""
        with _Stream(self, rounds=True) as stream:
            return resampling.draw_until(stream, prompt, accept, n_accepted, **self._numbered(options))

    def resilience(self, trace: Trace | Response, position: int, similar: Similar, **options: Any) -> Resilience:
        """How often a sentence comes back when it is removed wherever it does (Thought Branches)."""
        with _Stream(self, rounds=True) as stream:
            return resampling.resilience(
                stream, self._fitted(trace, options), position, similar, **self._numbered(options)
            )

    def steer(self, trace: Trace | Response, position: int, target: str, similar: Similar, **options: Any) -> Steering:
        """Lead a thought to a sentence by choosing among what the model itself says (Thought Branches)."""
        with _Stream(self, rounds=True) as stream:
            return resampling.steer(
                stream, self._fitted(trace, options), position, target, similar, **self._numbered(options)
            )

    # ── Parts ──

    def _stored(self, wants: Sequence[Want], settings: Mapping[str, Any]) -> list[int]:
        """How many samples of each want the cache has; wants that differ in nothing but the prompt in one look."""
        kinds: dict[Any, list[int]] = {}
        for place, want in enumerate(wants):
            kinds.setdefault((want.seed, want.n_samples, repr(want.settings)), []).append(place)
        counts = [0] * len(wants)
        for places in kinds.values():
            one, prompts = wants[places[0]], [wants[place].prompt for place in places]
            plan = self.plan(prompts, one.n_samples, **{**settings, **one.settings, "seed": one.seed})
            for place, item in zip(places, plan.prompts, strict=True):
                counts[place] = item.cached
        return counts

    def _numbered(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with the client's own first number where the call names none."""
        return {"seed": self.settings.seed, **options}

    def _fitted(self, trace: Trace | Response, options: dict[str, Any]) -> Trace:
        """The trace with the marks of the model that is asked, unless others were chosen for it."""
        settings: dict[str, Any] = {
            name: options[name] for name in ("model", "adapter", "base_url", "template") if name in options
        }
        if isinstance(trace, Response):
            return self.trace(trace, **settings)
        if not isinstance(trace, resampling.Trace):
            raise ConfigError(
                f"a {type(trace).__name__} cannot be resampled: give a sample with a thought, or a trace "
                "(`client.trace(text, question=…)`)."
            )
        return trace.fitted(self._dialect(settings))

    def _dialect(self, settings: dict[str, Any]) -> Dialect:
        resolved = self._resources.resolve(self.settings.override(**settings))
        return resampling.Dialect.of(self._resources.template(resolved, _OPENED).template)

    # What the client has.

    @abstractmethod
    def plan(self, prompts: Any, n_samples: int = 1, **overrides: Any) -> Plan:
        """What a call would ask, and what is cached of it."""

    @abstractmethod
    def _each(self, wants: Sequence[Want], overrides: Mapping[str, Any], then: Then | None = None) -> list[Rollouts]:
        """The samples of each want, and of those that `then` adds, as one run."""

    @abstractmethod
    def _progress(self, settings: Settings, total: int | None) -> Progress | None:
        """The progress reporter of a run of `total` samples."""


class _Stream:
    """Asks the client. Where it is asked several times, the runs share one progress bar and one budget."""

    def __init__(self, client: ResamplingMethods, *, rounds: bool = False) -> None:
        self._client = client
        self._rounds = rounds
        self._bar: _OneBar | None = None
        self._spent = _Spent()

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.end()

    def __call__(self, prompts: Sequence[Prompt], n_samples: int, *, seed: int, **settings: Any) -> list[Rollouts]:
        from rollouts.resampling.asking import Want

        return self.each([Want(prompt, n_samples, seed) for prompt in prompts], **settings)

    def each(self, wants: Sequence[Want], then: Then | None = None, **settings: Any) -> list[Rollouts]:
        """The samples of each want, in their order, and of those that `then` adds."""
        if not self._rounds:
            return self._client._each(wants, settings, then)
        merged = self._client.settings.override(**settings)
        if self._bar is None:
            inner = self._client._progress(merged, None)
            self._bar = None if inner is None else _OneBar(inner)
        shared: dict[str, Any] = {} if self._bar is None else {"progress": self._bar.again}
        left = self._spent.left(merged)
        try:
            got = self._client._each(wants, {**settings, **shared, **left}, then)
        except BudgetExceeded as error:
            self._spent.count(error.rollouts)
            if any(left[name] != getattr(merged, name) for name in left):
                # The same error, which the samples that were not sent hold too: it named what was left for this run.
                error.args = (self._spent.told(merged),)
            raise
        self._spent.count(got)
        return got


class _Spent:
    """What the runs of one call have taken together."""

    def __init__(self) -> None:
        self._cost = 0.0
        self._known_for = 0
        self._tokens = 0

    def count(self, got: Sequence[Rollouts]) -> None:
        """Add the fresh samples of a run."""
        for response in (r for rollouts in got for r in rollouts if not r.cached):
            self._tokens += response.usage.total_tokens or 0
            if response.usage.cost is not None:
                self._cost += response.usage.cost
                self._known_for += 1

    def left(self, limits: Settings) -> dict[str, Any]:
        """The limits of the next run."""
        left: dict[str, Any] = {}
        if limits.max_total_tokens is not None:
            left["max_total_tokens"] = max(0, limits.max_total_tokens - self._tokens)
        if limits.max_cost is not None:
            left["max_cost"] = max(0.0, limits.max_cost - self._cost)
            # A run that knows no price sends one sample to learn it: with a run a sample that went on without end.
            # No tokens forbid it, and let pass what is cached. The tolerance is for sums of floats.
            if self._known_for and left["max_cost"] * (1 + 1e-9) < self._cost / self._known_for:
                left["max_total_tokens"] = 0
        return left

    def told(self, limits: Settings) -> str:
        """That the limits of the call admit nothing more."""
        given, spent = [], []
        if limits.max_cost is not None:
            given.append(f"max_cost=${limits.max_cost:g}")
            spent.append(f"${self._cost:.4g}")
        if limits.max_total_tokens is not None:
            given.append(f"max_total_tokens={limits.max_total_tokens:,}")
            spent.append(f"{self._tokens:,} tokens")
        return (
            f"{' and '.join(given)} {'admits' if len(given) == 1 else 'admit'} nothing more: {' and '.join(spent)} are "
            "spent, and the next sample may take more than is left. What was answered is stored; raise the limit and "
            "ask again for the rest."
        )


class _OneBar:
    """A `Progress` that goes on from run to run, until `end`."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._started = False

    def again(self, options: ProgressOptions) -> _OneBar:
        """The reporter of the next run."""
        return self

    def start(self, total: int | None, cached: int) -> None:
        """The first run starts the bar; what the cache had for a later one is told sample by sample."""
        if not self._started:
            self._started = True
            self._inner.start(None, cached)
            return
        for _ in range(cached):
            self._inner.advance(SampleEvent("", Response("", cached=True), 0))

    def advance(self, event: SampleEvent) -> None:
        """One sample is done."""
        self._inner.advance(event)

    def close(self) -> None:
        """A run is over; the bar stays for the next one."""

    def end(self) -> None:
        """Take the bar away."""
        if self._started:
            self._inner.close()
