"""From a client to a table over a real socket: a served model whose importances are known by construction."""

from __future__ import annotations

import random

import numpy as np
import pytest
from rollouts_anchors import importance, sentence_effects

from rollouts import RolloutsClient
from rollouts.resampling import Trace
from rollouts.testing import LoopbackServer
from rollouts.testing.replies import Reply, chat_reply

TRACE = Trace.from_text("What is 1+2?", "Let me begin. Use the trick. Add them up. It is three.")
SAYS = 0.5
"""Chance that the model says the trace's own sentence where one was left out."""
RIGHT = {False: 0.3, True: 0.9}
"""Chance of a right answer without and with the trick, whoever said it."""
FORCED = {False: 0.1, True: 0.7}


def speak(request):
    """One sample; what it says depends on the prefill and the seed alone."""
    if not request.path.endswith("/chat/completions"):
        return None
    body = request.json()
    last = body["messages"][-1]
    prefill = last["content"] if last["role"] == "assistant" else "<think>\n"
    rng = random.Random(f"{body['seed']} {prefill}")
    name = f"gen-{rng.getrandbits(64):x}"
    if prefill.endswith("\\boxed{"):
        right = rng.random() < FORCED["trick" in prefill]
        return Reply(json=chat_reply("3}." if right else "4}.", None, id=name))
    had = sum(piece in prefill for piece in TRACE.pieces)
    said = [piece if rng.random() < SAYS else "Something else entirely." for piece in TRACE.pieces[had:]]
    right = rng.random() < RIGHT["trick" in prefill or any("trick" in piece for piece in said)]
    return Reply(json=chat_reply(f"\\boxed{{{3 if right else 4}}}", " " + " ".join(said), id=name))


def exact(sentences):
    known = [*TRACE.pieces, "Something else entirely."]
    return np.array([[float(sentence == other) for other in known] for sentence in sentences])


MIXED = SAYS * RIGHT[True] + (1 - SAYS) * RIGHT[False]
TRUE = {
    "resampling": [0, RIGHT[True] - MIXED, 0, None],
    "counterfactual": [0, RIGHT[True] - RIGHT[False], 0, None],
    "forced": [0, FORCED[True] - FORCED[False], 0, None],
}


@pytest.fixture(scope="module")
def resampling(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    settings = {"base_url": "", "api_key": "x", "cache_dir": folder, "progress_bar": False}
    with LoopbackServer(speak) as server:
        settings |= {"base_url": server.url, "adapter": "openrouter", "provider": {"only": ["loopback"]}}
        with RolloutsClient("qwen/qwen3-30b-a3b", use_cache="sql", **settings) as client:
            return client.resample(TRACE, 120, forced=True, truth="3")


@pytest.mark.parametrize("kind", list(TRUE))
def test_known_importances_lie_within_their_intervals(resampling, kind):
    # One table of 99.9 % intervals with fixed seeds; that they cover at their rate is tested without a socket.
    table = importance(resampling, kind, similarity=exact, confidence=0.999)
    for row, true in zip(table, TRUE[kind], strict=True):
        if true is None:
            assert row.value is None
            assert "last sentence" in row.note
        else:
            assert row.low <= true <= row.high, row
    assert table[1].low > 0, "the trick's interval holds no zero"
    assert max(table, key=lambda row: row.value or 0).sentence == "Use the trick."


def test_distances_name_the_same_sentence(resampling):
    for metric in ("kl", "tv", "js"):
        table = importance(resampling, "resampling", metric)
        assert max(table, key=lambda row: row.value or 0).position == 1


def test_a_sentence_that_nothing_depends_on_has_no_effect_on_later_ones(resampling):
    effects = sentence_effects(resampling, exact)
    # Each later sentence is said in half of the samples, whatever stands before it: 5 standard errors of 120.
    assert abs(effects.get(0, 2)) < 5 * np.sqrt(2 * 0.25 / 120)
    assert effects.get(2, 3) == pytest.approx(0, abs=0.33)
