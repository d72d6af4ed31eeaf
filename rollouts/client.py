"""The client: options in, `Rollouts` out. Thin: settings, engine and results each have their own module."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from rollouts.asking import Asking, count, one_prompt
from rollouts.collecting import Collector
from rollouts.config import load_config
from rollouts.engine import WINDOW, Ask, Call, Deliver, Reporter, Run
from rollouts.exceptions import ConfigError, RolloutsError
from rollouts.logs import hide_log, show_log
from rollouts.plugins import plugin_manager
from rollouts.prices import PriceList
from rollouts.resampling_client import ResamplingMethods
from rollouts.resources import Resolved, Resources
from rollouts.results import Failure, Response, Rollouts
from rollouts.results.totals import Ledger, Totals
from rollouts.settings import Settings, hiding_keys, make_settings
from rollouts.typing import Progress, ProgressOptions

if TYPE_CHECKING:
    from rollouts.continuation import ProbeResult
    from rollouts.planning import Explanation, Plan
    from rollouts.resampling.asking import Then, Want

LAZY_WINDOW = 256
"""Samples that `as_completed` has under way at least; it reads prompts no further ahead."""


@hiding_keys
class RolloutsClient(ResamplingMethods):
    """Samples answers of one model.

    Every setting given here can be given to one call too, and holds there. What is not given is not sent: the
    service's own default holds.

    Example:
        with RolloutsClient("qwen/qwen3-30b-a3b", temperature=0.7) as client:
            rollouts = client.generate("What is 5*10?", n_samples=50)
    """

    def __init__(self, model: str | None = None, **settings: Any) -> None:
        """Check the settings, those of files and environment too; opens and sends nothing.

        Args:
            model: The model's name as the service has it; None takes it from file or environment.
            **settings: See `rollouts.settings.SETTINGS` or the page "Settings".

        Raises:
            UnknownSetting: A name that is no setting.
            ConfigError: A value out of range.
        """
        given = settings if model is None else {"model": model, **settings}
        self.settings: Settings = make_settings(**{**load_config().values, **given})
        self.plugins = plugin_manager(self.settings.plugins)
        self._resources = Resources(self.plugins)
        self._ledger = Ledger()
        self._resources.use_executor(self.settings.executor, self.settings.executor_options)
        self._finalizer = weakref.finalize(self, _close, self._resources, verbose=self.settings.verbose)
        if self.settings.verbose:
            show_log()

    # ── Sampling ──

    def generate(self, prompt: Any, n_samples: int = 1, **overrides: Any) -> Rollouts:
        """Ask for `n_samples` answers to one prompt, with the numbers (seeds) `seed` to `seed + n_samples - 1`.

        Args:
            prompt: Text; text with `<think>`, whose rest is injected into the model's thought; or a list of
                messages, whose trailing assistant message is continued.
            n_samples: 1 to 1,000,000.
            **overrides: Settings for this call.

        Returns:
            One slot for each number, in their order.

        Raises:
            ConfigError: Bad input; nothing was sent.
            SamplingError: Some samples failed (`on_error="raise"`); the others are stored.
            RolloutsError: What would fail every request the same way, as itself, after one answer.
            KeyboardInterrupt: With what was got in `.rollouts`.
        """
        collector = self._collector([prompt], n_samples, overrides, single=True)
        return collector.complete()[0]

    async def agenerate(self, prompt: Any, n_samples: int = 1, **overrides: Any) -> Rollouts:
        """As `generate`, for async code. Thousands may be gathered: they share the client's workers.

        Cancelling withdraws what is unsent; answers in flight are stored.
        """
        import asyncio

        collector = self._collector([prompt], n_samples, overrides, single=True)
        future = self._resources.engine.dispatch(collector.run, collector.result)
        try:
            rollouts: list[Rollouts] = await asyncio.wrap_future(future)
        except RolloutsError as error:
            if error.rollouts is None:
                collector.attach(error)
            raise
        return rollouts[0]

    def generate_many(self, prompts: Iterable[Any], n_samples: int = 1, **overrides: Any) -> list[Rollouts]:
        """As `generate` for many prompts, under one concurrency limit and one progress bar.

        Returns:
            One `Rollouts` for each prompt, in their order.
        """
        if one_prompt(prompts):
            raise ConfigError("generate_many takes a list of prompts; for one prompt use generate.")
        return self._collector(list(prompts), n_samples, overrides, single=False).complete()

    def as_completed(
        self, prompts: Iterable[Any], n_samples: int = 1, **overrides: Any
    ) -> Iterator[Response | Failure]:
        """Yield samples as they are done, in memory that does not grow with the input.

        Args:
            prompts: Any iterable of prompts, even one without end; read only as far as needed. A single prompt too.
            n_samples: Samples of each prompt.
            **overrides: Settings for this call.

        Yields:
            Answers, each with its `prompt`, `prompt_index`, `seed` and `index`; with `on_error="keep"` failures too.
            Leaving the loop early withdraws what is unsent; what is in flight is stored.

        Raises:
            SamplingError: With `on_error="raise"`, after the last answer, when some samples failed.
        """
        if one_prompt(prompts):
            prompts = [prompts]
        n = count(n_samples)
        settings, resolved, call, asking = self._prepare(overrides)
        total = len(prompts) * n if isinstance(prompts, Sized) else None
        ready: deque[Response | Failure] = deque()
        collector = Collector(resolved, self._response_transforms(settings), keep=ready.append)
        asks = (asking.ask(prompt, prompt_index=i, n=n) for i, prompt in enumerate(prompts))
        window = max(4 * settings.max_concurrency, LAZY_WINDOW)
        collector.run = self._run(resolved, call, asks, collector.deliver, total=total, window=window, eager=True)
        return self._stream(collector, ready)

    # ── Thought ──

    def extend(self, response: Response, n_samples: int = 1, **overrides: Any) -> Rollouts:
        """Let the model go on where a length limit cut its answer, in the thought or in the content.

        What is there is handed to the model to the byte and is not generated again. An answer from the cache will
        do. The new answers' `prefill` is the turn so far and their `thought` the whole thought; `whole` is the whole
        turn.

        Args:
            response: An answer with `finish_reason="length"`, of this client's model.
            n_samples: How many times to go on.
            **overrides: Settings for this call. The first number is the response's own unless `seed=` is given, so
                that two answers that were cut at the same text go on differently.

        Raises:
            ConfigError: The answer ended by itself, calls tools, hides its thought, or its prompt is not known.
            RolloutsError: As `generate`.
        """
        n = count(n_samples)
        settings, resolved, call, asking = self._prepare({"seed": response.seed, **overrides})
        ask = asking.extension(response, n)
        transforms = self._response_transforms(settings)
        collector = Collector(resolved, transforms, prompts=[ask.prompt], n=n, single=True)
        collector.run = self._run(resolved, call, [ask], collector.deliver, total=n, window=WINDOW, eager=False)
        return collector.complete()[0]

    def verify_prefill(
        self,
        ways: Sequence[str] | None = None,
        trials: int = 3,
        providers: Sequence[str] | None = None,
        **overrides: Any,
    ) -> list[ProbeResult]:
        """Find out whether the model really goes on from a prefill, with a continuation that nobody can guess.

        The verdicts are remembered with their date in the user's cache directory; routing goes by them.

        Args:
            ways: Ways of continuing (`assistant`, `completion`, …); all that the adapter offers unless given.
            trials: Requests for each way, 64 tokens each; for a `yes` most must be continued, and none
                begun anew.
            providers: OpenRouter's slugs, each asked alone. Unless given, the one that is pinned, else those that are
                known to continue this model.
            **overrides: Settings for this call; other sampling settings of the client are left out.

        Raises:
            ConfigError: A way that the adapter does not offer, or providers where nothing is routed.
            RolloutsError: No answer can be had at all.
        """
        from rollouts.probing import Prober

        prober = Prober(self._resources, self.settings.override(**overrides), self._run_one, overrides)
        return prober.run(ways, trials, providers)

    # ── Without sending ──

    def plan(self, prompts: Any, n_samples: int = 1, **overrides: Any) -> Plan:
        """What `generate_many` would ask: cached and missing samples, expected tokens and dollars. Sends nothing.

        Args:
            prompts: One prompt, or any number of them.
            n_samples: Samples of each prompt.
            **overrides: Settings of the call.

        Raises:
            ConfigError: What the call would raise before it sends; a missing key is none.
        """
        prompts = [prompts] if one_prompt(prompts) else prompts
        from rollouts.planning import make_plan

        return make_plan(self._resources, self.settings.override(**overrides), prompts, count(n_samples))

    def explain(self, prompt: Any, **overrides: Any) -> Explanation:
        """Exactly how `generate` would ask: body, headers without the key, identity, cache, warnings. Sends nothing.

        Raises:
            ConfigError: As `plan`.
        """
        from rollouts.planning import explain

        return explain(self._resources, self.settings.override(**overrides), prompt)

    def prices(self, *, refresh: bool = False, **overrides: Any) -> PriceList | None:
        """The service's price list, which `plan` and `max_cost` go by.

        Args:
            refresh: Ask the service for it (one request) and remember it; else the list that was asked for last.
            **overrides: Settings of the call.

        Returns:
            The list with its date; None where it was never asked for.

        Raises:
            ConfigError: The service has none, or we are offline.
            RolloutsError: With `refresh`: no list came.
        """
        return self._resources.prices(self._resources.resolve(self.settings.override(**overrides)), refresh=refresh)

    @property
    def usage(self) -> Totals:
        """What this client has asked for so far: samples, requests, tokens, dollars (known for k of n)."""
        return self._ledger.totals

    # ── Life ──

    def close(self) -> None:
        """Free sockets, threads and files. Runs under way end with `RolloutsError`. May be called twice."""
        self._finalizer()

    def __enter__(self) -> RolloutsClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        settings = getattr(self, "settings", None)  # none yet in the traceback of a refused setting
        return "RolloutsClient(…)" if settings is None else repr(settings).replace("Settings", "RolloutsClient", 1)

    # ── Parts ──

    def _prepare(self, overrides: dict[str, Any]) -> tuple[Settings, Resolved, Call, Asking]:
        settings = self.settings.override(**overrides)
        resolved = self._resources.resolve(settings)
        call = self._resources.call(resolved, self._size(settings))
        return settings, resolved, call, Asking(self._resources, resolved, call)

    def _stream(self, collector: Collector, ready: deque[Response | Failure]) -> Iterator[Response | Failure]:
        # A method: a client that only a loop holds must not be closed before the loop ends, nor kept after it.
        yield from collector.stream(ready)

    def _size(self, settings: Settings) -> int:
        return max(settings.max_concurrency, self.settings.max_concurrency)

    def _collector(
        self, prompts: Sequence[Any], n_samples: int, overrides: dict[str, Any], *, single: bool
    ) -> Collector:
        n = count(n_samples)
        settings, resolved, call, asking = self._prepare(overrides)
        collector = Collector(resolved, self._response_transforms(settings), prompts=prompts, n=n, single=single)
        asks: Iterator[Ask] = (asking.ask(prompt, prompt_index=i, n=n) for i, prompt in enumerate(prompts))
        if single:
            asks = iter([next(asks)])  # an adapter's refusal is raised here, before a run begins
        else:
            for prompt in prompts:  # all are looked at before the first is sent
                asking.check(prompt)
        collector.run = self._run(
            resolved, call, asks, collector.deliver, total=len(prompts) * n, window=WINDOW, eager=False
        )
        return collector

    def _each(self, wants: Sequence[Want], overrides: Mapping[str, Any], then: Then | None = None) -> list[Rollouts]:
        from rollouts.growing import Growing

        settings, resolved, call, asking = self._prepare(dict(overrides))
        collector = Collector(resolved, self._response_transforms(settings))
        growing = Growing(asking, collector, wants, then)
        asks, deliver = growing.asks(), growing.deliver
        collector.run = self._run(resolved, call, asks, deliver, total=growing.total, window=WINDOW, eager=False)
        return collector.complete()

    def _run_one(self, resolved: Resolved, call: Call, ask: Ask, deliver: Deliver) -> Run:
        return self._run(resolved, call, [ask], deliver, total=1, window=WINDOW, eager=False)

    def _run(
        self,
        resolved: Resolved,
        call: Call,
        asks: Iterable[Ask | None],
        deliver: Deliver,
        *,
        total: int | None,
        window: int,
        eager: bool,
    ) -> Run:
        reporter = Reporter(
            model=resolved.settings.model,
            adapter=resolved.spec.name,
            total=total,
            progress=self._progress(resolved.settings, total),
            progress_credit=self.plugins.credit("progress", resolved.settings.progress),
            notify=self.plugins.notify,
            observed=self.plugins.has_observers,
            account=self._ledger.add,
            verbose=resolved.settings.verbose,
        )
        return self._resources.engine.run(
            call,
            asks,
            size=self._size(resolved.settings),
            reporter=reporter,
            deliver=deliver,
            window=window,
            eager=eager,
        )

    def _progress(self, settings: Settings, total: int | None) -> Progress | None:
        if not settings.progress_bar or total == 1:
            return None
        options = ProgressOptions(description=settings.model, n_prompts=None)
        if isinstance(settings.progress, str):
            made: Progress = self.plugins.make("progress", settings.progress, options)
            return made
        chosen: Any = settings.progress
        return chosen(options) if callable(chosen) else chosen  # type: ignore[no-any-return]

    def _response_transforms(self, settings: Settings) -> list[Any]:
        return self._resources.transforms(settings)[1]


def _close(resources: Resources, *, verbose: bool) -> None:
    """What is left of a client when it is closed or forgotten."""
    resources.close()
    if verbose:
        hide_log()
