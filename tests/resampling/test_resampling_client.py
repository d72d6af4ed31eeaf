"""Resampling through the real client and a real socket: what is sent, kept, and sent again."""

from __future__ import annotations

import warnings

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import RolloutsWarning
from rollouts.resampling import Trace, force_answer, resample
from rollouts.testing.replies import Reply, chat_reply
from rollouts.testing.server import LoopbackServer

TRACE = Trace.from_text("What?", "Start here. Use the trick. So three.")


def answer(request):
    """Finds the answer where the prompt holds the trick, else in two samples of three."""
    if "chat/completions" not in request.path:
        return None
    body = request.json()
    last = body["messages"][-1]
    prefill = last["content"] if last["role"] == "assistant" else ""
    if prefill.endswith("\\boxed{"):
        return Reply(json=chat_reply("3}.", None))
    right = body["seed"] % 3 or "trick" in prefill
    return Reply(json=chat_reply(f"So \\boxed{{{3 if right else 4}}}", " Else now. End."))


def chats(server):
    return [request.json() for request in server.requests if "chat/completions" in request.path]


@pytest.fixture
def server():
    with LoopbackServer(answer) as running:
        yield running


@pytest.fixture
def make(server, tmp_path):
    """Clients of one server and one cache."""
    clients = []

    def client():
        clients.append(
            RolloutsClient(
                "qwen/qwen3-30b-a3b",
                adapter="openrouter",
                base_url=server.url,
                api_key="x",
                cache_dir=tmp_path,
                progress_bar=False,
            )
        )
        return clients[-1]

    with warnings.catch_warnings():
        # Without a pinned provider the client warns that routing may mix; here there is one server.
        warnings.simplefilter("ignore", RolloutsWarning)
        yield client
    for one in clients:
        one.close()


def test_each_position_goes_on_from_its_exact_prefix(server, make):
    result = resample(make().generate_many, TRACE, 3, truth="3")
    sent = {body["messages"][-1]["content"] for body in chats(server)}
    assert sent == {"<think>\n" + TRACE.prefix(i) for i in range(3)}
    assert len(chats(server)) == 9
    assert result.arms[1][0].thought == "Start here. Else now. End."
    assert result.first_sentences(1) == ["Else now."] * 3
    assert result.accuracy(0) == pytest.approx(2 / 3)
    assert result.accuracy(2) == 1


def test_topping_up_sends_only_the_new_numbers_also_after_a_restart(server, make):
    resample(make().generate_many, TRACE, 4)
    before = len(chats(server))
    result = resample(make().generate_many, TRACE, 10)
    assert len(chats(server)) - before == 3 * 6
    assert sorted({body["seed"] for body in chats(server)[before:]}) == [4, 5, 6, 7, 8, 9]
    assert result.arms[0].n_cached == 4
    resample(make().generate_many, TRACE, 10)
    assert len(chats(server)) == 3 * 10


def test_a_forced_answer_closes_the_thought_and_sends_few_tokens_and_a_stop(server, make):
    forced = force_answer(make().generate_many, TRACE, 1, 2)
    body = chats(server)[0]
    assert body["messages"][-1]["content"] == (
        "<think>\nStart here.\n</think>\n\nTherefore, the final answer is \\boxed{"
    )
    assert body["max_tokens"] == 32
    assert "}\n" in body["stop"]
    assert [r.content for r in forced] == ["3}.", "3}."]
    assert resample(make().generate_many, TRACE, 1, forced=True, truth="3").accuracy(1, forced=True) == 1


def test_a_question_of_messages_is_sent_as_it_is(server, make):
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What <think> is it?"}]
    resample(make().generate_many, Trace.from_text(messages, "One is. Two is."), 1, 1)
    assert chats(server)[0]["messages"] == [*messages, {"role": "assistant", "content": "<think>\nOne is."}]


def test_all_positions_share_one_stream_without_a_barrier(server, make):
    server.hold()
    import threading

    worker = threading.Thread(target=lambda: resample(make().generate_many, TRACE, 5))
    worker.start()
    try:
        server.wait_for(15)
    finally:
        server.release()
        worker.join()
    assert len({body["messages"][-1]["content"] for body in chats(server)}) == 3
