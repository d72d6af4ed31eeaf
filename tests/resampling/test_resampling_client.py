"""Resampling through the real client and a real socket: what is sent, kept, and sent again."""

from __future__ import annotations

import re
import threading
import warnings

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import BudgetExceeded, ConfigError, RolloutsWarning, SamplingError
from rollouts.hookspecs import hookimpl
from rollouts.resampling import Trace, resample, width_below
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

    def client(model="qwen/qwen3-30b-a3b", **settings):
        fixed = {"adapter": "openrouter", "base_url": server.url, "api_key": "x", "cache_dir": tmp_path}
        clients.append(RolloutsClient(model, **{**fixed, "progress_bar": False, **settings}))
        return clients[-1]

    with warnings.catch_warnings():
        # Without a pinned provider the client warns that routing may mix; here there is one server.
        warnings.simplefilter("ignore", RolloutsWarning)
        yield client
    for one in clients:
        one.close()


def test_each_position_goes_on_from_its_exact_prefix(server, make):
    result = make().resample(TRACE, 3, truth="3")
    sent = {body["messages"][-1]["content"] for body in chats(server)}
    assert sent == {"<think>\n" + TRACE.prefix(i) for i in range(3)}
    assert len(chats(server)) == 9
    assert result.arms[1][0].thought == "Start here. Else now. End."
    assert result.first_sentences(1) == ["Else now."] * 3
    assert result.accuracy(0) == pytest.approx(2 / 3)
    assert result.accuracy(2) == 1


def test_topping_up_sends_only_the_new_numbers_also_after_a_restart(server, make):
    make().resample(TRACE, 4)
    before = len(chats(server))
    result = make().resample(TRACE, 10)
    assert len(chats(server)) - before == 3 * 6
    assert sorted({body["seed"] for body in chats(server)[before:]}) == [4, 5, 6, 7, 8, 9]
    assert result.arms[0].n_cached == 4
    make().resample(TRACE, 10)
    assert len(chats(server)) == 3 * 10


def test_a_forced_answer_closes_the_thought_and_sends_few_tokens_and_a_stop(server, make):
    forced = make().force_answer(TRACE, 1, 2)
    body = chats(server)[0]
    assert body["messages"][-1]["content"] == (
        "<think>\nStart here.\n</think>\n\nTherefore, the final answer is \\boxed{"
    )
    assert body["max_tokens"] == 32
    assert "}\n" in body["stop"]
    assert [r.content for r in forced] == ["3}.", "3}."]
    assert make().resample(TRACE, 1, forced=True, truth="3").accuracy(1, forced=True) == 1


def test_a_question_of_messages_is_sent_as_it_is(server, make):
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What <think> is it?"}]
    make().resample(Trace.from_text(messages, "One is. Two is."), 1, 1)
    assert chats(server)[0]["messages"] == [*messages, {"role": "assistant", "content": "<think>\nOne is."}]


def test_all_positions_and_forced_answers_share_one_stream_without_a_barrier(server, make):
    client = make()
    client.generate("Else?\n<think>\nSo")  # else the first sample with a prefill goes ahead
    server.reset()
    server.hold()
    worker = threading.Thread(target=lambda: client.resample(TRACE, 5, forced=True))
    worker.start()
    try:
        server.wait_for(30)
    finally:
        server.release()
        worker.join()
    assert len({body["messages"][-1]["content"] for body in chats(server)}) == 6
    assert sum(body.get("max_tokens") == 32 for body in chats(server)) == 15


def test_a_plain_generate_many_serves_as_asker_too(server, make):
    result = resample(make().generate_many, TRACE, 2, forced=True, truth="3")
    assert {body.get("max_tokens") for body in chats(server)} == {None, 32}
    assert result.accuracy(1, forced=True) == 1


def test_a_sample_is_cut_and_resampled_and_the_clients_first_number_holds(server, make):
    client = make(seed=70)
    result = client.resample(client.generate("What?")[0], 2, 0)
    assert result.trace.thought == " Else now. End."
    assert sorted(body["seed"] for body in chats(server)[1:]) == [70, 71]
    assert result.arms[0][1].seed == 71


def test_settings_of_the_call_hold_for_continuations_and_leave_forced_answers_short(server, make):
    make().resample(TRACE, 1, forced=True, max_tokens=4000, forced_settings={"temperature": 0.0})
    sent = {(body["max_tokens"], body.get("temperature")) for body in chats(server)}
    assert sent == {(4000, None), (32, 0.0)}


def test_what_holds_for_a_whole_call_cannot_differ_for_forced_answers(server, make):
    with pytest.raises(ConfigError, match="timeout cannot differ"):
        make().resample(TRACE, 1, forced=True, forced_settings={"timeout": 1})
    assert server.requests == []


def test_the_plan_says_what_is_cached_and_sends_nothing(server, make):
    client = make()
    client.resample(TRACE, 4)
    before = len(server.requests)
    plan = client.plan_resample(TRACE, 10, forced=True)
    assert (plan.calls, plan.forced_calls, plan.cached, plan.missing) == (30, 30, 12, 48)
    assert plan.distinct_prefixes == 3
    assert plan.cost is None
    assert "12 of them cached" in str(plan)
    whole = client.plan_resample(TRACE, 10, use_cache=False)
    assert (whole.cached, whole.missing) == (0, 30)
    assert whole.completion_tokens > client.plan_resample(TRACE, 10).completion_tokens > 0
    assert client.plan_resample(TRACE, 4).completion_tokens == 0
    assert len(server.requests) == before


class Seen:
    """A progress reporter that remembers what it was told."""

    def __init__(self):
        self.told = []

    def __call__(self, options):
        self.told.append("made")
        return self

    def start(self, total, cached):
        self.told.append(("start", total, cached))

    def advance(self, event):
        self.told.append("cached" if event.cached else "sample")

    def close(self):
        self.told.append("close")


def test_one_bar_knows_the_total_of_the_whole_stream(make):
    seen = Seen()
    make().resample(TRACE, 5, forced=True, progress_bar=True, progress=seen)
    assert seen.told == ["made", ("start", 30, 0), *["sample"] * 30, "close"]


def test_rounds_share_one_bar(make):
    make().resample(TRACE, 6, 0)
    seen = Seen()
    rule = width_below(0.001)
    make().resample(TRACE, 12, 0, until=rule, round_size=4, truth="3", progress_bar=True, progress=seen)
    assert seen.told == ["made", ("start", None, 4), *["cached"] * 2, *["sample"] * 6, "close"]


def test_the_positions_of_an_adaptive_run_share_one_budget(server, make):
    rule = width_below(0.001)
    with pytest.raises(BudgetExceeded):
        make().resample(TRACE, 100, 0, until=rule, round_size=5, truth="3", max_total_tokens=30 * 12, max_tokens=20)
    assert 5 < len(chats(server)) <= 12


def same(sentence, others):
    return [1.0 if other == sentence else 0.0 for other in others]


def never(response):
    return False


def priced(request):
    """A cent for each answer."""
    if "chat/completions" not in request.path:
        return None
    body = chat_reply("So \\boxed{1}", " Else now. Start here. End.")
    body["usage"]["cost"] = 0.01
    return Reply(json=body)


DRAWS = [
    lambda client, **limits: client.draw_until("What?", never, max_draws=100, round_size=2, **limits),
    lambda client, **limits: client.draw_until("What?", never, max_draws=100, round_size=1, **limits),
    lambda client, **limits: client.resilience(TRACE, 0, same, n_samples=2, max_rounds=50, **limits),
    lambda client, **limits: client.steer(TRACE, 2, "Never.", same, candidates=2, continuations=50, **limits),
]


@pytest.mark.parametrize("draw", DRAWS, ids=["draw_until", "one a round", "resilience", "steer"])
def test_rounds_share_the_dollars_and_the_error_names_those_that_were_given(server, make, draw):
    server.reply = priced
    with pytest.raises(BudgetExceeded, match=r"max_cost=\$0\.055 admits nothing more: \$0\.05 are spent") as caught:
        draw(make(), max_cost=0.055)
    assert len(chats(server)) == 5
    assert all(failure.error is caught.value for rollouts in caught.value.rollouts for failure in rollouts.failures)


@pytest.mark.parametrize("draw", DRAWS, ids=["draw_until", "one a round", "resilience", "steer"])
def test_rounds_share_the_tokens_and_the_error_names_those_that_were_given(server, make, draw):
    server.reply = priced
    told = r"max_total_tokens=600 admits nothing more: (\d+) tokens are spent"
    with pytest.raises(BudgetExceeded, match=told) as caught:
        draw(make(), max_total_tokens=600, max_tokens=20)
    assert int(re.search(told, str(caught.value))[1]) == 30 * len(chats(server))
    assert 10 < len(chats(server)) <= 20


def test_a_spent_budget_lets_pass_what_is_cached(server, make):
    server.reply = priced
    for sent in (5, 10):
        with pytest.raises(BudgetExceeded):
            make().draw_until("What?", never, max_draws=100, round_size=1, max_cost=0.05)
        assert len(chats(server)) == sent
    drawn = make().draw_until("What?", never, max_draws=10, round_size=1, max_cost=0.0)
    assert drawn.draws == 10


def test_failed_samples_are_raised_with_the_rest_stored_or_kept_in_their_arms(server, make):
    def sometimes(request):
        if b"trick" in request.body and request.json()["seed"] == 1:
            return Reply(status=422, json={"error": {"code": 422, "message": "no"}})
        return answer(request)

    server.reply = sometimes
    with pytest.raises(SamplingError):
        make().resample(TRACE, 3)
    result = make().resample(TRACE, 3, on_error="keep", truth="3")
    assert [a.kind for a in result.answers(2)].count("error") >= 1
    assert len(result.arms[0]) == 3
    server.reply = answer
    assert make().resample(TRACE, 3).arms[2].n_requested == 3


class Halves:
    """A plugin with a splitter."""

    @hookimpl
    def rollouts_register_splitters(self):
        from rollouts.typing import Spec

        return [Spec(name="halves", factory=lambda: halves, description="two halves")]


def halves(text):
    from rollouts.typing import Span

    middle = len(text) // 2
    return [Span(0, middle, text[:middle]), Span(middle, len(text), text[middle:])]


def test_a_splitter_of_a_plugin_cuts_by_its_name(make):
    trace = make(plugins=[Halves()]).trace("abcdef", "What?", style="halves")
    assert trace.pieces == ("abc", "def")


def test_a_text_needs_its_question(make):
    with pytest.raises(ConfigError, match="question="):
        make().trace("So three.")


@pytest.mark.parametrize(
    ("template", "opened", "closed"),
    [
        ("mistral", "[THINK]Start here.", "[THINK]Start here.[/THINK]Therefore, the final answer is \\boxed{"),
        ("none", "Start here.", "Start here.\n\nTherefore, the final answer is \\boxed{"),
    ],
)
def test_thought_is_marked_as_the_clients_model_marks_it(server, make, template, opened, closed):
    client = make("vendor/model", template=template)
    client.resample(TRACE, 1, 1, forced=True)
    assert {body["messages"][-1]["content"] for body in chats(server)} == {opened, closed}


def test_before_the_first_sentence_an_unmarked_thought_is_the_question_alone(server, make):
    make("vendor/model", template="none").resample(TRACE, 1, 0)
    assert chats(server)[0]["messages"] == [{"role": "user", "content": "What?"}]


def test_draws_and_chains_go_through_the_client(server, make):
    client = make()
    drawn = client.draw_until("What?", lambda response: response.seed % 3 == 0, 2, round_size=3)
    assert [r.seed for r in drawn.accepted] == [0, 3]
    assert client.resilience(TRACE, 1, same, n_samples=3).share_gone == 1
    steered = client.steer(TRACE, 1, "Else now.", same, candidates=2, continuations=0)
    assert steered.reached
    assert steered.thought == "Start here. Else now."
    assert sorted(client.force_answers(TRACE, 1)) == [0, 1, 2]
