"""What would be asked, at what cost, and exactly how: plans and explanations. Sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollouts.lazily import names_from

if TYPE_CHECKING:
    from rollouts.planning.explanation import Explanation, explain
    from rollouts.planning.plan import Plan, PromptPlan, make_plan

__getattr__ = names_from(
    __name__,
    {
        "explanation": ["Explanation", "explain"],
        "plan": ["Plan", "PromptPlan", "make_plan"],
    },
)

__all__ = ["Explanation", "Plan", "PromptPlan", "explain", "make_plan"]
