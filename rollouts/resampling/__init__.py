"""Resampling of chains of thought: sentences, traces, plans, arms, forced answers, answers. Standard library only.

Everything that must ask a model takes an asker, which `client.generate_many` is; nothing here knows the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollouts.lazily import names_from

if TYPE_CHECKING:
    from rollouts.resampling.answers import Answer, answers_of, category
    from rollouts.resampling.asking import Asker
    from rollouts.resampling.conditional import (
        Conditional,
        Resilience,
        Steering,
        draw_until,
        resilience,
        steer,
    )
    from rollouts.resampling.dialects import Dialect
    from rollouts.resampling.equality import grade, normalize, normalize_latex
    from rollouts.resampling.extracting import boxed, extract, extractor
    from rollouts.resampling.judging import Judging
    from rollouts.resampling.plans import ResamplePlan, plan_resample
    from rollouts.resampling.resampling import Resampling
    from rollouts.resampling.sampling import force_answer, force_answers, resample
    from rollouts.resampling.splitters import STYLES, first_sentence, piece, split_sentences
    from rollouts.resampling.stopping import any_of, converged, width_below, wilson
    from rollouts.resampling.trace import Trace, transplant
    from rollouts.resampling.voting import Vote, estimate_pass_at_k, majority_vote, pass_at_k, self_consistency

__getattr__ = names_from(
    __name__,
    {
        "answers": ["Answer", "answers_of", "category"],
        "asking": ["Asker"],
        "conditional": ["Conditional", "Resilience", "Steering", "draw_until", "resilience", "steer"],
        "dialects": ["Dialect"],
        "equality": ["grade", "normalize", "normalize_latex"],
        "extracting": ["boxed", "extract", "extractor"],
        "judging": ["Judging"],
        "plans": ["ResamplePlan", "plan_resample"],
        "resampling": ["Resampling"],
        "sampling": ["force_answer", "force_answers", "resample"],
        "splitters": ["STYLES", "first_sentence", "piece", "split_sentences"],
        "stopping": ["any_of", "converged", "width_below", "wilson"],
        "trace": ["Trace", "transplant"],
        "voting": ["Vote", "estimate_pass_at_k", "majority_vote", "pass_at_k", "self_consistency"],
    },
)

__all__ = [
    "STYLES",
    "Answer",
    "Asker",
    "Conditional",
    "Dialect",
    "Judging",
    "ResamplePlan",
    "Resampling",
    "Resilience",
    "Steering",
    "Trace",
    "Vote",
    "answers_of",
    "any_of",
    "boxed",
    "category",
    "converged",
    "draw_until",
    "estimate_pass_at_k",
    "extract",
    "extractor",
    "first_sentence",
    "force_answer",
    "force_answers",
    "grade",
    "majority_vote",
    "normalize",
    "normalize_latex",
    "pass_at_k",
    "piece",
    "plan_resample",
    "resample",
    "resilience",
    "self_consistency",
    "split_sentences",
    "steer",
    "transplant",
    "width_below",
    "wilson",
]
