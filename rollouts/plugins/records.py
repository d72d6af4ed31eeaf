"""What is known of one plugin: while it is managed, and as it is reported. Knows nothing of loading."""

from __future__ import annotations

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


@dataclass(slots=True)
class Plugin:
    """What the manager knows of one plugin. Changed under the manager's lock only."""

    name: str
    found: Found | None = None
    object: Any = None
    disabled_by: str | None = None
    error: BaseException | None = None
    hints: list[str] = field(default_factory=list)
    offers: dict[str, list[Spec]] = field(default_factory=dict)

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
