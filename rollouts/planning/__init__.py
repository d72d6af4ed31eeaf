"""What would be asked, at what cost, and exactly how: plans and explanations. Sends nothing."""

from rollouts.planning.explanation import Explanation, explain
from rollouts.planning.plan import Plan, PromptPlan, make_plan

__all__ = ["Explanation", "Plan", "PromptPlan", "explain", "make_plan"]
