"""Many samples at once: dispatch, workers, claims, budget and stopping. Knows Protocols only."""

from rollouts.engine.core import WINDOW, Engine
from rollouts.engine.jobs import Ask, Call, Job, Service
from rollouts.engine.reporting import Reporter
from rollouts.engine.run import Run
from rollouts.engine.stores import Store

__all__ = ["WINDOW", "Ask", "Call", "Engine", "Job", "Reporter", "Run", "Service", "Store"]
