"""Known importances through a real socket, again and again: the intervals hold them as often as they say."""

from __future__ import annotations

import random
import warnings
from itertools import pairwise

import numpy as np
import pytest
from rollouts_anchors import importance

from rollouts import RolloutsClient
from rollouts.exceptions import RolloutsWarning
from rollouts.resampling import Trace
from rollouts.testing import LoopbackServer
from rollouts.testing.replies import Reply, chat_reply

pytestmark = pytest.mark.slow

TRACE = Trace.from_text("What is 1+2?", "Let me begin. Use the trick.")
POSITIONS = (0, 1, 2)
"""Before each sentence, and after the last one, so that both have a kept arm."""

REPETITIONS = 200
N = 30
"""Samples of each arm: 36,000 requests in all, forced answers among them."""

ANSWERS = ("3", "4", "5")
AFTER = {"": (0.35, 0.4, 0.25), "Let me begin.": (0.35, 0.4, 0.25), "Let me begin. Use the trick.": (0.8, 0.15, 0.05)}
"""Chance of each answer after each prefix: the first sentence changes nothing, the second nearly everything."""
FORCED = {"": (0.1, 0.6, 0.3), "Let me begin.": (0.3, 0.5, 0.2), "Let me begin. Use the trick.": (0.7, 0.2, 0.1)}
"""The same of forced answers; here the first sentence helps too."""


def speak(request):
    """One sample; its answer depends on the sentences before it and on its number alone."""
    if not request.path.endswith("/chat/completions"):
        return None
    body = request.json()
    turn = body["messages"][-1]["content"]
    dice = random.Random(f"{body['seed']} {turn}")
    forced = turn.endswith("\\boxed{")
    prefix = turn.removeprefix("<think>").partition("</think>")[0].strip()
    (answer,) = dice.choices(ANSWERS, (FORCED if forced else AFTER)[prefix])
    name = f"gen-{dice.getrandbits(64):x}"
    if forced:
        return Reply(json=chat_reply(f"{answer}}}.", None, id=name))
    return Reply(json=chat_reply(f"\\boxed{{{answer}}}", " So on.", id=name))


CHANCES = {"resampling": AFTER, "forced": FORCED}


def accuracy(removed, kept):
    return kept[0] - removed[0]


def divergence(removed, kept):
    """Jensen–Shannon, in nats."""
    middle = (removed + kept) / 2
    return (removed * np.log(removed / middle) + kept * np.log(kept / middle)).sum() / 2


def arms(kind):
    """The true chances without and with each sentence."""
    chances = [np.array(CHANCES[kind][TRACE.prefix(i)]) for i in POSITIONS]
    return list(pairwise(chances))


def least(rate):
    """Repetitions that an interval which covers at `rate` covers at the least: three standard errors fewer."""
    return REPETITIONS * rate - 3 * np.sqrt(REPETITIONS * rate * (1 - rate))


@pytest.fixture(scope="module")
def repeated():
    """Independent resamplings: each one has numbers of its own."""
    settings = {"adapter": "openrouter", "api_key": "x", "use_cache": False, "progress_bar": False}
    with warnings.catch_warnings(), LoopbackServer(speak) as server:
        warnings.simplefilter("ignore", RolloutsWarning)
        with RolloutsClient("qwen/qwen3-30b-a3b", base_url=server.url, **settings) as client:
            yield [
                client.resample(TRACE, N, POSITIONS, forced=True, truth="3", seed=1000 * repetition)
                for repetition in range(REPETITIONS)
            ]


@pytest.mark.parametrize("kind", list(CHANCES))
def test_accuracies_lie_within_their_intervals_at_the_stated_rate(repeated, kind):
    tables = [importance(resampling, kind) for resampling in repeated]
    for k, (removed, kept) in enumerate(arms(kind)):
        true = accuracy(removed, kept)
        assert sum(table[k].low <= true <= table[k].high for table in tables) >= least(0.95)
        # Without bias: the mean of all repetitions, within four of its standard errors.
        error = np.sqrt((removed[0] * (1 - removed[0]) + kept[0] * (1 - kept[0])) / N / REPETITIONS)
        assert np.mean([table[k].value for table in tables]) == pytest.approx(true, abs=4 * error)
    assert sum(table[1].low > 0 for table in tables) > REPETITIONS * 0.8, "that the trick helps is seen nearly always"


@pytest.mark.parametrize("kind", list(CHANCES))
def test_divergences_lie_within_their_intervals_at_the_stated_rate(repeated, kind):
    tables = [importance(resampling, kind, "js") for resampling in repeated]
    for k, (removed, kept) in enumerate(arms(kind)):
        true = divergence(removed, kept)
        # Two points less than stated are granted to a bootstrap of arms of 30, which is exact for large ones only.
        assert sum(table[k].low <= true + 1e-12 and true <= table[k].high for table in tables) >= least(0.93)


def test_every_repetition_has_samples_of_its_own(repeated):
    ids = {response.response_id for resampling in repeated for arm in resampling.arms.values() for response in arm}
    assert len(ids) == REPETITIONS * len(POSITIONS) * N
