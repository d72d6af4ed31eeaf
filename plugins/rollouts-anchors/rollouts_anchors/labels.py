"""What each sentence of a trace does (plans, computes, doubts, …), as a model of the user's choice says. Asks once.

The kinds are those of Thought Anchors (arXiv 2506.19143); the words of the request are ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollouts.exceptions import ConfigError, MalformedResponse
from rollouts.resampling import Asker, Trace

KINDS: Mapping[str, str] = {
    "problem_setup": "restates or takes in the problem",
    "plan_generation": "states or decides on a plan, or what to do next",
    "fact_retrieval": "recalls facts, formulas or parts of the problem without computing",
    "active_computation": "does algebra, arithmetic or another step towards the answer",
    "uncertainty_management": "says it is confused, goes back, or thinks of something else",
    "result_consolidation": "gathers or sums up what was found",
    "self_checking": "checks earlier steps",
    "final_answer_emission": "states the final answer",
}
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Label:
    """What one sentence does."""

    kind: str
    """A key of `KINDS`, or `unknown`."""
    tags: tuple[str, ...] = ()
    """All kinds that the model named, the first one first."""
    depends_on: tuple[int, ...] = ()
    """Earlier sentences that this one builds on."""


def question_text(trace: Trace) -> str:
    """The question as text: of messages the last one's."""
    return trace.question if isinstance(trace.question, str) else str(trace.question[-1].get("content", ""))


def label_prompt(trace: Trace) -> str:
    """The request that `label` sends."""
    kinds = "\n".join(f"- {name}: {what}" for name, what in KINDS.items())
    sentences = "\n".join(f"[{i}] {' '.join(sentence.split())}" for i, sentence in enumerate(trace.pieces))
    example = '{"0": {"function_tags": ["problem_setup"], "depends_on": []}, "1": …}'
    return (
        "Below are a problem and the numbered sentences of a chain of thought about it. For each sentence say "
        "what it does, and on which earlier sentences it directly depends.\n\n"
        f"What a sentence can do:\n{kinds}\n\n"
        f"Problem:\n{question_text(trace)}\n\nSentences:\n{sentences}\n\n"
        "Answer with one JSON object and nothing else, with an entry for every number "
        f"from 0 to {len(trace) - 1}:\n{example}"
    )


def label(ask: Asker, trace: Trace, **settings: Any) -> tuple[Label, ...]:
    """Label every sentence by one question to a model.

    Args:
        ask: Sends and keeps: `client.generate_many` of the model that labels.
        trace: Whose sentences.
        **settings: Settings of the call; `temperature=0` unless given.

    Raises:
        MalformedResponse: The answer holds no JSON object with numbered entries.
    """
    # Messages and not a text, which a client splits where the thought or the question says <think>.
    prompt = [{"role": "user", "content": label_prompt(trace)}]
    (rollouts,) = ask([prompt], 1, seed=0, **{"temperature": 0, **settings})
    if not len(rollouts):
        raise MalformedResponse("the labelling model gave no answer; ask again, or with another model.")
    return read_labels(rollouts[0].content, len(trace))


def read_labels(text: str, n: int) -> tuple[Label, ...]:
    """The labels in a model's answer; what it left out or misspelt is `unknown`.

    Raises:
        MalformedResponse: There is no JSON object with numbered entries.
    """
    entries = _entries(text)
    if entries is None:
        raise MalformedResponse(
            f"the labelling model's answer holds no JSON object with numbered entries: {text[:120]!r}. Ask again, with "
            "more max_tokens where it was cut, or another model."
        )
    return tuple(_label(entries.get(str(i)), i) for i in range(n))


def _entries(text: str) -> dict[str, Any] | None:
    """The first JSON object in `text` that has numbered entries, whatever stands before and after it.

    One without is a note, or an entry of an object that was cut.
    """
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if any(key.isdecimal() for key in value):
                return dict(value)
        at = text.find("{", end)
    return None


def _label(entry: Any, i: int) -> Label:
    if not isinstance(entry, dict):
        return Label(UNKNOWN)
    given = entry.get("function_tags")
    tags = tuple(tag for tag in given if isinstance(tag, str) and tag in KINDS) if isinstance(given, list) else ()
    named = entry.get("depends_on")
    earlier = {number for item in (named if isinstance(named, list) else []) if (number := _number(item)) is not None}
    return Label(tags[0] if tags else UNKNOWN, tags, tuple(sorted(k for k in earlier if 0 <= k < i)))


def _number(item: Any) -> int | None:
    """A sentence's number, written as one or as text."""
    try:
        return int(item) if isinstance(item, (int, str)) and not isinstance(item, bool) else None
    except ValueError:
        return None


def check_labels(labels: Sequence[Label] | None, n: int) -> None:
    """See that there is a label for each sentence.

    Raises:
        ConfigError: They are more or fewer.
    """
    if labels is not None and len(labels) != n:
        raise ConfigError(f"{len(labels)} labels for {n} sentences: give one for each.")


def labels_of_rows(labels: Sequence[Label] | None, positions: Sequence[int]) -> list[Label] | None:
    """The labels of the sentences that a table has rows for, in their order; a table may leave sentences out.

    Raises:
        ConfigError: A row's sentence has no label.
    """
    if labels is None:
        return None
    if positions and max(positions) >= len(labels):
        raise ConfigError(f"{len(labels)} labels, but a row of sentence {max(positions)}: give one for each sentence.")
    return [labels[i] for i in positions]
