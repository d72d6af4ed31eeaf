"""What is asked, in how many calls, and how it is held."""

from __future__ import annotations

import random

import pytest

from rollouts.exceptions import ConfigError, RolloutsWarning
from rollouts.resampling import (
    Resampling,
    Trace,
    any_of,
    converged,
    draw_until,
    force_answer,
    plan_resample,
    resample,
    resilience,
    steer,
    width_below,
    wilson,
)
from rollouts.results import Failure, Response, Rollouts, Usage

TRACE = Trace.from_text("Q?", "A is one. Wait, no. B is two. So it ends.")


class Model:
    """An asker in this process: each answer depends on the prompt and the number alone, and each is kept once.

    It hears of a prompt what the model goes on from: the text of the last message.
    """

    def __init__(self, speak=None) -> None:
        self.speak = speak or self.guess
        self.calls: list[tuple[int, int, int]] = []
        self.sent: set[tuple[str, int, str]] = set()
        self.settings: list[dict] = []

    @staticmethod
    def guess(prompt: str, number: int) -> Response:
        dice = random.Random(f"{prompt}/{number}")
        thought = f" {dice.choice(['Wait, no.', 'Then two.'])} Fine."
        return Response(f"\\boxed{{{dice.randint(1, 3)}}}", thought, "stop", completed_reasoning=True, seed=number)

    def __call__(self, prompts, n_samples, *, seed, **settings):
        self.calls.append((len(prompts), n_samples, seed))
        self.settings.append(settings)
        out = []
        for prompt in prompts:
            numbers = range(seed, seed + n_samples)
            self.sent |= {(str(prompt), number, str(sorted(settings))) for number in numbers}
            last = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            out.append(Rollouts(tuple(self.speak(last, number) for number in numbers), prompt=prompt))
        return out


def test_all_positions_travel_in_one_stream():
    model = Model()
    result = resample(model, TRACE, 7)
    assert model.calls == [(4, 7, 0)]
    assert result.positions == (0, 1, 2, 3)
    assert {i: len(arm) for i, arm in result.arms.items()} == dict.fromkeys(range(4), 7)


def test_the_kept_arm_of_a_sentence_is_the_removed_arm_of_the_next():
    result = resample(Model(), TRACE, 3)
    assert result.kept(1) is result.removed(2)
    assert result.kept(3) is None
    assert resample(Model(), TRACE, 3, [3, 4]).kept(3) is not None


def test_equal_prefixes_are_asked_once():
    blank = Trace.from_text("Q", "A b. C d.", style=lambda text: [*_cut(text, 1)])
    model = Model()
    result = resample(model, blank, 5)
    prompts = {blank.prefix(i) for i in range(len(blank))}
    assert len(prompts) < len(blank)
    assert model.calls == [(len(prompts), 5, 0)]
    assert plan_resample(blank, 5).calls == 5 * len(prompts)
    assert len(result.arms) == len(blank)


def _cut(text, size):
    from rollouts.typing import Span

    return (Span(k, min(k + size, len(text)), text[k : k + size]) for k in range(0, len(text), size))


def test_topping_up_keeps_the_numbers_of_the_first_half():
    model = Model()
    resample(model, TRACE, 10)
    before = set(model.sent)
    more = resample(model, TRACE, 20)
    assert before < model.sent
    assert len(model.sent - before) == 4 * 10
    assert [r.seed for r in more.arms[0]] == list(range(20))


def test_first_sentences_are_what_stands_in_the_sentences_place():
    result = resample(Model(), TRACE, 20)
    assert set(result.first_sentences(1)) == {"Wait, no.", "Then two."}
    ended = Resampling.from_texts(TRACE, {0: ["</think>\n\nThe end. Yes."]})
    assert ended.first_sentences(0) == ["The end."]


def test_stored_samples_can_be_judged_again_without_asking():
    model = Model()
    result = resample(model, TRACE, 30)
    assert result.accuracy(0) is None
    asked = len(model.calls)
    judged = result.judged(truth="3")
    share = sum(r.content == "\\boxed{3}" for r in result.arms[0]) / 30
    assert judged.accuracy(0) == pytest.approx(share)
    assert judged.judged(extract="number", truth="2").accuracy(0) != judged.accuracy(0)
    assert len(model.calls) == asked
    with pytest.raises(ConfigError, match="extract"):
        result.judged(extractor="boxed")


def test_an_adaptive_run_stops_each_position_by_whole_rounds_in_order():
    def speak(prompt, number):
        sure = "B is two" in prompt
        answer = "1" if sure else str(number % 2)
        return Response(f"\\boxed{{{answer}}}", "t", "stop", completed_reasoning=True, seed=number)

    model = Model(speak)
    result = resample(model, TRACE, 60, until=converged(0.99, at_least=10), round_size=10)
    assert {i: len(arm) for i, arm in result.arms.items()} == {0: 60, 1: 60, 2: 60, 3: 10}
    assert [r.seed for r in result.arms[0]] == [r.index for r in result.arms[0]] == list(range(60))
    assert model.calls == [(4, 10, 0)] + [(3, 10, seed) for seed in range(10, 60, 10)]


def test_a_width_stops_when_the_interval_is_narrow():
    result = resample(Model(), TRACE, 500, until=0.2, truth="3")
    for arm in result.arms.values():
        hits = sum(r.content == "\\boxed{3}" for r in arm)
        low, high = wilson(hits, len(arm))
        assert high - low < 0.2
        earlier = arm[: len(arm) - 10]
        low, high = wilson(sum(r.content == "\\boxed{3}" for r in earlier), len(earlier))
        assert high - low >= 0.2


def test_rules_refuse_what_cannot_be():
    for make in (lambda: width_below(0), lambda: width_below(0.1, of="x"), lambda: converged(1.5)):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(ConfigError, match="until"):
        resample(Model(), TRACE, 10, until="narrow")
    assert any_of(lambda a, c: False, lambda a, c: True)([], [])


def test_forced_answers_are_short_and_stopped():
    model = Model()
    result = resample(model, TRACE, 4, forced=True, temperature=0.6)
    assert model.settings[0] == {"temperature": 0.6}
    assert model.settings[1]["max_tokens"] == 32
    assert model.settings[1]["stop"]
    assert sorted(result.forced) == [0, 1, 2, 3]
    prompt = force_answer(model, TRACE, n_samples=2).prompt
    assert prompt[-1]["content"].endswith("So it ends.\n</think>\n\nTherefore, the final answer is \\boxed{")


def test_forced_answers_are_read_from_the_open_box():
    result = Resampling.from_texts(
        TRACE, {0: ["\\boxed{1}"]}, forced={0: ["\\frac{1}{2}}.", "20}. However \\boxed{19}"]}, truth="20"
    )
    assert [a.text for a in result.answers(0, forced=True)] == ["\\frac{1}{2}", "20"]
    assert result.accuracy(0, forced=True) == 0.5


def test_the_plan_counts_calls_prefixes_and_dollars():
    plan = plan_resample(TRACE, 100, forced=True, prompt_price=1e-6, completion_price=2e-6)
    assert (plan.calls, plan.forced_calls, plan.distinct_prefixes) == (400, 400, 4)
    assert plan.cost == pytest.approx(plan.prompt_tokens * 1e-6 + plan.completion_tokens * 2e-6)
    assert plan_resample(TRACE).cost is None
    assert "400 continuations of 4 prefixes" in str(plan)
    assert plan_resample(TRACE, 100, max_tokens=1).completion_tokens == 400


def test_the_plan_takes_tokens_from_the_traces_own_usage():
    response = Response(
        "x" * 100, "A b. " * 20, usage=Usage(completion_tokens=50), completed_reasoning=True, prompt="Q" * 40
    )
    plan = plan_resample(Trace.from_response(response), 1, 0)
    assert plan.completion_tokens == pytest.approx(50, abs=3)


def test_zero_samples_are_refused():
    with pytest.raises(ConfigError, match="n_samples=0"):
        resample(Model(), TRACE, 0)
    with pytest.raises(ConfigError, match="n_samples=0"):
        plan_resample(TRACE, 0)


def test_failures_stay_in_the_arms_and_have_a_class():
    def speak(prompt, number):
        return Failure("failed", seed=number) if number == 1 else Model.guess(prompt, number)

    result = resample(Model(speak), TRACE, 3, truth="3")
    assert [a.kind for a in result.answers(0)] == ["answered", "error", "answered"]


def test_samples_that_began_anew_are_told_and_can_be_left_out():
    def speak(prompt, number):
        return Response(
            "\\boxed{1}", " Fine.", completed_reasoning=True, seed=number, continued="no" if number else "yes"
        )

    with pytest.warns(RolloutsWarning, match="8 of 12 samples began anew"):
        result = resample(Model(speak), TRACE, 3)
    assert result.restarted == 8
    assert {len(arm) for arm in result.continuing().arms.values()} == {1}


# ── Conditions ──


def same(sentence, others):
    return [float(other == sentence) for other in others]


def test_draws_go_on_until_enough_are_accepted_and_rejected_ones_are_kept():
    drawn = draw_until(Model(), "Q", lambda r: "{3}" in r.content, 5, round_size=4)
    assert drawn.complete
    numbers = sorted(r.seed for r in (*drawn.accepted, *drawn.rejected))
    assert numbers == list(range(len(numbers)))
    assert max(numbers) == drawn.accepted[-1].seed
    assert drawn.rate == pytest.approx(4 / (len(numbers) - 1))
    never = draw_until(Model(), "Q", lambda r: False, 1, max_draws=7)
    assert (never.complete, never.draws, never.rate) == (False, 7, 0.0)


def test_a_sentence_is_cut_again_wherever_it_comes_back():
    prompts = []

    def speak(prompt, number):
        prompts.append(prompt)
        back = prompt.count("Meanwhile.") < 2
        thought = " Meanwhile. Wait, no. More." if back else " Meanwhile. Other."
        return Response("\\boxed{1}", thought, "stop", completed_reasoning=True, seed=number)

    result = resilience(Model(speak), TRACE, 1, same, n_samples=3)
    assert result.rounds == (3, 3, 3)
    assert result.score == 3
    assert result.gone == (True, True, True)
    assert result.requests == 9
    assert set(prompts) == {TRACE.prompt(1)[-1]["content"] + " Meanwhile." * k for k in range(3)}
    assert all("Wait, no." not in (r.reasoning or "") for r in result.without)
    assert len({r.seed for r in result.finals}) == 3


def test_a_chain_that_never_lets_go_is_capped_and_not_counted_as_gone():
    speak = lambda prompt, number: Response("x", " Wait, no.", "stop", completed_reasoning=True, seed=number)  # noqa: E731
    result = resilience(Model(speak), TRACE, 1, same, n_samples=2, max_rounds=4)
    assert (result.rounds, result.share_gone, len(result.without)) == ((4, 4), 0.0, 0)


def test_every_draw_of_one_prompt_has_its_own_number():
    model = Model(lambda prompt, number: Response("x", " Wait, no.", completed_reasoning=True, seed=number))
    resilience(model, TRACE, 1, same, n_samples=2, max_rounds=3)
    assert len(model.sent) == 6


def test_steering_takes_what_the_model_says_itself():
    steered = steer(Model(), TRACE, 2, "Then two.", same)
    assert steered.reached
    assert steered.thought == TRACE.prefix(2) + " Then two."
    lost = steer(Model(), TRACE, 2, "Never said.", same, max_rounds=2, candidates=3, continuations=2)
    assert not lost.reached
    assert len(lost.chosen) == 2
