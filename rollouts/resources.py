"""From settings to the parts that do the work: adapter, key, cache, limiter, executor. One set per client.

Knows the plugin manager and the engine; sends nothing and opens nothing. Parts are made when a call first needs them,
shared by later calls with equal settings, and freed with the client.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from rollouts.config import from_variable
from rollouts.continuation import judge
from rollouts.engine import Call, Engine, Service, Store
from rollouts.engine.budget import Budget, Price, check_priceable
from rollouts.engine.guests import said
from rollouts.engine.limits import Limiters
from rollouts.engine.recipes import sharded
from rollouts.engine.scopes import park_of, scope_for
from rollouts.exceptions import ConfigError, PluginError, RolloutsError
from rollouts.executing import Executing
from rollouts.homogeneity import Watch
from rollouts.identity import canonical
from rollouts.logs import logger
from rollouts.plugins import PluginManager, TemplateChoice, wire_model
from rollouts.prices import PriceList, fetch, remembered
from rollouts.prompts import opens_thought
from rollouts.results import Response
from rollouts.retry import RetryPolicy
from rollouts.settings import Secret, Settings, api_key, http_url, public_url
from rollouts.transport import Auth
from rollouts.typing import (
    AdapterOptions,
    AdapterSpec,
    CacheOptions,
    Conversation,
    LimiterOptions,
    PromptTransform,
    ResponseTransform,
    TransformSpec,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolved:
    """One call's settings with all names looked up."""

    settings: Settings
    spec: AdapterSpec
    model: str
    """The model's name as the service has it."""
    base_url: str
    """Without user and query; empty where the adapter serves itself."""
    service: Service
    identity: str
    """Who answers, for the identity of samples."""
    watch: Watch
    """What the client has told of its samples already."""


class Resources:
    """The parts of one client."""

    def __init__(self, manager: PluginManager) -> None:
        """Look names up in `manager`."""
        self.manager = manager
        self.executing = Executing(manager)
        self.engine = Engine(lambda size: self.executing.make(size), lambda size: self.executing.elsewhere(size))
        self._inherited: list[Any] = []
        self._reset()
        self._templates: dict[Any, TemplateChoice] = {}
        self._watch = Watch()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._services: dict[Any, Service] = {}
        self._stores: dict[Any, Store] = {}
        self._limiters: dict[Any, Any] = {}

    def _here(self) -> None:
        """In a forked child begin anew: what the parent had under way there is answered to the parent alone."""
        if self._pid != os.getpid():
            # Kept, so that nothing is closed that the parent has open.
            self._inherited.append((self._services, self._stores, self._limiters))
            self._reset()

    # ── Whom to ask ──

    def resolve(self, settings: Settings) -> Resolved:
        """Find adapter, base URL, model name and template.

        Raises:
            ConfigError: No such adapter or template, or a base URL is missing.
            PluginError: The one that is wanted is broken.
        """
        self._here()
        spec = self.manager.adapter_for(settings.model, settings.base_url, settings.adapter)
        base_url = self._base_url(settings, spec)
        service = self._service(spec, base_url, settings.adapter_options)
        # Asked for only where it is not given: a local model's is the digest of a file that may not be here.
        who = settings.service or getattr(service.adapter, "service", None) or public_url(base_url).rstrip("/")
        return Resolved(
            settings=settings,
            spec=spec,
            model=wire_model(spec, settings.model),
            base_url=public_url(base_url) if base_url else "",
            service=service,
            identity=who,
            watch=self._watch,
        )

    def _base_url(self, settings: Settings, spec: AdapterSpec) -> str:
        variable = spec.name.upper().replace("-", "_") + "_BASE_URL"
        named = os.environ.get(variable, "").strip()
        url = settings.base_url or (http_url(variable, named) if named else spec.base_url)
        if not url and spec.needs_base_url:
            raise ConfigError(
                f"the adapter {spec.name!r} needs a base URL: give base_url='http://…/v1' to the call or the client, "
                f"or set {variable}."
            )
        return url.rstrip("/")

    def _service(self, spec: AdapterSpec, base_url: str, options: Mapping[str, Any]) -> Service:
        def make() -> Service:
            adapter = self.manager.make("adapter", spec.name, AdapterOptions(base_url=base_url, options=options))
            host = urlsplit(base_url).netloc.rpartition("@")[2] or spec.name
            return Service(adapter, name=spec.name, host=host, credit=self.manager.credit("adapter", spec.name))

        return self._once(self._services, (spec.name, base_url, _frozen(options)), make)

    def with_new_adapter(self, resolved: Resolved) -> Resolved:
        """The same with an adapter that nobody else uses and that was never opened."""
        shared = resolved.service
        options = AdapterOptions(base_url=resolved.base_url.rstrip("/"), options=resolved.settings.adapter_options)
        adapter = self.manager.make("adapter", resolved.spec.name, options)
        return replace(resolved, service=Service(adapter, name=shared.name, host=shared.host, credit=shared.credit))

    def template(self, resolved: Resolved, prompt: Any) -> TemplateChoice:
        """The think template of one prompt: the one that was named, or the model's own."""
        injecting = opens_thought(prompt)
        wanted = resolved.settings.template
        if wanted is not None and not isinstance(wanted, str):
            return self.manager.template_for(resolved.model, wanted, injecting=injecting)
        identity = (resolved.model, wanted, injecting)
        return self._once(
            self._templates, identity, lambda: self.manager.template_for(resolved.model, wanted, injecting=injecting)
        )

    def transforms(self, settings: Settings) -> tuple[list[PromptTransform], list[ResponseTransform]]:
        """The transforms of prompts and of answers, in the order in which they act.

        A plain function changes prompts, unless it has an attribute `acts_on = "response"`.
        """
        found: list[tuple[int, str, Any]] = []
        for item in settings.transforms:
            if callable(item):
                order, acts_on, transform = getattr(item, "order", 0), getattr(item, "acts_on", "prompt"), item
                credit = f"the {acts_on} transform {getattr(item, '__name__', type(item).__name__)!r}"
            else:
                name, options = (item, {}) if isinstance(item, str) else item
                spec = cast(TransformSpec, self.manager.spec("transform", name))
                order, acts_on = spec.order, spec.acts_on
                transform = self.manager.make("transform", name, **options)
                credit = self.manager.credit("transform", name).replace("the ", f"the {acts_on} ", 1)
            found.append((order, acts_on, _guarded(transform, credit, _ACTED_ON[acts_on])))
        found.sort(key=lambda entry: entry[0])  # stable: equal orders act as given
        return [f for _, on, f in found if on == "prompt"], [f for _, on, f in found if on == "response"]

    # ── What a call needs ──

    def call(self, resolved: Resolved, size: int) -> Call:
        """Make a call's parts ready, for a pool of `size` workers; opens and sends nothing.

        Raises:
            ConfigError: A name that no plugin offers, or a key that no header can carry where one is needed.
        """
        settings, spec = resolved.settings, resolved.spec
        offline = is_offline(settings)
        key, missing = (None, None) if offline else self.key(settings, spec)
        call = Call(
            service=resolved.service,
            transport=self.engine.transport(size),
            auth=None if key is None else Auth(key.reveal(), spec.key_header, spec.key_prefix),
            limiter=self._limiter(settings, resolved.base_url, key),
            policy=RetryPolicy(max_retries=settings.max_retries),
            store=self.store(settings),
            budget=self._budget(resolved),
            judge=judge,
            timeout=settings.timeout,
            max_concurrency=settings.max_concurrency,
            offline=offline,
            require_prefill=settings.require_prefill,
            missing_key=missing,
            headers=settings.extra_headers,
            affinity=settings.worker_affinity,
        )
        shards = self.engine.shards(size)
        if shards is None:
            return call
        url, carries = self._base_url(settings, spec), shards.carries_key
        raw = None if key is None else key.reveal()
        return sharded(call, settings, shards.transport, adapter=spec.name, base_url=url, key=raw, carries=carries)

    def key(self, settings: Settings, spec: AdapterSpec) -> tuple[Secret | None, str | None]:
        """The key from the call, the client or the environment; or what to say when one is needed.

        Raises:
            ConfigError: The environment's cannot stand in a header.
        """
        if settings.api_key is not None:
            return settings.api_key, None
        if spec.key_variable is not None and os.environ.get(spec.key_variable, "").strip():
            return api_key(spec.key_variable, os.environ[spec.key_variable]), None
        if not spec.key_required:
            return None, None
        return None, (
            f"no API key for {spec.name}, so nothing was sent. Three ways to give one: the environment variable "
            f"{spec.key_variable}, RolloutsClient(..., api_key='...'), or generate(..., api_key='...')."
        )

    def store(self, settings: Settings) -> Store | None:
        """The cache of a call; None without one."""
        wanted = settings.use_cache
        if wanted is False:
            return None
        if not isinstance(wanted, str | bool):
            return self._once(self._stores, id(wanted), lambda: Store(wanted, type(wanted).__name__, owned=False))
        name = "json" if wanted is True else str(wanted)
        options = CacheOptions(cache_dir=settings.cache_dir, options=settings.cache_options)
        # The directory as it is now: a later chdir must not move what is open.
        identity = (name, os.path.abspath(settings.cache_dir), _frozen(settings.cache_options))

        def make() -> Store:
            return Store(self.manager.make("cache", name, options), name, credit=self.manager.credit("cache", name))

        return self._once(self._stores, identity, make)

    def _limiter(self, settings: Settings, base_url: str, key: Secret | None) -> Limiters:
        scope = scope_for(base_url or "in-process", None if key is None else key.reveal())
        rpm, tpm = settings.requests_per_minute, settings.tokens_per_minute
        wanted = settings.limiter
        # Always with "per-minute": a limit holds for whoever sends, so starts without one are counted too (1.5 µs). It
        # comes last because what it grants starts at once.
        names: list[Any] = [wanted, "per-minute"] if wanted != "per-minute" else [wanted]
        options = LimiterOptions(
            scope=scope,
            max_concurrency=settings.max_concurrency,
            requests_per_minute=rpm,
            tokens_per_minute=tpm,
            clock=time.monotonic,
            options=settings.limiter_options,
        )
        identity = (id(scope), tuple(n if isinstance(n, str) else id(n) for n in names), rpm, tpm,
                    settings.max_concurrency, _frozen(settings.limiter_options))  # fmt: skip

        def make() -> Limiters:
            limiters = [
                self.manager.make("limiter", name, options) if isinstance(name, str) else name for name in names
            ]
            credits = [self.manager.credit("limiter", name) for name in names]
            return Limiters(limiters, park_of(scope), names=credits)

        limiters: Limiters = self._once(self._limiters, identity, make)
        return limiters

    def _budget(self, resolved: Resolved) -> Budget | None:
        settings, spec = resolved.settings, resolved.spec
        if settings.max_cost is None and settings.max_total_tokens is None:
            return None
        price = None if settings.max_cost is None else self.price(resolved)
        check_priceable(settings.max_cost, price=price, states_cost=spec.states_cost, service=spec.name)
        return Budget(max_cost=settings.max_cost, max_total_tokens=settings.max_total_tokens, price=price)

    # ── What it costs ──

    def prices(self, resolved: Resolved, *, refresh: bool = False) -> PriceList | None:
        """The service's price list as it is remembered; with `refresh`, as it is now.

        Raises:
            ConfigError: With `refresh`: offline, the service has no list, or a key is missing.
            RolloutsError: With `refresh`: no list came.
        """
        url: str | None = getattr(resolved.service.adapter, "prices_url", None)
        if not refresh:
            return None if url is None else remembered(public_url(url))
        settings, spec = resolved.settings, resolved.spec
        if url is None:
            raise ConfigError(f"{spec.name} has no price list that could be asked for.")
        if is_offline(settings):
            raise ConfigError("offline: no price list is asked for. Take offline off.")
        key, _ = self.key(settings, spec)
        return fetch(
            self.engine.transport(settings.max_concurrency),
            url,
            None if key is None else Auth(key.reveal(), spec.key_header, spec.key_prefix),
            resolved.service.adapter.read_prices,  # type: ignore[attr-defined]
            shown=public_url(url),
            timeout=min(settings.timeout, 60.0),
        )

    def price(self, resolved: Resolved) -> Price | None:
        """The model's price by the list that is remembered; None where none is."""
        known = self.prices(resolved)
        found = None if known is None else known.prices.get(resolved.model)
        return None if found is None else Price(*found)

    def use_executor(self, wanted: Any, options: Mapping[str, Any]) -> None:
        """Make workers with this executor from now on: a plugin's name, or an executor of the caller's."""
        self.executing = Executing(self.manager, wanted, options)

    def _once(self, made: dict[Any, T], identity: Any, make: Callable[[], T]) -> T:
        with self._lock:
            if identity not in made:
                made[identity] = make()
            return made[identity]

    def close(self) -> None:
        """Stop the engine, close adapters and caches. Idempotent."""
        self.engine.close()
        self._here()
        with self._lock:
            parts = [(service.close, service.credit) for service in self._services.values()]
            parts += [(store.close, store.credit) for store in self._stores.values()]
            for close, credit in parts:
                try:
                    close()
                except Exception as error:  # or the others would stay open
                    logger.warning("%s failed in close: %s", credit, said(error), exc_info=True)
            self._services.clear()
            self._stores.clear()
            self._limiters.clear()


def is_offline(settings: Settings) -> bool:
    """Whether nothing may be sent: by the setting, or by `ROLLOUTS_OFFLINE` whatever client and call say.

    Raises:
        ConfigError: The variable says neither yes nor no.
    """
    return settings.offline or bool(from_variable("offline"))


_ACTED_ON: Mapping[str, type] = {"prompt": Conversation, "response": Response}


def _guarded(transform: Callable[[Any], Any], credit: str, wanted: type) -> Callable[[Any], Any]:
    """A transform whose failure is told with its name."""

    def act(value: Any) -> Any:
        try:
            changed = transform(value)
        except RolloutsError:
            raise
        except Exception as error:
            raise PluginError(f"{credit} failed: {said(error)}") from error
        if not isinstance(changed, wanted):
            raise PluginError(f"{credit} gave a {type(changed).__name__}; it must return a {wanted.__name__}.")
        return changed

    return act


def _frozen(options: Mapping[str, Any]) -> str:
    """Options as a value that can be compared: canonical JSON where they are JSON, else by identity."""
    try:
        return canonical(options)
    except ConfigError:
        return repr(sorted((name, id(value)) for name, value in options.items()))
