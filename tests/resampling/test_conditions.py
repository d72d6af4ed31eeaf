"""Draws are all counted, rates have no bias, chains do not depend on their number, steered text is the model's own."""

from __future__ import annotations

import random
from itertools import product

import pytest

from rollouts.resampling import Trace, draw_until, resilience, steer
from rollouts.results import Failure, Response, Rollouts

TRACE = Trace.from_text("Q?", "Start here. Use the trick. So three.")


def same(sentence, others):
    return [float(other == sentence) for other in others]


class Says:
    """An asker whose samples `speak(turn, number)` makes; remembers what it was asked."""

    def __init__(self, speak):
        self.speak = speak
        self.sent = []

    def __call__(self, prompts, n_samples, *, seed, **settings):
        out = []
        for prompt in prompts:
            turn = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            numbers = range(seed, seed + n_samples)
            self.sent += [(turn, number) for number in numbers]
            out.append(Rollouts(tuple(self.speak(turn, number) for number in numbers), prompt=prompt))
        return out


def thinks(thought, content=""):
    return lambda turn, number: Response(content, thought, "stop", completed_reasoning=True, seed=number)


# ── Draws ──


def test_every_draw_that_was_paid_for_is_in_one_field():
    def speak(turn, number):
        return Failure("failed", seed=number) if number in (3, 7) else Response(str(number), seed=number)

    ask = Says(speak)
    drawn = draw_until(ask, "Q", lambda response: response.content == "5", round_size=10)
    assert [r.seed for r in drawn.accepted] == [5]
    assert [r.seed for r in drawn.rejected] == [0, 1, 2, 4]
    assert [r.seed for r in drawn.unjudged] == [6, 8, 9]
    assert [f.seed for f in drawn.failures] == [3, 7]
    assert (drawn.requests, drawn.draws) == (len(ask.sent), 5) == (10, 5)


@pytest.mark.parametrize(("wanted", "most"), [(2, 6), (3, 5), (4, 4)])
def test_the_rate_has_no_bias_whichever_way_drawing_ends(wanted, most):
    # Over all outcomes of `most` draws, each weighted by its chance, the mean is the true rate.
    for true in (0.1, 0.5, 0.8):
        mean = 0.0
        for outcome in product((True, False), repeat=most):
            ask = Says(lambda turn, number: Response("x", seed=number))
            drawn = draw_until(ask, "Q", lambda r, o=outcome: o[r.seed], wanted, max_draws=most, round_size=2)
            chance = 1.0
            for hit in outcome:
                chance *= true if hit else 1 - true
            mean += chance * drawn.rate
        assert mean == pytest.approx(true)


def test_one_accepted_draw_tells_no_rate():
    ask = Says(lambda turn, number: Response("x", seed=number))
    assert draw_until(ask, "Q", lambda response: response.seed == 2).rate is None
    assert draw_until(ask, "Q", lambda response: False, max_draws=5).rate == 0
    nothing = draw_until(Says(lambda turn, number: Failure("failed", seed=number)), "Q", bool, max_draws=5)
    assert (nothing.rate, nothing.draws, nothing.requests) == (None, 0, 5)


# ── Chains ──


def wandering(turn, number):
    """Says the sentence again now and then, at once or after another one."""
    dice = random.Random(f"{turn}/{number}")
    thought = dice.choice(
        [" Use the trick. On.", " Well. Use the trick. On.", " Hm. Use the trick. On.", " Other. Fine."]
    )
    return Response(f"{dice.random()}", thought, "stop", completed_reasoning=True, seed=number)


def test_more_chains_leave_the_first_ones_as_they_were_and_ask_them_nothing_new():
    few, many = Says(wandering), Says(wandering)
    ten = resilience(few, TRACE, 1, same, n_samples=10)
    twenty = resilience(many, TRACE, 1, same, n_samples=20)
    assert max(ten.rounds) > 2
    assert twenty.rounds[:10] == ten.rounds
    assert [r.content for r in twenty.finals][:10] == [r.content for r in ten.finals]
    assert set(few.sent) < set(many.sent)
    assert len(many.sent) == len(set(many.sent)) == twenty.requests


def test_chains_that_remove_the_traces_first_sentence_are_without_the_trace():
    response = Response("3", TRACE.thought, prompt="Q?\n<think>\n", seed=1, completed_reasoning=True)
    ask = Says(wandering)
    resilience(ask, Trace.from_response(response), 0, same, n_samples=3)
    assert sorted(number for turn, number in ask.sent if turn == "<think>\n") == [0, 2, 3]


# ── Steering ──


@pytest.mark.parametrize(
    ("thought", "steered"),
    [
        ("\n\nTarget here. More.", "Start here.\n\nTarget here."),
        (" Target here. More.", "Start here. Target here."),
        ("Target here.\n", "Start here.Target here."),
    ],
)
def test_a_steered_thought_has_the_white_space_that_the_model_wrote(thought, steered):
    result = steer(Says(thinks(thought)), TRACE, 1, "Target here.", same, candidates=2, continuations=0)
    assert (result.thought, result.chosen, result.reached) == (steered, ("Target here.",), True)


@pytest.mark.parametrize("blank", ["", "\n\n"])
def test_what_is_said_after_the_thought_was_closed_steers_no_thought(blank):
    def speak(turn, number):
        return thinks(" Away." if number else blank, "Target here. Bye.")(turn, number)

    result = steer(Says(speak), TRACE, 1, "Target here.", same, candidates=2, continuations=1, max_rounds=1)
    assert (result.chosen, result.similarity, result.reached) == (("Away.",), 0.0, False)
    silent = steer(Says(thinks(blank, "Target here.")), TRACE, 1, "Target here.", same, continuations=0)
    assert (silent.thought, silent.chosen, silent.reached) == ("Start here.", (), False)


def test_a_model_without_marks_steers_by_what_it_answers():
    ask = Says(lambda turn, number: Response("\nTarget here. More.", seed=number))
    result = steer(ask, TRACE, 1, "Target here.", same, candidates=1, continuations=0)
    assert result.thought == "Start here.\nTarget here."
