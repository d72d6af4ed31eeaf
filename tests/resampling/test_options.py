"""Options that cannot be are refused before anything is sent; a plan takes what a resampling takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rollouts.exceptions import ConfigError, UnknownSetting
from rollouts.resampling import Resampling, Trace, draw_until, resample, resilience, steer
from rollouts.results import Response, Rollouts

TRACE = Trace.from_text("What?", "Start here. Use the trick. So three.")


def same(sentence, others):
    return [float(other == sentence) for other in others]


@pytest.mark.parametrize(
    "wrong",
    [
        {"round_size": 0},
        {"round_size": "3"},
        {"round_size": None, "until": 0.2},
        {"n_samples": "3"},
        {"n_samples": 2.5},
        {"n_samples": True},
        {"n_samples": 0},
        {"n_samples": None},
        {"positions": None},
        {"positions": 1.5},
        {"positions": [1.0]},
        {"positions": [True]},
        {"positions": [None]},
        {"positions": "some"},
        {"positions": []},
        {"positions": 99},
        {"until": "narrow"},
        {"until": 0},
        {"until": 1},
        {"until": True},
        {"forced": True, "forced_samples": 0},
        {"forced": True, "forced_samples": "3"},
        {"seed": -1},
        {"trace": "So three."},
        {"trace": None},
        {"tempo": 1},
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_sent_or_planned(served, client_of, wrong):
    options = {"trace": TRACE, "n_samples": 3, **wrong}
    client = client_of()
    for call in (client.resample, client.plan_resample):
        with pytest.raises(ConfigError):
            call(**options)
    assert served.asked() == []


def test_an_unknown_option_names_the_nearest_setting(client_of):
    for call in (client_of().resample, client_of().plan_resample):
        with pytest.raises(UnknownSetting, match="temperature"):
            call(TRACE, 3, temperatur=1)


def test_integers_of_other_libraries_are_integers(served, client_of):
    client = client_of()
    client.resample(TRACE, np.int64(2), np.int64(1))
    assert served.numbers("<think>\nStart here.") == [0, 1]
    assert client.resample(TRACE, 1, np.array([0, 2])).positions == (0, 2)
    assert client.resample(TRACE, 1, range(2)).positions == (0, 1)
    assert client.resample(TRACE, 30, 0, until=np.float32(0.5), round_size=np.int8(5)).positions == (0,)


def test_a_plan_takes_the_options_of_a_resampling(served, client_of):
    client = client_of()
    options = {"truth": "3", "extract": "number", "where": "anywhere", "policy": "wrong", "normalise": str.strip}
    options |= {"until": 0.3, "round_size": 5, "forced": True, "forced_samples": 2, "forced_lead": "So {"}
    options |= {"forced_settings": {"max_tokens": 4}, "seed": 7}
    plan = client.plan_resample(TRACE, 20, [0, 1], **options)
    assert (plan.calls, plan.forced_calls, plan.cached) == (40, 4, 0)
    assert plan.forced_prompts[1][-1]["content"] == "<think>\nStart here.\n</think>\n\nSo {"
    result = client.resample(TRACE, 20, [0, 1], **options)
    sent = len(served.asked())
    assert client.plan_resample(TRACE, 20, [0, 1], **options).cached == sent
    assert sent == sum(map(len, result.arms.values())) + 4


def test_a_forced_answer_begins_with_the_lead_that_was_given(served, client_of):
    result = client_of().resample(TRACE, 1, 1, forced=True, forced_lead="The answer is {", truth="3")
    assert served.asked()[1][0] == "<think>\nStart here.\n</think>\n\nThe answer is {"
    assert result.forced[1].prompt == TRACE.forced_prompt(1, "The answer is {")


def test_after_a_lead_without_a_box_the_answer_is_looked_for_in_all_that_was_written():
    texts = {1: ["we compute:\n\\boxed{50}", "\n50 apples", "so\nwe get 50."]}
    made = Resampling.from_texts(TRACE, {}, forced=texts, truth="50", extract="number")
    assert [a.text for a in replace(made, forced_lead="The answer is").answers(1, forced=True)] == ["50"] * 3
    assert [a.text for a in made.answers(1, forced=True)] != ["50"] * 3  # the default lead opens a box


@pytest.mark.parametrize("option", [{"forced_samples": 2}, {"forced_settings": {"stop": []}}, {"forced_lead": "So"}])
def test_options_of_forced_answers_without_any_are_refused(served, client_of, option):
    client = client_of()
    with pytest.raises(ConfigError, match="forced=True"):
        client.resample(TRACE, 1, 1, **option)
    with pytest.raises(ConfigError, match="forced=True"):
        client.plan_resample(TRACE, 1, 1, **option)
    assert served.asked() == []


def test_a_seed_among_the_settings_of_forced_answers_is_refused(served, client_of):
    with pytest.raises(ConfigError, match="seed="):
        client_of().resample(TRACE, 1, 1, forced=True, forced_settings={"seed": 5})
    assert served.asked() == []


@pytest.mark.parametrize("wrong", [{"n_accepted": "1"}, {"max_draws": 0}, {"round_size": None}, {"max_draws": 1.5}])
def test_draws_refuse_what_is_no_number(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        draw_until(None, "Q", lambda response: True, **wrong)


@pytest.mark.parametrize("wrong", [{"n_samples": "2"}, {"max_rounds": 0}, {"n_samples": None}])
def test_resilience_refuses_what_is_no_number(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        resilience(None, TRACE, 1, same, **wrong)


@pytest.mark.parametrize("wrong", [{"max_rounds": "2"}, {"candidates": 0}, {"continuations": -1}])
def test_steering_refuses_what_is_no_number(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        steer(None, TRACE, 1, "Said.", same, **wrong)


def test_what_is_no_trace_is_refused_without_a_client_too():
    with pytest.raises(ConfigError, match="a str cannot be resampled"):
        resample(lambda *_args, **_settings: [Rollouts((Response("3"),))], "So three.")
