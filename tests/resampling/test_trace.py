"""Prefixes are exact, prompts are what a client takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.exceptions import ConfigError
from rollouts.resampling import Dialect, Trace, force_answer, transplant
from rollouts.results import Response

TEXT = "So 2. Wait, no.\n\nIt is 3.  Wait, no. Done."


def test_a_prefix_is_all_before_a_sentence_even_where_sentences_repeat():
    trace = Trace.from_text("Q", TEXT)
    assert trace.pieces == ("So 2.", "Wait, no.", "It is 3.", "Wait, no.", "Done.")
    assert [trace.prefix(i) for i in range(6)] == [
        "",
        "So 2.",
        "So 2. Wait, no.",
        "So 2. Wait, no.\n\nIt is 3.",
        "So 2. Wait, no.\n\nIt is 3.  Wait, no.",
        TEXT,
    ]
    assert trace.prefix(-1) == trace.prefix(4)


@given(st.text(alphabet="aB. \n\t?$", min_size=1).filter(str.strip))
def test_prefix_and_suffix_are_the_thought_and_no_prefix_ends_blank(thought):
    trace = Trace.from_text("Q", thought)
    for i in range(len(trace) + 1):
        assert trace.prefix(i) + trace.suffix(i) == thought
        assert trace.prefix(i) == trace.prefix(i).rstrip()
        if i < len(trace):
            assert trace.suffix(i).lstrip().startswith(trace.sentence(i)[:1])


def opened(question, turn):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": turn}]


def test_a_question_in_text_becomes_a_prompt_with_an_open_thought():
    trace = Trace.from_text("Q?", "<think>\nA b. C d.</think>\nE")
    assert (trace.thought, trace.answer) == ("A b. C d.", "\nE")
    assert trace.prompt(0) == opened("Q?", "<think>\n")
    assert trace.prompt(1) == opened("Q?", "<think>\nA b.")
    lead = "Therefore, the final answer is \\boxed{"
    assert trace.forced_prompt(1) == opened("Q?", f"<think>\nA b.\n</think>\n\n{lead}")


@pytest.mark.parametrize("question", ["What does the tag <think> do?", "What is 1+2? \n", " Q?"])
def test_a_question_in_text_is_taken_and_sent_to_the_character(question):
    assert Trace.from_text(question, "A b. C d.").prompt(1)[0] == {"role": "user", "content": question}
    asked = Response("42", reasoning="A b. C d.", prompt=[{"role": "user", "content": question}])
    assert Trace.from_response(asked).prompt(1)[0] == {"role": "user", "content": question}


@pytest.mark.parametrize("begun", ["", "\n", "\nA b.", "\nA b.\n", "\nA b. C d.</think>\nSo"])
def test_a_prompt_that_opened_this_thought_is_cut_before_the_tag_as_the_client_cut_it(begun):
    for question in ("Q? \n<think>", "Q?<think>"):
        assert Trace.from_text(question + begun, "A b. C d.").question == "Q?"
        assert Trace.from_response(Response("42", "A b. C d.", prompt=question + begun)).question == "Q?"


@pytest.mark.parametrize("question", ["", " \n", None, 7, [], [{"role": "assistant", "content": "A b."}], ["Q"]])
def test_what_is_no_question_is_refused(question):
    with pytest.raises(ConfigError, match="question"):
        Trace.from_text(question, "A b. C d.")


def test_a_question_of_messages_stays_messages():
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q <think>"}]
    trace = Trace.from_text(messages, "A b. C d.")
    assert trace.prompt(1) == [*messages, {"role": "assistant", "content": "<think>\nA b."}]
    other = Trace.from_text("Q", "A b. C d.", dialect=Dialect("[THINK]", "[/THINK]"))
    assert other.prompt(1) == [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "[THINK]A b."},
    ]
    assert other.forced_prompt(1, lead="So (")[-1]["content"] == "[THINK]A b.[/THINK]So ("


def test_a_response_gives_injected_and_generated_thought_together():
    response = Response(
        "42", reasoning=" Then 42.", injected="First 6.", prompt="Q\n<think>\nFirst 6.", completed_reasoning=True
    )
    trace = Trace.from_response(response)
    assert (trace.question, trace.thought, trace.answer) == ("Q", "First 6. Then 42.", "42")
    open_turn = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>\nFirst 6."}]
    assert Trace.from_response(response, open_turn).question == ({"role": "user", "content": "Q"},)


@pytest.mark.parametrize("response", [Response("42", prompt="Q"), Response("42", reasoning=" \n", prompt="Q")])
def test_a_trace_without_thought_is_refused(response):
    with pytest.raises(ConfigError, match="has no thought"):
        Trace.from_response(response)


def test_a_summary_of_a_thought_is_refused():
    with pytest.raises(ConfigError, match="summary"):
        Trace.from_response(Response("42", reasoning="In short.", reasoning_kind="summary", prompt="Q"))


def test_a_response_that_does_not_know_its_prompt_asks_for_the_question():
    with pytest.raises(ConfigError, match="question="):
        Trace.from_response(Response("42", reasoning="A."))


@pytest.mark.parametrize("i", [6, -6, 100])
def test_a_position_out_of_range_is_refused_with_the_range(i):
    trace = Trace.from_text("Q", TEXT)
    with pytest.raises(ConfigError, match="5 sentences"):
        trace.prefix(i)
    with pytest.raises(ConfigError, match="5 sentences"):
        trace.positions([0, i])
    with pytest.raises(ConfigError, match="5 sentences"):
        force_answer(lambda *_a, **_k: [], trace, i)


def test_positions_are_checked_sorted_and_unique():
    trace = Trace.from_text("Q", TEXT)
    assert trace.positions() == (0, 1, 2, 3, 4)
    assert trace.positions([3, -1, 3, 5]) == (3, 4, 5)
    assert trace.positions(2) == (2,)
    for wrong in ("some", []):
        with pytest.raises(ConfigError):
            trace.positions(wrong)


def test_a_transplant_keeps_the_thought_under_another_question():
    moved = transplant(Trace.from_text("Q with a hint", TEXT), "Q")
    assert moved.prompt(1) == opened("Q", "<think>\nSo 2.")
