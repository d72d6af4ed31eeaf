"""Did the model go on from the prefill: the verdict, what is known of services, how to find out, whom to route to.

Sends nothing: the probe is given a function that asks. Knows no adapter and no client.
"""

from rollouts.continuation.judging import Verdict, judge
from rollouts.continuation.known import KNOWN, Known, known_verdict
from rollouts.continuation.memory import Memory, Remembered
from rollouts.continuation.probe import Asked, ProbeResult, Trial, verify_prefill
from rollouts.continuation.routing import choose_pin, doubt
from rollouts.continuation.tally import Tally

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
