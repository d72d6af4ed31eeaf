"""Judges one answer: did it go on from the prefill? By evidence in the text alone; pure.

A verdict is `yes` or `no` only where the text shows it. An answer that fits after the prefill as well as it would
fit at the beginning of a turn is `unknown`: the probe (`rollouts probe`) is the way to know.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from rollouts.results import Response
from rollouts.typing import Conversation

Verdict: TypeAlias = Literal["yes", "no", "unknown"]

_FRESH_TURN = re.compile(
    r"(?:okay|ok|alright|all right|hmm+)[,.!]? (?:so,? )?"
    r"(?:the user\b|i(?:'m| am) (?:asked|trying)|i (?:need|have) to\b|we (?:need|have) to\b|let(?:'s| me)\b)"
    r"|(?:sure|certainly|of course|great question)[,.!]"
    r"|as an ai\b",
    re.IGNORECASE,
)
"""How a turn begins and a thought hardly ever goes on, even after a finished sentence."""

_FRESH_SENTENCE = re.compile(
    r"(?:the|this) (?:user|question|problem|task|prompt)\b"
    r"|(?:we|i)(?:'re| are|'m| am| need| have| will|'ll)\b"
    r"|let(?:'s| me| us)\b"
    r"|(?:here is|here are|here's|to (?:solve|answer|find|determine|calculate|compute))\b",
    re.IGNORECASE,
)
"""How a sentence begins; wrong only where the prefill stands in the middle of another."""

_OPENERS = re.compile(
    r"(?:okay|ok|alright|all right|hmm+|sure|certainly|of course|great|let(?:'s| me| us)|first(?:ly)?|so|well|the|this"
    r"|that|we|i|to|it|if|in|given|what|step|answer|yes|no|here|now|hello|hi|thanks?)(?=$|[\s,.!:'’*])",
    re.IGNORECASE,
)
"""Words with a capital that open a turn; in the middle of a sentence none follows without a space before it."""

_SENTENCE_ENDS = (".", "!", "?", "…", ":", "\n", '."', ".)", "。", "！", "？")
_TAGS = ("<think>", "[THINK]", "<|channel|>analysis")
_OVERLAP = 16
"""Characters that must be repeated before a text counts as having begun again."""


def judge(response: Response, conversation: Conversation) -> tuple[Verdict | None, str | None]:
    """The verdict on one answer, and its evidence in a few words.

    Args:
        response: The answer as the adapter read it; what the adapter itself saw (`continued`) is taken as evidence.
        conversation: What was asked.

    Returns:
        Two Nones where there was no prefill to go on from.
    """
    prefill = conversation.prefill
    if prefill is None:
        return None, None
    # Compared without the mark before it, which the model never writes again.
    given = conversation.thought if conversation.thought and prefill.endswith(conversation.thought) else prefill
    written = response.reasoning if response.reasoning is not None else response.content
    against = _evidence_against(given, written, response)
    if against is not None:
        return "no", against
    if response.continued == "yes":
        return "yes", response.continued_reason or "the adapter saw it go on"
    if _repeats(given, written):
        return "unknown", "it wrote the whole prefill again: an echo, or a thought begun anew"
    # A bare number could be a whole answer where the adapter cannot tell thought from answer.
    if _fits_after(given, written) and not (response.continued == "unknown" and written.strip()[0].isdigit()):
        return "yes", "it went on in the middle of the prefill's sentence"
    if response.continued == "unknown":
        return "unknown", response.continued_reason or "the adapter could not tell"
    if not written.strip():
        return "unknown", "nothing was written after the prefill"
    return "unknown", "the text could follow the prefill or begin a turn of its own"


def _evidence_against(given: str, written: str, response: Response) -> str | None:
    text = written.lstrip()
    for tag in _TAGS:
        if text.startswith(tag) or response.content.lstrip().startswith(tag):
            return f"it opened a thought of its own ({tag})"
    echo = response.continued == "yes"
    if not echo and _begins_alike(given, text):
        return "it wrote the beginning of the prefill again: the thought was begun anew"
    if response.reasoning is not None and not text and response.content.strip() and _is_open(given):
        return "it closed the thought in the middle of a sentence"
    beginning = _FRESH_TURN.match(text) or (_FRESH_SENTENCE.match(text) if _is_open(given) else None)
    if beginning is not None and not _fits_after(given, written):
        return f"it began a turn of its own ({_short(beginning[0])!r})"
    if _is_open(given) and written[:1].isupper():
        opener = _OPENERS.match(text)
        if opener is not None and not given[-1:].isspace():
            return f"it began a sentence ({_short(opener[0])!r}) in the middle of the prefill's"
    return None


def _fits_after(given: str, written: str) -> bool:
    """True where `written` goes on inside a sentence, word or number that `given` leaves open."""
    if not _is_open(given) or not written.strip():
        return False
    first = written.lstrip()[0]
    if written[0].isspace():
        # White space, then a capital or a digit, begins a sentence as well as it goes on with one.
        return first.islower() or first in ",;)=+-*/<>≤≥×·"
    return first.islower() or first.isdigit() or first in ".,;:!?)]}'’\"=+-*/^_%<>≤≥×·°"


def _is_open(given: str) -> bool:
    """True where a text stops inside a sentence."""
    return bool(given.strip()) and not given.rstrip(" \t").endswith(_SENTENCE_ENDS)


def _begins_alike(given: str, text: str) -> bool:
    begun = given.lstrip()[:_OVERLAP]
    return len(begun) == _OVERLAP and text.startswith(begun)


def _repeats(given: str, written: str) -> bool:
    whole = given.strip()
    return len(whole) > 1 and written.lstrip().startswith(whole)


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
