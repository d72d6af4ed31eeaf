"""Finds out whether a model at a provider goes on from a prefill, with a continuation that nobody can guess.

The prompt holds no digits; the prefill holds a row of random digits twice and the first half of it once more. Only a
model that sees the prefill and goes on from it writes the other half. Sends nothing itself: it is given a function
that asks, and knows no client.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from rollouts.continuation.judging import Verdict
from rollouts.continuation.memory import Remembered
from rollouts.exceptions import PrefillUnsupported, RolloutsError
from rollouts.results import Response

TASK = (
    "Write one row of random digits, separated by spaces, and then exactly the same row again and again, each time on "
    "a line of its own. Use no other words."
)
LENGTH = 12
"""Digits in a row; half of them are left out."""
ENOUGH = 4
"""So many of the digits left out must follow, 10**4 possibilities a trial; weak models err on later ones."""
MAX_TOKENS = 64
TRIALS = 3

Asked: TypeAlias = Callable[[str, str, str, int], Response]
"""Asks once: `(task, thought, way, number) -> Response`. The thought is to be injected, left open, by that way.

The caller adds `max_tokens=MAX_TOKENS`, switches its cache off and raises what the client raises."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One question of a probe, and what came."""

    given: str
    """The injected thought."""
    expected: str
    """What a continuation must begin with: the digits that were left out."""
    verdict: Verdict
    reason: str
    found_in: str | None = None
    """`reasoning` or `content`: where the continuation was; None where there was none."""
    echoed: bool = False
    """The answer repeated the prefill."""
    closed: bool | None = None
    """The thought was closed in the answer; None where it cannot be told."""
    provider: str | None = None
    """Who answered."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The verdict on one way of continuing, and the trials it rests on."""

    way: str
    verdict: Verdict
    reason: str
    trials: tuple[Trial, ...]
    provider: str | None = None
    """The routing slug that was asked alone; None where none was named."""

    @property
    def found_in(self) -> str | None:
        """Where continuations arrived; None where none did, `both` where it varied."""
        places = {trial.found_in for trial in self.trials if trial.found_in is not None}
        return places.pop() if len(places) == 1 else ("both" if places else None)

    @property
    def echoed(self) -> bool:
        """True where any answer repeated the prefill."""
        return any(trial.echoed for trial in self.trials)

    def remembered(self, *, adapter: str, model: str, service: str = "", day: str | None = None) -> Remembered:
        """The verdict as it is kept; `day` is today unless given."""
        return Remembered(
            adapter=adapter,
            model=model,
            provider=self.provider,
            way=self.way,
            verdict=self.verdict,
            date=day or date.today().isoformat(),
            reason=self.reason,
            service=service,
        )


def verify_prefill(
    ask: Asked,
    *,
    ways: Sequence[str] = ("assistant",),
    trials: int = TRIALS,
    provider: str | None = None,
    rng: random.Random | None = None,
) -> list[ProbeResult]:
    """Probe each way of continuing.

    Args:
        ask: Asks the model once.
        ways: The ways that the server offers.
        trials: Questions for each way; for a `yes` most must be continued, and none begun anew.
        provider: The routing slug that `ask` pins, for the record.
        rng: Source of the digits; unguessable unless given.

    Returns:
        One result for each way, in the order given.

    Raises:
        RolloutsError: What a client raises where no answer can be had at all (no key, no credit, no server).
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}: at least 1")
    source = rng or random.SystemRandom()
    return [_probe(ask, way, trials, provider, source) for way in ways]


def _probe(ask: Asked, way: str, trials: int, provider: str | None, rng: random.Random) -> ProbeResult:
    done: list[Trial] = []
    for number in range(trials):
        trial = _try(ask, way, number, rng)
        done.append(trial)
        if trial.error is not None:
            # A refusal is the same every time.
            break
    verdicts = [trial.verdict for trial in done]
    right = verdicts.count("yes")
    # One row of right digits is proof. A weak model errs now and then, which proves nothing to the contrary.
    verdict: Verdict = "unknown" if 2 * right <= len(verdicts) else "yes"
    if "no" in verdicts:
        verdict = "no"
    reason = next((trial.reason for trial in done if trial.verdict == verdict), "")
    return ProbeResult(way, verdict, f"{right} of {len(done)} continued: {reason}", tuple(done), provider)


def _try(ask: Asked, way: str, number: int, rng: random.Random) -> Trial:
    given, expected = riddle(rng)
    try:
        response = ask(TASK, given, way, number)
    except PrefillUnsupported as error:
        return Trial(given, expected, "no", "refused", error=str(error))
    except RolloutsError:
        raise
    return examine(response, given, expected)


def riddle(rng: random.Random) -> tuple[str, str]:
    """A row of digits twice with the first half of a third, and the digits of the other half."""
    row = [str(rng.randrange(10)) for _ in range(LENGTH)]
    half = LENGTH // 2
    whole = " ".join(row)
    return f"{whole}\n{whole}\n{' '.join(row[:half])}", "".join(row[half:])


def examine(response: Response, given: str, expected: str) -> Trial:
    """Look for the continuation in both fields of an answer."""
    closed = response.completed_reasoning
    echoed = _digits(given) in _digits((response.raw_body or b"").decode("utf-8", "replace"))
    for place, written in (("reasoning", response.reasoning), ("content", response.content)):
        if not written:
            continue
        digits = _digits(written).removeprefix(_digits(given))
        if digits.startswith(expected[:ENOUGH]):
            return Trial(
                given, expected, "yes", "the missing digits followed", place, echoed, closed, response.provider
            )
    shown = (response.reasoning or response.content).strip()
    if not shown:
        return Trial(given, expected, "unknown", "nothing was written", None, False, closed, response.provider)
    if _digits(shown).startswith(expected[:2]):
        reason = "it went on, and then wrote other digits: too weak a model to tell"
        return Trial(given, expected, "unknown", reason, None, False, closed, response.provider)
    reason = f"something else followed: {shown[:40]!r}"
    return Trial(given, expected, "no", reason, None, False, closed, response.provider)


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit() and character.isascii())
