"""Finds, loads and isolates plugins, and gives typed access to what they offer. Knows no plugin by name.

The only module beside `hookspecs` that touches pluggy. A manager belongs to a client; nothing is imported before a
kind is first looked up.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pluggy

import rollouts
from rollouts import hookspecs
from rollouts.exceptions import ConfigError, PluginError, RolloutsError
from rollouts.logs import logger
from rollouts.plugins import messages
from rollouts.plugins.choosing import TemplateChoice, choose_adapter, choose_template
from rollouts.plugins.discovery import installed, switched_off, unmet
from rollouts.plugins.doubts import doubts
from rollouts.plugins.records import Plugin, PluginInfo
from rollouts.typing import AdapterSpec, Spec, TemplateSpec, TransformSpec

KINDS: dict[str, tuple[str, type[Spec]]] = {
    "adapter": ("rollouts_register_adapters", AdapterSpec),
    "cache": ("rollouts_register_caches", Spec),
    "limiter": ("rollouts_register_limiters", Spec),
    "think_template": ("rollouts_register_think_templates", TemplateSpec),
    "transform": ("rollouts_register_transforms", TransformSpec),
    "splitter": ("rollouts_register_splitters", Spec),
    "progress": ("rollouts_register_progress", Spec),
    "executor": ("rollouts_register_executors", Spec),
    "command": ("rollouts_register_commands", Spec),
}
"""Each kind of thing, the hook that offers it, and the spec that the hook returns."""

EVENTS = ("rollouts_on_run_start", "rollouts_on_sample", "rollouts_on_retry", "rollouts_on_run_end")
"""Hooks that observe."""

HOOKS = frozenset({*(hook for hook, _ in KINDS.values()), *EVENTS})


class PluginManager:
    """The plugins of one client: the defaults, then the installed ones, then the objects given to it.

    Safe to use from many threads.
    """

    def __init__(self, plugins: Iterable[Any] = (), *, environ: Mapping[str, str] | None = None) -> None:
        """Load nothing yet.

        Args:
            plugins: Plugin objects (modules, or objects with methods marked `@hookimpl`).
            environ: Where the `ROLLOUTS_…` switches are read; the process's environment unless given.
        """
        self._given = tuple(plugins)
        self._environ = os.environ if environ is None else environ
        self._lock = threading.RLock()
        self._pluggy: pluggy.PluginManager | None = None
        self._plugins: list[Plugin] = []
        self._claims: dict[str, dict[str, list[tuple[Spec, Plugin]]]] = {}
        self._observers: dict[str, tuple[tuple[Plugin, Callable[[Any], object]], ...]] = {}

    # ── Things by name ──────────────────────────────────────────────────────────────────────────────────

    def specs(self, kind: str) -> list[Spec]:
        """What can be chosen of a kind, in order of registration; a name claimed twice is left out."""
        claims = self._of_kind(kind)
        return [winner[0] for found in claims.values() if (winner := _winner(found)) is not None]

    def spec(self, kind: str, name: str) -> Spec:
        """What a plugin offers under a name.

        Raises:
            ConfigError: Nobody offers it; the message lists what there is.
            PluginError: The plugin that would is broken, or two plugins claim the name.
        """
        return self._owner(kind, name)[0]

    def make(self, kind: str, name: str, *arguments: Any, **options: Any) -> Any:
        """Call the factory of what is called `name`.

        Raises:
            ConfigError, PluginError: As `spec`.
            PluginError: The factory failed (our own errors come through as they are).
        """
        spec, plugin = self._owner(kind, name)
        try:
            return spec.factory(*arguments, **options)
        except RolloutsError:
            raise
        except Exception as error:
            raise PluginError(messages.factory_failed(kind, name, plugin.label, error)) from error

    def credit(self, kind: str, thing: Any) -> str:
        """How messages name a thing and whose it is: `the cache 'memcache' (plugin 'memcache' of memcache 1.0)`.

        Args:
            kind: One of `KINDS`.
            thing: Its name, or the object that the user gave in place of a name.
        """
        if not isinstance(thing, str):
            return f"the {messages.words(kind)} {type(thing).__name__} (an object of the caller's)"
        with self._lock:
            claims = self._claims.get(kind, {}).get(thing, [])
        winner = _winner(claims) if claims else None
        return messages.credit(kind, thing, None if winner is None else winner[1])

    def adapter_for(self, model: str, base_url: str | None = None, adapter: str | None = None) -> AdapterSpec:
        """The adapter by its name; else by the base URL's host; else by the model's prefix; else the default.

        Raises:
            ConfigError, PluginError: As `spec`.
        """
        return choose_adapter(self, model, base_url, adapter)

    def template_for(self, model: str, template: Any = None, *, injecting: bool = False) -> TemplateChoice:
        """The think template by name or object; else the one whose longest pattern fits the model.

        Args:
            model: The model's name as the service has it.
            template: What the user chose: a name, a template, or None.
            injecting: True where the prompt opens a thought with a tag (`prompts.opens_thought`).

        Raises:
            ConfigError, PluginError: As `spec`.
        """
        return choose_template(self, model, template, injecting=injecting)

    # ── Observers ───────────────────────────────────────────────────────────────────────────────────────

    def has_observers(self, hook: str) -> bool:
        """Whether anybody observes; cheap, so that events are built for somebody only."""
        observers = self._observers.get(hook)
        return bool(self._find_observers(hook) if observers is None else observers)

    def notify(self, hook: str, event: object) -> None:
        """Tell every observer. One that raises is logged once; KeyboardInterrupt passes."""
        observers = self._observers.get(hook)
        for plugin, observe in self._find_observers(hook) if observers is None else observers:
            try:
                observe(event)
            except Exception as error:
                self._complain(plugin, f"raised {messages.short(error)} in {hook}", error)

    # ── What there is ───────────────────────────────────────────────────────────────────────────────────

    def report(self) -> list[PluginInfo]:
        """Every plugin with its state, after asking each for all it offers. Never raises for a broken one."""
        with self._lock:
            self._load(None)
            for kind in KINDS:
                self._collect(kind)
            return [self._info(plugin) for plugin in self._plugins]

    # ── Inside ──────────────────────────────────────────────────────────────────────────────────────────

    def _owner(self, kind: str, name: str) -> tuple[Spec, Plugin]:
        if not isinstance(name, str):
            raise ConfigError(f"A {messages.words(kind)} is looked up by its name, not by a {type(name).__name__}.")
        claims = self._of_kind(kind).get(name)
        if not claims:
            raise messages.missing(kind, name, [spec.name for spec in self.specs(kind)], self._plugins)
        winner = _winner(claims)
        if winner is None:
            raise PluginError(messages.claimed_twice(kind, name, [plugin.label for _, plugin in claims]))
        return winner

    def _of_kind(self, kind: str) -> dict[str, list[tuple[Spec, Plugin]]]:
        with self._lock:
            self._load(kind)
            claims = self._collect(kind)
            self._refuse_if_strict()
            return claims

    def _load(self, kind: str | None) -> None:
        """Load what may offer a kind (`None`: everything). The names of our own entry points begin with their kind."""
        if self._pluggy is None:
            self._pluggy = pluggy.PluginManager("rollouts")
            self._pluggy.add_hookspecs(hookspecs)
            self._plugins = [Plugin(f.name, f, disabled_by=switched_off(f, self._environ)) for f in installed()]
            self._plugins += [Plugin(_name_of(given), given=given) for given in self._given]
        for plugin in self._plugins:
            if not plugin.tried and plugin.disabled_by is None and (kind is None or plugin.may_offer(kind, KINDS)):
                plugin.tried = True
                self._register(plugin)

    def _register(self, plugin: Plugin) -> None:
        assert self._pluggy is not None
        if plugin.found is not None and plugin.found.problem is not None:
            self._break(plugin, PluginError(plugin.found.problem))
            return
        try:
            loaded = plugin.given if plugin.found is None else plugin.found.load()
            if any(other.object is loaded for other in self._plugins):
                plugin.hints.append("is registered already under another name")
                return
            _check_version(loaded)
            plugin.object = loaded
            plugin.hints += doubts(plugin.object, hookspecs)
            self._pluggy.register(plugin.object, name=f"{self._plugins.index(plugin)}:{plugin.name}")
        except (Exception, SystemExit) as error:  # a module may call sys.exit; that is no reason to end
            self._roll_back(plugin.object)
            self._break(plugin, error)

    def _roll_back(self, registered: Any) -> None:
        """Take out what pluggy up to 1.6 leaves of a plugin that failed half-way."""
        if registered is not None and self._pluggy is not None and self._pluggy.is_registered(registered):
            self._pluggy.unregister(registered)

    def _break(self, plugin: Plugin, error: BaseException) -> None:
        plugin.error = error
        logger.warning("plugin %s is broken and left out: %s", plugin.label, messages.short(error))

    def _refuse_if_strict(self) -> None:
        """Raise for a plugin that the client was given by hand; for any, where the environment says strict."""
        strict = self._environ.get("ROLLOUTS_STRICT_PLUGINS", "").strip() not in ("", "0")
        for plugin in self._plugins:
            if plugin.error is not None and (strict or plugin.found is None):
                raise PluginError(f"Plugin {plugin.label} is broken: {messages.short(plugin.error)}.") from plugin.error
            if strict and plugin.state == "doubtful":
                raise PluginError(f"Plugin {plugin.label} is doubtful: {'; '.join(plugin.hints)}.")

    def _collect(self, kind: str) -> dict[str, list[tuple[Spec, Plugin]]]:
        if kind in self._claims:
            return self._claims[kind]
        hook, spec_type = KINDS[kind]
        claims: dict[str, list[tuple[Spec, Plugin]]] = {}
        for plugin, impl in self._implementations(hook):
            try:
                specs = _checked(impl.function(), hook, spec_type)
            except (Exception, SystemExit) as error:
                self._break(plugin, error)
                continue
            plugin.offers[kind] = specs
            for spec in specs:
                claims.setdefault(spec.name, []).append((spec, plugin))
        self._claims[kind] = claims
        return claims

    def _implementations(self, hook: str) -> list[tuple[Plugin, pluggy.HookImpl]]:
        """Implementations in the order of the plugins (pluggy's own is the reverse of loading)."""
        assert self._pluggy is not None
        places = {id(plugin.object): i for i, plugin in enumerate(self._plugins) if plugin.object is not None}
        found = [
            (not impl.tryfirst, bool(impl.trylast), places[id(impl.plugin)], impl)
            for impl in getattr(self._pluggy.hook, hook).get_hookimpls()
            if not (impl.wrapper or impl.hookwrapper)
        ]
        found.sort(key=lambda entry: entry[:3])
        return [(self._plugins[place], impl) for _, _, place, impl in found]

    def _find_observers(self, hook: str) -> tuple[tuple[Plugin, Callable[[Any], object]], ...]:
        if hook not in EVENTS:
            raise ValueError(f"{hook!r} is no event hook")
        with self._lock:
            self._load("events")
            self._observers[hook] = tuple((plugin, _observer(impl)) for plugin, impl in self._implementations(hook))
            self._refuse_if_strict()
            return self._observers[hook]

    def _complain(self, plugin: Plugin, what: str, error: BaseException) -> None:
        with self._lock:
            if plugin.complaint is not None:
                return
            plugin.complaint = what
        logger.warning("plugin %s %s (said once)", plugin.label, what, exc_info=error)

    def _info(self, plugin: Plugin) -> PluginInfo:
        observes = plugin.object is not None and any(
            owner is plugin for hook in EVENTS for owner, _ in self._implementations(hook)
        )
        kinds = [kind for kind, specs in plugin.offers.items() if specs] + ["events"] * observes
        offers = tuple(f"{kind}:{spec.name}" for kind, specs in plugin.offers.items() for spec in specs)
        hints = [*plugin.hints, *([plugin.complaint] if plugin.complaint else [])]
        for kind, specs in plugin.offers.items():
            hints += [
                messages.claimed_twice(kind, spec.name, [owner.label for _, owner in self._claims[kind][spec.name]])
                for spec in specs
                if _winner(self._claims[kind][spec.name]) is None
            ]
        if plugin.disabled_by:
            hints.append(f"switched off by {plugin.disabled_by}")
        state = "doubtful" if plugin.state == "ok" and hints else plugin.state
        error = plugin.error
        return PluginInfo(
            name=plugin.name,
            kinds=tuple(kinds),
            offers=offers,
            distribution=plugin.found.distribution if plugin.found else None,
            version=plugin.found.version if plugin.found else None,
            state=state,
            default=plugin.found is not None and plugin.found.default,
            error=None if error is None else messages.short(error),
            traceback=None if error is None else "".join(traceback.format_exception(error)),
            hints=tuple(hints),
        )


def _name_of(given: Any) -> str:
    return str(getattr(given, "__name__", type(given).__name__))


def _check_version(plugin: Any) -> None:
    """Refuse a plugin that says `rollouts_requires = ">=0.3"` and is not met."""
    wanted = getattr(plugin, "rollouts_requires", None)
    problem = unmet([f"rollouts{wanted}"], rollouts.__version__) if isinstance(wanted, str) else None
    if problem is not None:
        raise PluginError(problem)


def _winner(claims: list[tuple[Spec, Plugin]]) -> tuple[Spec, Plugin] | None:
    if len(claims) == 1:
        return claims[0]
    overriding = [claim for claim in claims if claim[0].override]
    return overriding[0] if len(overriding) == 1 else None


def _observer(impl: pluggy.HookImpl) -> Callable[[Any], object]:
    """A function of the event, whether or not the implementation names its argument."""
    function: Callable[..., object] = impl.function
    return function if "event" in impl.argnames else lambda event: function()


def _checked(returned: Any, hook: str, spec_type: type[Spec]) -> list[Spec]:
    if returned is None:
        return []
    if isinstance(returned, Spec):
        raise PluginError(f"{hook} returned one spec: return a list of them")
    specs = list(returned)
    for spec in specs:
        if not isinstance(spec, spec_type):
            raise PluginError(f"{hook} returned a {type(spec).__name__}: return a list of {spec_type.__name__}")
        if not isinstance(spec.name, str) or not spec.name or not callable(spec.factory):
            raise PluginError(f"{hook} returned a spec whose name is no text or whose factory cannot be called")
    return specs
