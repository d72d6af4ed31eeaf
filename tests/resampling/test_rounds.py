"""In an adaptive run every position has rounds of its own; none waits for another."""

from __future__ import annotations

import threading

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import SamplingError
from rollouts.resampling import Trace, resample
from rollouts.testing import FakeAdapter
from rollouts.testing.replies import Reply

from .conftest import speak

TRACE = Trace.from_text("What?", "Start here. Use the trick. So three.")
TURNS = ["<think>\n" + TRACE.prefix(i) for i in range(3)]


def never(answers, correct):
    return False


class OneSlow(FakeAdapter):
    """Answers the first sample of position 1 when all other positions have all their samples, forced ones too."""

    def __init__(self, others):
        super().__init__(["</think>3"])
        self.others = others
        self.answered = []
        self.late = False
        self._all_there = threading.Event()
        self._gate = threading.Lock()

    def send(self, request, number, stop):
        turn = request.conversation.prefill
        if (turn, number) == (TURNS[1], 0) and not self._all_there.wait(20):
            self.late = True
        reply = super().send(request, number, stop)
        with self._gate:
            self.answered.append((turn, number))
            if sum(turn not in (TURNS[1], "<think>\nSo") for turn, _ in self.answered) == self.others:
                self._all_there.set()
        return reply


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")  # a fake that repeats itself
def test_a_position_with_a_slow_sample_holds_no_other_up(tmp_path):
    slow = OneSlow(others=2 * 12 + 3 * 12)
    settings = {"template": "think-tags", "cache_dir": tmp_path, "progress_bar": False}
    with RolloutsClient("fake/model", plugins=[slow], **settings) as client:
        client.generate("Else?\n<think>\nSo")  # else the first sample with a prefill goes ahead
        result = client.resample(TRACE, 12, until=never, round_size=4, forced=True)
    assert not slow.late
    assert {i: [r.seed for r in arm] for i, arm in result.arms.items()} == {i: list(range(12)) for i in range(3)}
    assert {i: len(arm) for i, arm in result.forced.items()} == dict.fromkeys(range(3), 12)
    own = [number for turn, number in slow.answered if turn == TURNS[1]]
    assert own.index(0) == 3, "rounds are judged whole: the second begins when the slow sample is there"


def test_rounds_are_judged_whole_and_in_the_order_of_their_numbers(client_of):
    judged = []

    def rule(answers, correct):
        judged.append([answer.text for answer in answers])
        return len(answers) >= 8

    result = client_of().resample(TRACE, 40, until=rule, round_size=4)
    assert sorted(judged) == sorted([["0", "1"] * 2, ["0", "1"] * 4] * 3)
    assert {len(arm) for arm in result.arms.values()} == {8}


def test_what_was_begun_goes_on_before_another_position_begins(served, client_of, monkeypatch):
    monkeypatch.setattr("rollouts.client.WINDOW", 2)  # else all first rounds are under way at once
    client_of().resample(TRACE, 4, until=never, round_size=2, max_concurrency=1)
    bodies = [request.json() for request in served.server.requests if "chat/completions" in request.path]
    turns = [body["messages"][-1]["content"] for body in bodies]
    last_of_the_first = len(turns) - 1 - turns[::-1].index(TURNS[0])
    assert turns.count(TURNS[0]) == 4
    assert last_of_the_first < turns.index(TURNS[2])


def test_each_position_stops_by_itself_and_a_second_run_sends_nothing(served, client_of):
    def rule(answers, correct):
        return len(answers) >= 6 and answers[-1].text == "1"

    for _ in range(2):
        result = client_of().resample(TRACE, 20, until=rule, round_size=3)
        assert {len(arm) for arm in result.arms.values()} == {6}
    assert len(served.asked()) == 18


def test_a_cached_run_goes_on_through_all_its_rounds_without_waiting(served, client_of, monkeypatch):
    client_of().resample(TRACE, 30, until=never, round_size=3)
    served.asked()
    monkeypatch.setattr("rollouts.engine.run.Run.wait", lambda *_: pytest.fail("nothing is under way"))
    assert len(client_of().resample(TRACE, 30, until=never, round_size=3).arms[2]) == 30


def test_a_rule_that_fails_is_told_and_what_came_is_stored(served, client_of):
    def rule(answers, correct):
        raise ZeroDivisionError("in the rule")

    with pytest.raises(ZeroDivisionError):
        client_of().resample(TRACE, 20, 0, until=rule, round_size=3)
    assert served.numbers(TURNS[0]) == [0, 1, 2]
    client_of().resample(TRACE, 3, 0)
    assert served.asked() == []


def test_a_position_with_a_failed_sample_stops_after_its_round_and_the_others_go_on(served, client_of):
    def refusing(request):
        body = request.json()
        if body["messages"][-1]["content"] == TURNS[1] and body["seed"] == 1:
            return Reply(status=422, json={"error": {"code": 422, "message": "no"}})
        return speak(request)

    served.server.reply = refusing
    with pytest.raises(SamplingError):
        client_of().resample(TRACE, 9, until=never, round_size=3)
    asked = served.asked()
    assert [number for turn, number in asked if turn == TURNS[0]] == list(range(9))
    assert {number for turn, number in asked if turn == TURNS[1]} <= {0, 1, 2}
    kept = client_of().resample(TRACE, 6, until=never, round_size=3, on_error="keep")
    assert {i: arm.n_requested for i, arm in kept.arms.items()} == dict.fromkeys(range(3), 6)


def test_equal_prefixes_share_their_rounds(served, client_of):
    from rollouts.typing import Span

    def letters(text):
        return [Span(k, k + 1, text[k]) for k in range(len(text))]

    blank = Trace.from_text("What?", "A b.", style=letters)
    result = client_of().resample(blank, 4, until=never, round_size=2)
    assert len(served.asked()) == 4 * len({blank.prefix(i) for i in range(len(blank))})
    assert result.arms[1] is result.arms[2]


def test_a_plain_asker_is_asked_for_one_round_of_all_positions_after_the_other(client_of):
    result = resample(client_of().generate_many, TRACE, 5, until=never, round_size=2, forced=True)
    assert {len(arm) for arm in (*result.arms.values(), *result.forced.values())} == {5}
