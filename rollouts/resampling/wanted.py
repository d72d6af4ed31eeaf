"""What a resampling asks: which prompts, how many samples of each, under which numbers. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.resampling.asking import Want
from rollouts.resampling.checking import whole
from rollouts.resampling.trace import FORCED_LEAD, Positions, Trace

FORCED_SETTINGS: Mapping[str, Any] = {"max_tokens": 32, "stop": ["}\n", "}.", "}$", "\n\n"]}
r"""Few tokens, and a stop at the brace that ends the answer. A bare `}` would cut `\frac{1}{2}` after the 1."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The samples of a resampling, position by position; equal prefixes have equal wants."""

    positions: tuple[int, ...]
    arms: tuple[Want, ...]
    """The continuations of each position; in rounds the most that may be asked for."""
    forced: tuple[Want, ...]
    """The forced answers of each position; empty where none are asked for."""


def wanted(
    trace: Trace,
    n_samples: int,
    positions: Positions,
    *,
    seed: int = 0,
    forced: bool = False,
    forced_samples: int | None = None,
    forced_lead: str = FORCED_LEAD,
    forced_settings: Mapping[str, Any] | None = None,
) -> Wanted:
    """What `resample` with these arguments asks.

    Raises:
        ConfigError: A position or number out of range, or no trace.
    """
    if not isinstance(trace, Trace):
        raise ConfigError(f"a {type(trace).__name__} cannot be resampled: give a trace, or a sample with a thought.")
    n, first = whole("n_samples", n_samples), whole("seed", seed, 0)
    n_forced = n if forced_samples is None else whole("forced_samples", forced_samples)
    numbers = trace.positions(positions)
    prompts = [trace.prompt(i) for i in numbers]
    arms = [Want(prompt, n, first, without=trace.own_number(prompt)) for prompt in prompts]
    if not forced:
        if forced_samples is not None or forced_settings is not None or forced_lead != FORCED_LEAD:
            raise ConfigError("forced_samples, forced_settings and forced_lead are for forced=True, which is not set.")
        return Wanted(numbers, tuple(arms), ())
    if "seed" in (forced_settings or {}):
        raise ConfigError("forced_settings holds a seed: give seed=, which numbers the forced answers too.")
    # The call's own max_tokens and stop are meant for the continuations.
    own = {**FORCED_SETTINGS, **(forced_settings or {})}
    closed = [trace.forced_prompt(i, forced_lead) for i in numbers]
    wants = [Want(prompt, n_forced, first, own, trace.own_number(prompt)) for prompt in closed]
    return Wanted(numbers, tuple(arms), tuple(wants))
