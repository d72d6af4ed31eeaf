"""What is known of one plugin: while it is managed, and as it is reported. Knows nothing of loading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts.plugins.discovery import Found
    from rollouts.typing import Spec


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin, as `rollouts plugins` lists it."""

    name: str
    """Name of its entry point, or what the object given to the client is called."""
    kinds: tuple[str, ...]
    """Kinds of thing it offers; `events` where it observes."""
    offers: tuple[str, ...]
    """What it offers: `cache:json`, …"""
    distribution: str | None
    """None for an object given to the client."""
    version: str | None
    state: str
    """`ok`, `doubtful` (see `hints`), `broken` (see `error`) or `disabled`."""
    default: bool
    """True for the core's own."""
    error: str | None = None
    """What broke it, in one line."""
    traceback: str | None = None
    hints: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Plugin:
    """What the manager knows of one plugin. Changed under the manager's lock only."""

    name: str
    found: Found | None = None
    given: Any = None
    """The object given to the client; None for an installed plugin."""
    object: Any = None
    """What is registered; None before it is loaded and where that failed."""
    tried: bool = False
    """True once loading was tried."""
    disabled_by: str | None = None
    error: BaseException | None = None
    hints: list[str] = field(default_factory=list)
    complaint: str | None = None
    """What an observer of it raised first; no reason to leave it out."""
    offers: dict[str, list[Spec]] = field(default_factory=dict)

    def may_offer(self, kind: str, kinds: Iterable[str]) -> bool:
        """Whether it must be loaded to know all things of a kind (or `events`)."""
        if self.found is None or not self.found.default:
            return True
        prefixes = {known: known.replace("_", "-") + "-" for known in kinds}
        own = {known for known, prefix in prefixes.items() if self.name.startswith(prefix)}
        return not own or kind in own

    @property
    def label(self) -> str:
        """For messages: what to uninstall or repair."""
        if self.found is None:
            return f"{self.name!r} (given to the client)"
        return f"{self.name!r} of {self.found.distribution} {self.found.version}"

    @property
    def state(self) -> str:
        """`ok`, `doubtful`, `broken` or `disabled`."""
        if self.disabled_by:
            return "disabled"
        return "broken" if self.error else "doubtful" if self.hints else "ok"
