"""Many samples at once: dispatch, workers, claims, budget and stopping. Knows Protocols only."""

from rollouts.engine.core import WINDOW, Engine
from rollouts.engine.jobs import Ask, Call, Job, Service
from rollouts.engine.reporting import Reporter
from rollouts.engine.run import Deliver, Result, Run
from rollouts.engine.stores import Store

__all__ = ["WINDOW", "Ask", "Call", "Deliver", "Engine", "Job", "Reporter", "Result", "Run", "Service", "Store"]
