"""Asks a model the probe's riddles, way by way and provider by provider, and remembers what they show.

Knows how samples are asked for; what a riddle proves is `continuation`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from rollouts.asking import Asking, offered_ways
from rollouts.continuation import KNOWN, Memory, ProbeResult, known_verdict, verify_prefill
from rollouts.continuation.probe import MAX_TOKENS, TRIALS
from rollouts.continuation.routing import ROUTED
from rollouts.engine import Ask, Call, Deliver, Result, Run
from rollouts.exceptions import BadRequest, ConfigError, NotFound, PermissionDenied, RolloutsError, ServerError
from rollouts.logs import logger
from rollouts.resources import Resolved, Resources
from rollouts.results import Failure, Response
from rollouts.settings import SAMPLING_NAMES, Settings

MakeRun: TypeAlias = Callable[[Resolved, Call, Ask, Deliver], Run]
"""Makes the run of one ask, which the prober drives."""

_KEPT = ("provider", "reasoning", "reasoning_effort", "include_reasoning")
"""Sampling settings that hold in a probe too: they decide who answers and whether it thinks."""
_OF_ONE_PROVIDER = (NotFound, BadRequest, PermissionDenied, ServerError)
"""What one provider may answer while the others are well."""


class Prober:
    """Probes one model."""

    def __init__(self, resources: Resources, settings: Settings, make_run: MakeRun, given: Iterable[str] = ()) -> None:
        """Probe as `settings` say; sampling settings other than those `given` for the probe itself are left out."""
        self._resources = resources
        self._settings = settings
        self._make_run = make_run
        self._resolved = resources.resolve(settings)
        self._offered = offered_ways(self._resolved)
        quiet: dict[str, Any] = dict.fromkeys(set(SAMPLING_NAMES) - set(_KEPT) - set(given))
        tokens = {} if {"max_tokens", "max_completion_tokens"} & set(given) else {"max_tokens": MAX_TOKENS}
        warmth = {} if "temperature" in given else {"temperature": 0}
        # A riddle that is solved from a cache, or changed by a transform, proves nothing.
        self._plain: dict[str, Any] = quiet | tokens | warmth
        self._plain |= {"system": None, "transforms": None, "use_cache": False, "require_prefill": False}

    def run(
        self, ways: Sequence[str] | None = None, trials: int = TRIALS, providers: Sequence[str] | None = None
    ) -> list[ProbeResult]:
        """Probe each way at each provider, and remember the verdicts.

        Raises:
            ConfigError: A way that the adapter does not offer, or providers where nothing is routed.
            RolloutsError: No answer can be had at all.
        """
        if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
            raise ConfigError(f"trials is {trials!r}: give a whole number of at least 1.")
        wanted = self._ways(ways)
        results = [self._probe(way, trials, provider) for provider in self._providers(providers) for way in wanted]
        self._remember(results)
        return results

    # ── What is probed ──

    def _ways(self, ways: Sequence[str] | None) -> Sequence[str]:
        forced = self._settings.adapter_options.get("continuation")
        if ways is None:
            # A service that continues nothing is asked in the plainest way, and says why.
            return [forced] if forced else self._offered or ["assistant"]
        ways = [ways] if isinstance(ways, str) else ways
        for way in ways:
            if way not in self._offered:
                raise ConfigError(
                    f"the adapter {self._resolved.spec.name!r} has no way of continuing named {way!r}; it offers: "
                    f"{', '.join(self._offered) or 'none'}."
                )
        return ways

    def _providers(self, providers: Sequence[str] | None) -> Sequence[str | None]:
        if self._resolved.spec.name != ROUTED:
            if providers:
                raise ConfigError(f"{self._resolved.spec.name} routes to no providers: leave them out.")
            return [None]
        if providers:
            return [providers] if isinstance(providers, str) else providers
        named = (self._settings.given_sampling.get("provider") or {}).get("only")
        if named:
            return list(named)
        # Whoever answers today may not answer tomorrow: a verdict is about a provider, so those are asked that may do.
        return self._likely() or [None]

    def _likely(self) -> list[str]:
        model = self._resolved.model
        found = dict.fromkeys(line.provider for line in KNOWN if line.adapter == ROUTED and line.provider != "*")
        verdicts = {provider: known_verdict(ROUTED, model, provider) for provider in found}
        return [provider for provider, line in verdicts.items() if line is not None and line.verdict == "yes"]

    # ── Asking ──

    def _probe(self, way: str, trials: int, provider: str | None) -> ProbeResult:
        changed = dict(self._plain)
        if hasattr(self._resolved.service.adapter, "ways") and way in self._offered:
            changed["adapter_options"] = {**self._settings.adapter_options, "continuation": way}
        if provider is not None:
            routing = self._settings.given_sampling.get("provider") or {}
            changed["provider"] = {**routing, "only": [provider], "allow_fallbacks": False}
        settings = self._settings.override(**changed)

        def ask(task: str, thought: str, way: str, number: int) -> Response:
            return self._ask(settings, f"{task}\n<think>\n{thought}", number)

        try:
            return verify_prefill(ask, ways=[way], trials=trials, provider=provider)[0]
        except _Unaskable as error:
            return ProbeResult(way, "unknown", f"not asked: {error}", (), provider)
        except _OF_ONE_PROVIDER as error:
            if provider is None:
                raise
            return ProbeResult(way, "unknown", f"no answer: {error}", (), provider)

    def _ask(self, settings: Settings, prompt: str, number: int) -> Response:
        settings = settings.override(seed=number)
        resolved = self._resources.resolve(settings)
        call = self._resources.call(resolved, self._settings.max_concurrency)
        asking = Asking(self._resources, resolved, call)
        asking.quiet = True  # what is doubtful is what is being found out
        try:
            ask = asking.ask(prompt, prompt_index=0, n=1)
        except ConfigError as error:
            raise _Unaskable(str(error)) from error
        results: list[Result] = []
        run = self._make_run(resolved, call, ask, lambda done: results.extend(result for _, result in done))
        run.complete()
        if run.stop_error is not None:
            raise run.stop_error
        (result,) = results
        if isinstance(result, Failure):
            raise result.error or RolloutsError("the probe was stopped")
        return result

    def _remember(self, results: Sequence[ProbeResult]) -> None:
        resolved = self._resolved
        about: Mapping[str, str] = {
            "adapter": resolved.spec.name,
            "model": resolved.model,
            "service": resolved.identity,
        }
        try:
            Memory().remember(result.remembered(**about) for result in results if result.trials)
        except OSError as error:
            logger.warning("the verdicts cannot be remembered: %s", error)


class _Unaskable(RolloutsError):
    """This way cannot be asked with these settings; other ways may."""
