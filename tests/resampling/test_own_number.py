"""The trace itself is never one of the samples that leave its sentences out."""

from __future__ import annotations

import pytest

from rollouts.resampling import Trace, force_answers, plan_resample, resample
from rollouts.resampling.asking import Want
from rollouts.results import Response, Rollouts

OPENED = "What?\n<think>\n"


class Asked:
    """An asker that remembers the numbers of each turn."""

    def __init__(self):
        self.numbers = {}

    def __call__(self, prompts, n_samples, *, seed, **settings):
        out = []
        for prompt in prompts:
            numbers = range(seed, seed + n_samples)
            self.numbers.setdefault(prompt[-1]["content"], []).extend(numbers)
            out.append(Rollouts(tuple(Response("3", " So.", seed=k, index=k - seed) for k in numbers), prompt=prompt))
        return out


def trace_of(number, prompt=OPENED, **fields):
    return Trace.from_response(Response("3", "A b. C d.", prompt=prompt, seed=number, **fields))


@pytest.mark.parametrize(
    ("own", "seed", "n", "numbers"),
    [
        (0, 0, 3, [1, 2, 3]),
        (1, 0, 3, [0, 2, 3]),
        (2, 0, 3, [0, 1, 3]),
        (3, 0, 3, [0, 1, 2]),
        (3, 3, 2, [4, 5]),
        (2, 3, 2, [3, 4]),
        (5, 5, 1, [6]),
    ],
)
def test_its_number_is_left_out_where_its_own_prompt_is_asked_and_one_more_is_drawn(own, seed, n, numbers):
    ask = Asked()
    result = resample(ask, trace_of(own), n, seed=seed)
    assert ask.numbers == {"<think>\n": numbers, "<think>\nA b.": list(range(seed, seed + n))}
    assert [r.seed for r in result.arms[0]] == numbers
    assert [r.index for r in result.arms[0]] == list(range(n))


def test_the_arm_that_goes_on_from_the_injected_thought_leaves_it_out():
    begun = "What?\n<think>\nA b."
    trace = Trace.from_response(Response("3", " C d.", prompt=begun, seed=1, injected="A b.", prefill="<think>\nA b."))
    ask = Asked()
    resample(ask, trace, 3)
    assert ask.numbers == {"<think>\n": [0, 1, 2], "<think>\nA b.": [0, 2, 3]}


@pytest.mark.parametrize(
    "trace",
    [
        trace_of(1, "What?"),
        trace_of(1, [{"role": "user", "content": "What?"}]),
        trace_of(1).with_question("Which?"),
        Trace.from_response(Response("3", "A b. C d.", prompt=OPENED, seed=1), "Which?"),
        Trace.from_text("What?", "A b. C d."),
    ],
)
def test_another_prompt_than_the_traces_own_has_every_number(trace):
    ask = Asked()
    resample(ask, trace, 3)
    assert {tuple(numbers) for numbers in ask.numbers.values()} == {(0, 1, 2)}


def test_a_message_list_with_an_open_turn_is_known_again():
    ask = Asked()
    turn = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "<think>\n"}]
    resample(ask, trace_of(0, turn), 2)
    assert ask.numbers["<think>\n"] == [1, 2]


@pytest.mark.parametrize(("own", "n"), [(0, 4), (2, 4), (4, 4), (5, 4), (9, 4)])
def test_a_larger_number_of_samples_keeps_the_smaller_set(own, n):
    few = resample(Asked(), trace_of(own), n).arms[0]
    many = resample(Asked(), trace_of(own), 2 * n).arms[0]
    assert [r.seed for r in many][:n] == [r.seed for r in few]
    assert len({r.seed for r in many}) == 2 * n
    assert own not in {r.seed for r in many}


@pytest.mark.parametrize(("own", "size"), [(0, 2), (3, 2), (4, 2), (4, 5), (7, 7)])
def test_rounds_leave_it_out_too(own, size):
    ask = Asked()
    result = resample(ask, trace_of(own), 8, 0, until=lambda answers, correct: False, round_size=size)
    expected = [k for k in range(9) if k != own]
    assert [r.seed for r in result.arms[0]] == sorted(ask.numbers["<think>\n"]) == expected
    assert [r.index for r in result.arms[0]] == list(range(8))


def test_the_plan_counts_the_same_numbers():
    looked = []

    def cached(wants):
        looked.extend(wants)
        return [1] * len(wants)

    plan = plan_resample(trace_of(1), 3, cached=cached)
    assert (plan.calls, plan.cached, plan.missing) == (6, 3, 3)
    assert [(want.seed, want.n_samples) for want in looked] == [(0, 1), (2, 2), (0, 3)]


def test_a_want_knows_the_number_after_its_last():
    assert Want("Q", 3, 5).after == 8
    assert Want("Q", 3, 5, without=8).after == 8
    assert Want("Q", 3, 5, without=7).after == 9


def test_forced_answers_of_other_prompts_have_every_number():
    ask = Asked()
    force_answers(ask, trace_of(1), 3)
    assert {tuple(numbers) for numbers in ask.numbers.values()} == {(0, 1, 2)}


# ── Through a client ──


def test_through_a_client_the_arm_is_without_the_trace_and_grows_by_what_is_new(served, client_of):
    client = client_of()
    response = client.generate(OPENED, 1, seed=1)[0]
    served.asked()
    assert client.plan_resample(response, 3, 0).missing == 3
    result = client.resample(response, 3, 0)
    assert served.numbers("<think>\n") == [0, 2, 3]
    assert response.response_id not in {r.response_id for r in result.arms[0]}
    assert client.plan_resample(response, 3, 0).missing == 0
    assert client.plan_resample(response, 6, 0).cached == 3
    client.resample(response, 6, 0)
    assert served.numbers("<think>\n") == [4, 5, 6]


def test_a_trace_from_the_cache_is_known_again(served, client_of):
    client_of().generate("What?\n<think>\nFirst 6.", 1)
    served.asked()
    client = client_of()
    cached = client.generate("What?\n<think>\nFirst 6.", 1)[0]
    assert cached.cached
    client.resample(cached, 1, 1)
    assert served.asked() == [("<think>\nFirst 6.", 1)]


def test_a_trace_whose_prompt_was_transformed_is_known_again(served, client_of):
    from dataclasses import replace

    def shout(conversation):
        return replace(conversation, prefill=conversation.prefill.upper())

    client = client_of(transforms=[shout])
    response = client.generate("What?\n<think>\nFirst 6.", 1)[0]
    client.resample(response, 1, 1)
    assert served.numbers("<THINK>\nFIRST 6.") == [0, 1]


def test_samples_of_the_same_prompt_that_were_drawn_before_are_used(served, client_of):
    client = client_of()
    drawn = client.generate(OPENED, 4)
    served.asked()
    result = client.resample(drawn[2], 4, 0)
    assert served.numbers("<think>\n") == [4]
    assert [r.seed for r in result.arms[0]] == [0, 1, 3, 4]
