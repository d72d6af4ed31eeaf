"""The probe tells servers that go on from those that restart, echo, close, refuse or guess."""

from __future__ import annotations

import json
import random

import pytest

from rollouts.continuation import ProbeResult, verify_prefill
from rollouts.continuation.probe import riddle
from rollouts.exceptions import AuthenticationError, PrefillUnsupported
from rollouts.results import Response


def rest(thought: str) -> str:
    row, _, begun = thought.split("\n")
    return " " + " ".join(row.split()[len(begun.split()) :])


def probe(server, **options) -> ProbeResult:
    def ask(task, thought, way, number):
        assert not any(character.isdigit() for character in task)
        response = server(thought)
        message = {"content": response.content, "reasoning": response.reasoning}
        raw = json.dumps({"choices": [{"message": message}]}).encode()
        return response if response.raw_source else Response(
            response.content, response.reasoning, completed_reasoning=response.completed_reasoning, raw_source=raw
        )  # fmt: skip

    (result,) = verify_prefill(ask, rng=random.Random(1), **options)
    return result


def test_a_server_that_goes_on_is_a_yes_wherever_the_text_arrives():
    in_reasoning = probe(lambda thought: Response("", rest(thought), completed_reasoning=False))
    assert (in_reasoning.verdict, in_reasoning.found_in, in_reasoning.echoed) == ("yes", "reasoning", False)
    in_content = probe(lambda thought: Response(rest(thought)))
    assert (in_content.verdict, in_content.found_in) == ("yes", "content")
    assert len(in_content.trials) == 3


def test_an_echo_is_seen():
    result = probe(lambda thought: Response(thought + rest(thought)))
    assert (result.verdict, result.echoed) == ("yes", True)


SILENT_FAILURES = {
    "restarts": lambda thought: Response("Done.", "Okay, the user wants digits: 3 1 4 1 5 9 2 6 5 3"),
    "closes": lambda thought: Response("Here are digits: 2 7 1 8 2 8", ""),
    "repeats the row from the front": lambda thought: Response("", thought.split("\n")[0]),
    "answers without digits": lambda thought: Response("I cannot do that."),
}


@pytest.mark.parametrize("kind", SILENT_FAILURES)
def test_a_server_that_does_anything_else_is_a_no(kind):
    assert probe(SILENT_FAILURES[kind]).verdict == "no"


def test_one_failure_among_several_trials_is_a_no():
    turns = iter([True, False, True])
    assert probe(lambda thought: Response("", rest(thought) if next(turns) else "Okay, 1 2 3")).verdict == "no"


def test_an_empty_answer_or_a_weak_model_is_unknown():
    assert probe(lambda thought: Response("")).verdict == "unknown"
    assert probe(lambda thought: Response("", rest(thought)[:4] + " x")).verdict == "unknown"


def test_a_refusal_is_a_no_after_one_question():
    def refuse(thought):
        raise PrefillUnsupported("no prefill", status=400)

    result = probe(refuse)
    assert (result.verdict, len(result.trials)) == ("no", 1)
    assert "no prefill" in result.trials[0].error


def test_an_error_that_is_no_verdict_is_raised():
    def fail(thought):
        raise AuthenticationError("bad key", status=401)

    with pytest.raises(AuthenticationError):
        probe(fail)


def test_every_way_that_is_offered_is_asked_and_can_be_remembered():
    asked = []

    def ask(task, thought, way, number):
        asked.append((way, number))
        return Response("", rest(thought) if way == "reasoning" else "Okay, 1")

    results = verify_prefill(ask, ways=("assistant", "reasoning"), trials=2, provider="novita")
    assert [(result.way, result.verdict) for result in results] == [("assistant", "no"), ("reasoning", "yes")]
    assert asked == [("assistant", 0), ("assistant", 1), ("reasoning", 0), ("reasoning", 1)]
    kept = results[1].remembered(adapter="openrouter", model="m", day="2026-11-22")
    assert (kept.provider, kept.way, kept.verdict, kept.date) == ("novita", "reasoning", "yes", "2026-11-22")


def test_the_riddle_cannot_be_guessed_and_holds_its_own_solution():
    riddles = {riddle(random.SystemRandom()) for _ in range(50)}
    assert len(riddles) == 50
    for given, expected in riddles:
        row, again, begun = given.split("\n")
        assert row == again
        assert (begun.replace(" ", "") + expected) == row.replace(" ", "")
        assert len(expected) == 6
