"""The verdict on an answer: what the text shows, and unknown where it shows nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts import RolloutsClient
from rollouts.continuation import judge
from rollouts.results import Response
from rollouts.testing import LoopbackServer, ReceivedRequest, Reply, chat_reply
from rollouts.typing import Conversation

USER = ({"role": "user", "content": "What is 5*10?"},)


def verdict(thought: str, written: str, **fields: object) -> str | None:
    conversation = Conversation(USER, f"<think>\n{thought}", thought)
    response = Response(**{"content": "", "reasoning": written, **fields})  # type: ignore[arg-type]
    found, reason = judge(response, conversation)
    assert reason
    return found


GOES_ON = [
    ("5*1", "0 = 50"),
    ("5*10 is", " the same as 50."),
    ("So the sum", "mands are five"),
    ("We get x", " = 5, hence"),
    ("Multiply by ten,", " which gives 50."),
    ("The result is fi", "fty."),
    ("Then", " we need to find the product."),
    ("I think that ", "the user wants 50."),
    ("f(x", ") = 5"),
]


@pytest.mark.parametrize(("thought", "written"), GOES_ON)
def test_text_that_goes_on_inside_the_sentence_is_a_yes(thought, written):
    assert verdict(thought, written) == "yes"


STARTS_AGAIN = [
    ("5*1", "Okay, the user wants to know 5*10."),
    ("5*1", "Okay, let me start over. 5*10 is 50."),
    ("5*1", "The answer is 50."),
    ("5*1", "Let me think about 5*10."),
    ("5*1", " The user is asking for a product."),
    ("So ten times five is", "Alright, so I need to find 5*10."),
    ("I add them up.\n", "Okay, the user asks for a product."),
    ("I add them up.\n", "Okay, so I need to find 5*10."),
    ("I add them up and then", "<think>\nOkay, first"),
    ("Okay, so I need to find the product of", "Okay, so I need to multiply five by ten."),
    ("5*1", "Sure! 5*10 is 50."),
    ("Five times ten can be split into", "Five times ten can be computed at once."),
]


@pytest.mark.parametrize(("thought", "written"), STARTS_AGAIN)
def test_text_that_begins_a_turn_of_its_own_is_a_no(thought, written):
    assert verdict(thought, written) == "no"


CANNOT_TELL = [
    ("I add them up.\n", "Let me check that."),
    ("I add them up.\n", "The problem says five."),
    ("I add them up.", " Then I am done."),
    ("Five times ten is", " Fifty."),
    ("5*1", "5*10 = 50"),
    ("5*1", ""),
]


@pytest.mark.parametrize(("thought", "written"), CANNOT_TELL)
def test_text_that_could_be_either_is_unknown(thought, written):
    assert verdict(thought, written) == "unknown"


def test_a_thought_closed_in_the_middle_of_a_sentence_is_a_no():
    assert verdict("So the sum", "", content="It is 50.", completed_reasoning=True) == "no"
    assert verdict("So it is 50.", "", content="It is 50.", completed_reasoning=True) == "unknown"


def test_what_the_adapter_saw_counts_unless_the_text_shows_the_contrary():
    seen = {"continued": "yes", "continued_reason": "echo"}
    assert verdict("I add them up.\n", "Let me check that.", **seen) == "yes"
    assert verdict("5*1", "Okay, the user wants 50.", **seen) == "no"
    doubtful = {"continued": "unknown", "continued_reason": "?", "reasoning": None}
    assert verdict("5*1", "", content="50", **doubtful) == "unknown"
    assert verdict("So the sum", "", content=" is 50.", **doubtful) == "yes"


def test_without_a_prefill_there_is_no_verdict():
    assert judge(Response("50"), Conversation(USER)) == (None, None)


@given(st.text(), st.text(), st.one_of(st.none(), st.text()))
def test_any_text_gets_a_verdict_with_its_reason(prefill, content, reasoning):
    found, reason = judge(Response(content, reasoning), Conversation(USER, prefill, prefill))
    assert found in ("yes", "no", "unknown")
    assert reason


def behaves(kind: str, request: ReceivedRequest) -> Reply:
    restarts = kind == "restarts" or (kind == "mixes" and request.json()["seed"] % 3 == 0)
    reasoning = "Okay, the user wants 5*10. That is 50." if restarts else "0 = 50. That is it."
    return Reply(json=chat_reply(content="50", reasoning=reasoning))


@pytest.mark.parametrize("kind", ["continues", "restarts", "mixes"])
def test_each_answer_of_a_server_is_judged_for_itself(kind, tmp_path):
    settings = {"adapter": "openai-compatible", "cache_dir": tmp_path, "progress_bar": False, "template": "think-tags"}
    with (
        LoopbackServer(lambda request: behaves(kind, request)) as server,
        RolloutsClient("test/model", base_url=server.url, **settings) as client,
    ):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rollouts = client.generate("What is 5*10?\n<think>\n5*1", n_samples=20)
    expected = {"continues": ["yes"] * 20, "restarts": ["no"] * 20}
    mixed = ["no" if seed % 3 == 0 else "yes" for seed in range(20)]
    assert [response.continued for response in rollouts] == expected.get(kind, mixed)
