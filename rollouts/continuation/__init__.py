"""Did the model go on from the prefill: the verdict, what is known of services, how to find out, whom to route to.

Sends nothing: the probe is given a function that asks. Knows no adapter and no client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollouts.lazily import names_from

if TYPE_CHECKING:
    from rollouts.continuation.judging import Verdict, judge
    from rollouts.continuation.known import KNOWN, Known, known_verdict
    from rollouts.continuation.memory import Memory, Remembered
    from rollouts.continuation.probe import Asked, ProbeResult, Trial, verify_prefill
    from rollouts.continuation.routing import choose_pin, doubt
    from rollouts.continuation.tally import Tally

__getattr__ = names_from(
    __name__,
    {
        "judging": ["Verdict", "judge"],
        "known": ["KNOWN", "Known", "known_verdict"],
        "memory": ["Memory", "Remembered"],
        "probe": ["Asked", "ProbeResult", "Trial", "verify_prefill"],
        "routing": ["choose_pin", "doubt"],
        "tally": ["Tally"],
    },
)

__all__ = [
    "KNOWN",
    "Asked",
    "Known",
    "Memory",
    "ProbeResult",
    "Remembered",
    "Tally",
    "Trial",
    "Verdict",
    "choose_pin",
    "doubt",
    "judge",
    "known_verdict",
    "verify_prefill",
]
