"""From a prompt to a conversation: where a string is cut, what a list of messages means, what is warned of."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollouts.exceptions import ConfigError
from rollouts.plugins import plugin_manager
from rollouts.prompts import opens_thought, parse_prompt

TAGS = plugin_manager().make("think_template", "think-tags")
NONE = plugin_manager().make("think_template", "none")


def parse(prompt, template=TAGS, system=None):
    return parse_prompt(prompt, template, system)


def test_a_plain_string_is_one_user_message_to_the_byte():
    conversation, warnings = parse("  What is 5*10? \n")
    assert conversation.messages == ({"role": "user", "content": "  What is 5*10? \n"},)
    assert (conversation.prefill, conversation.thought, warnings) == (None, None, [])


def test_a_string_is_split_at_the_tag():
    conversation, warnings = parse("What is 5*10?\n<think>\n5*1")
    assert conversation.messages == ({"role": "user", "content": "What is 5*10?"},)
    assert (conversation.prefill, conversation.thought) == ("<think>\n5*1", "5*1")
    assert warnings == []


@pytest.mark.parametrize("tag", ["<think>", " <think>", "\n<think>", "\n\n<think>\n", "\r\n<think>\r\n"])
def test_white_space_before_the_tag_and_one_line_break_after_it_belong_to_the_tag(tag):
    conversation, _ = parse(f"What is 5*10?{tag}5*1")
    assert conversation.messages[0]["content"] == "What is 5*10?"
    assert conversation.thought == "5*1"


@pytest.mark.parametrize("prompt", ["What is 5*10?<think>", "What is 5*10?\n<think>\n"])
def test_a_bare_tag_at_the_end_is_legal(prompt):
    conversation, warnings = parse(prompt)
    assert (conversation.prefill, conversation.thought, warnings) == ("<think>\n", "", [])


def test_a_second_line_break_after_the_tag_is_thought():
    assert parse("Q\n<think>\n\nso")[0].thought == "\nso"


@pytest.mark.parametrize("end", [" ", "\n", "\t", "  "])
def test_white_space_at_the_end_of_a_thought_is_warned_of(end):
    conversation, warnings = parse("Q\n<think>\n5*1 =" + end)
    assert len(warnings) == 1
    assert "white space" in warnings[0]
    assert conversation.thought == "5*1 =" + end


def test_a_second_tag_is_warned_of_and_stays_in_the_thought():
    conversation, warnings = parse("Q\n<think>\na <think> b")
    assert conversation.thought == "a <think> b"
    assert len(warnings) == 1
    assert "twice" in warnings[0]


def test_a_closed_thought_is_continued_in_the_answer():
    conversation, warnings = parse("Q\n<think>\n5*10 is 50\n</think>\n\nThe answer is")
    assert conversation.prefill == "<think>\n5*10 is 50\n</think>\n\nThe answer is"
    assert conversation.thought == "5*10 is 50\n"
    assert warnings == []
    assert TAGS.split(" 50.", conversation.prefill).content == " 50."


def test_a_template_without_marks_gets_the_thought_as_plain_text():
    conversation, _ = parse("Q\n<think>\n5*1", NONE)
    assert (conversation.prefill, conversation.thought) == ("5*1", "5*1")


@pytest.mark.parametrize("prompt", ["", " \n", [], (), None, 5, b"text", {"role": "user", "content": "x"}, math.nan])
def test_what_is_no_prompt_is_refused(prompt):
    with pytest.raises(ConfigError, match=r"prompt|messages"):
        parse(prompt)


def test_a_thought_without_a_question_is_refused():
    with pytest.raises(ConfigError, match="no text before"):
        parse("<think>\nso")


@given(st.text(alphabet=st.characters(), min_size=1), st.text())
def test_no_byte_of_question_or_thought_is_lost(question, thought):
    assume(question.strip() and "<think>" not in question and "</think>" not in thought)
    conversation, _ = parse(f"{question}\n<think>\n{thought}")
    assert conversation.messages[0]["content"] == question.rstrip()
    assert conversation.thought == thought
    assert conversation.prefill == TAGS.open(thought)
    json.dumps(conversation.messages)


def test_lone_surrogates_pass():
    assert parse("a\ud800b")[0].messages[0]["content"] == "a\ud800b"


# ── Lists of messages ───────────────────────────────────────────────────────────────────────────────────


def test_messages_are_sent_as_they_are_and_copied():
    messages = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": [{"type": "text", "text": "a <think> in text"}], "name": "me"},
        {"role": "assistant", "content": "<think>old</think>yes"},
        {"role": "user", "content": "a literal\n<think>\nis text"},
    ]
    conversation, warnings = parse(messages)
    assert list(conversation.messages) == messages
    assert (conversation.prefill, conversation.thought, warnings) == (None, None, [])
    messages[1]["content"].append("later")
    assert conversation.messages[1]["content"] == [{"type": "text", "text": "a <think> in text"}]


def test_a_trailing_assistant_message_is_a_prefill():
    conversation, _ = parse([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "It is", "name": "x"}])
    assert conversation.messages == ({"role": "user", "content": "Q"},)
    assert (conversation.prefill, conversation.thought, conversation.partial) == ("It is", None, {"name": "x"})


@pytest.mark.parametrize(
    ("content", "thought"),
    [
        ("<think>\n5*1", "5*1"),
        ("<think>5*1", "5*1"),
        ("<think>\n", ""),
        ("<think>\na</think>b", "a"),
        ("a<think>", None),
    ],
)
def test_a_thought_in_a_trailing_assistant_message_is_known_as_one(content, thought):
    conversation, _ = parse([{"role": "user", "content": "Q"}, {"role": "assistant", "content": content}])
    assert (conversation.prefill, conversation.thought) == (content, thought)


def test_a_trailing_space_in_an_assistant_message_is_warned_of():
    assert len(parse([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "It is "}])[1]) == 1


@pytest.mark.parametrize(
    "messages",
    [
        ["text"],
        [None],
        [{"content": "x"}],
        [{"role": "user"}],
        [{"role": "", "content": "x"}],
        [{"role": 5, "content": "x"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": {"a": 1}}],
        [{"role": "user", "content": "x", "weight": math.nan}],
        [{"role": "user", "content": "x", "when": object()}],
        [{"role": "user", "content": "x", 5: "y"}],
        [{"role": "user", "content": "Q"}, {"role": "assistant", "content": ""}],
        [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None}],
        [{"role": "user", "content": "Q"}, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
        [
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b"},
        ],
    ],
)
def test_messages_that_cannot_be_sent_are_refused(messages):
    with pytest.raises(ConfigError, match=r"[mM]essage"):
        parse(messages)


def test_an_assistant_message_with_tool_calls_is_no_prefill():
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]
    assert parse(messages)[0].prefill is None


def test_the_system_prompt_comes_first():
    assert parse("Q", system="be short")[0].messages[0] == {"role": "system", "content": "be short"}
    assert len(parse([{"role": "user", "content": "Q"}], system="be short")[0].messages) == 2


@pytest.mark.parametrize("role", ["system", "developer"])
def test_two_system_prompts_are_refused(role):
    with pytest.raises(ConfigError, match="system="):
        parse([{"role": role, "content": "x"}, {"role": "user", "content": "Q"}], system="y")


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("Q", False),
        ("Q<think>", True),
        ([{"role": "user", "content": "<think>"}], False),
        ([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>a"}], True),
        ([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "a"}], False),
        ([], False),
        (None, False),
        ([5], False),
    ],
)
def test_whether_a_prompt_opens_a_thought(prompt, opens):
    assert opens_thought(prompt) is opens
