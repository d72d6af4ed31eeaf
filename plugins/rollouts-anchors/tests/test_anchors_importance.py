"""Importances: signs, arms, what is missing, the published code's way, and a model whose importances are known."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from rollouts_anchors import counterfactual_pp, importance

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling, Resilience, Trace, resample
from rollouts.results import Failure, Response, Rollouts

TRACE = Trace.from_text("Q", "Start here. Use the trick. So three.")


def box(answer, first="Start here."):
    return f"{first} More.</think>\\boxed{{{answer}}}"


def arms(*shares, n=20, firsts=None):
    """One arm for each share of right answers."""
    texts = {}
    for i, share in enumerate(shares):
        right = round(share * n)
        first = (firsts or {}).get(i, TRACE.sentence(min(i, len(TRACE) - 1)))
        texts[i] = [box(3, first)] * right + [box(4, first)] * (n - right)
    return texts


def exact(sentences):
    """Equal sentences have cosine 1, others 0."""
    known = [s if s in TRACE.pieces else "other" for s in sentences]
    return np.array([[float(s == name) for name in (*TRACE.pieces, "other")] for s in known])


def test_a_positive_accuracy_means_that_keeping_the_sentence_helps():
    table = importance(Resampling.from_texts(TRACE, arms(0.5, 0.7, 0.4, 0.9), truth="3"))
    assert table.values == pytest.approx([0.2, -0.3, 0.5])
    assert "positive: keeping it helps" in table.meaning
    assert all(row.low <= row.value <= row.high for row in table)
    assert [(row.n_kept, row.n_removed) for row in table] == [(20, 20)] * 3
    assert (table[0].accuracy_kept, table[0].accuracy_removed) == (0.7, 0.5)


def test_the_last_sentence_has_no_kept_arm_and_says_so():
    last = importance(Resampling.from_texts(TRACE, arms(0.5, 0.7, 0.4), truth="3"))[2]
    assert (last.value, last.low, last.high, last.n_kept) == (None, None, None, 0)
    assert "last sentence" in last.note


def test_kl_goes_from_removed_to_kept():
    table = importance(Resampling.from_texts(TRACE, arms(0.75, 0.5), truth="3"), metric="kl", smoothing=1e-12)
    assert table[0].value == pytest.approx(0.75 * log(1.5) + 0.25 * log(0.5), abs=1e-9)
    assert (table.smoothing, table.interval) == (1e-12, "bootstrap")


def test_a_divergence_needs_no_truth_and_an_accuracy_does():
    resampling = Resampling.from_texts(TRACE, arms(0.75, 0.5))
    assert importance(resampling, metric="tv")[0].value == pytest.approx(0.25)
    assert importance(resampling, metric="tv")[0].accuracy_kept is None
    with pytest.raises(ConfigError, match="truth"):
        importance(resampling)


def counterfactual_arms():
    same, other = TRACE.sentence(1), "Try something else."
    return {
        1: [box(3, same)] * 6 + [box(3, other)] * 3 + [box(4, other)] * 9,
        2: [box(3)] * 8 + [box(4)] * 2,
    }


def test_the_counterfactual_arm_is_the_samples_with_a_different_sentence():
    resampling = Resampling.from_texts(TRACE, counterfactual_arms(), truth="3")
    row = importance(resampling, "counterfactual", similarity=exact)[1]
    assert row.value == pytest.approx(0.8 - 3 / 12)
    assert (row.n_different, row.n_removed, row.n_kept) == (12, 18, 10)
    assert row.different_fraction == pytest.approx(12 / 18)
    assert row.overdeterminedness == pytest.approx(1 - 2 / 18)


def test_the_published_way_has_the_other_sign_the_union_arm_and_zero_for_missing():
    resampling = Resampling.from_texts(TRACE, counterfactual_arms(), truth="3")
    table = importance(resampling, "counterfactual", similarity=exact, compat="thought-anchors")
    assert table[1].value == pytest.approx(3 / 12 - 0.8)
    assert [table[0].value, table[2].value] == [0.0, 0.0]
    assert "published sign" in table.meaning
    kl = importance(resampling, "counterfactual", "kl", similarity=exact, compat="thought-anchors")
    p, q = 3 / 12, (8 + 6) / (10 + 6)
    assert kl[1].value == pytest.approx(p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)), abs=1e-6)
    assert kl.smoothing == 1e-9


def test_too_few_different_samples_give_no_value_but_their_number():
    resampling = Resampling.from_texts(TRACE, counterfactual_arms(), truth="3")
    row = importance(resampling, "counterfactual", similarity=exact, min_different=13)[1]
    assert (row.value, row.n_different) == (None, 12)
    assert row.note == "12 of the 13 different samples needed"


def test_forced_importance_uses_the_forced_arms():
    resampling = Resampling.from_texts(TRACE, arms(0.5, 0.5), forced={0: ["4}"] * 4, 1: ["3}"] * 3 + ["4}"]}, truth="3")
    assert importance(resampling, "forced")[0].value == pytest.approx(0.75)
    with pytest.raises(ConfigError, match="forced=True"):
        importance(Resampling.from_texts(TRACE, arms(0.5, 0.5), truth="3"), "forced")


def test_equal_arms_have_importance_zero_inside_the_interval():
    resampling = Resampling.from_texts(TRACE, arms(1, 1, 1, 1), truth="3")
    for metric in ("accuracy", "kl", "tv", "js"):
        for row in importance(resampling, metric=metric):
            assert row.value == pytest.approx(0)
            assert row.low <= 0 <= row.high


def test_one_sample_gives_a_wide_honest_interval():
    row = importance(Resampling.from_texts(TRACE, arms(1, 0, n=1), truth="3"))[0]
    assert row.value == -1
    assert row.low == -1
    assert row.high > 0


def test_one_sentence_gives_one_row():
    trace = Trace.from_text("Q", "Only this.")
    table = importance(Resampling.from_texts(trace, {0: [box(3)], 1: [box(3)]}, truth="3"))
    assert table.values == [0.0]


def test_answers_that_are_nowhere_found_give_no_value_and_are_counted():
    resampling = Resampling.from_texts(TRACE, {0: ["none"] * 3, 1: ["none"] * 4}, truth="3")
    row = importance(resampling)[0]
    assert (row.value, row.n_kept, row.n_removed, row.n_uncounted) == (None, 0, 0, 7)
    assert "no counted answer" in row.note
    wrong = importance(resampling.judged(policy="wrong"))[0]
    assert (wrong.value, wrong.n_kept, wrong.n_uncounted) == (0.0, 4, 0)


def test_failed_samples_count_by_the_policy_and_never_as_similar_or_different():
    answered = Response("\\boxed{4}", "Other. More.", completed_reasoning=True)
    slots = (*[answered] * 6, Failure("failed"))
    resampling = Resampling(TRACE, {0: Rollouts(slots), 1: Rollouts(slots)}).judged(truth="3")
    row = importance(resampling, "counterfactual", similarity=exact)[0]
    assert (row.n_different, row.n_removed, row.different_fraction) == (6, 6, 1.0)
    assert importance(resampling.judged(policy="own"), metric="js")[0].n_removed == 7


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "counterfactual"}, "similarity"),
        ({"kind": "other"}, "kind"),
        ({"metric": "other"}, "metric"),
        ({"metric": "kl", "smoothing": 0}, "infinite"),
        ({"metric": "kl", "interval": "newcombe"}, "interval"),
        ({"confidence": 1}, "confidence"),
        ({"compat": "paper"}, "thought-anchors"),
        ({"similarity": "bert"}, "minilm"),
        ({"similarity": lambda s: np.full((len(s), 2), np.nan)}, "finite"),
        ({"threshold": 80}, "threshold=80"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"min_different": -3}, "min_different=-3"),
        ({"min_different": 0}, "at least one"),
        ({"smoothing": -1}, "not negative"),
        ({"n_boot": 1}, "n_boot=1"),
    ],
)
def test_what_cannot_be_computed_is_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        importance(Resampling.from_texts(TRACE, arms(0.5, 0.5), truth="3"), **options)


@pytest.mark.parametrize("sentence", ["Start here.", "Let me take three of them now."])
@pytest.mark.parametrize("similarity", ["words", lambda sentences: [[0.1, 0.2, 0.3]] * len(sentences)])
def test_equal_sentences_are_similar_at_any_threshold(sentence, similarity):
    trace = Trace.from_text("Q", f"{sentence} So three.")
    resampling = Resampling.from_texts(trace, {i: [box(3, sentence)] * 6 for i in (0, 1)}, truth="3")
    row = importance(resampling, "counterfactual", similarity=similarity, threshold=1)[0]
    assert (row.different_fraction, row.n_different) == (0, 0)


def test_nothing_sampled_is_refused():
    with pytest.raises(ConfigError, match="nothing was sampled"):
        importance(Resampling.from_texts(TRACE, {}, truth="3"))


def test_counterfactual_pp_compares_with_the_samples_where_it_stays_away():
    resampling = Resampling.from_texts(TRACE, arms(0.5, 0.8), truth="3")
    finals = Resampling.from_texts(TRACE, {0: [box(3)] * 2 + [box(4)] * 8}).arms[0]
    result = Resilience(0, 0.8, 5, (1,) * 10, (True,) * 9 + (False,), finals, 10)
    (row,) = counterfactual_pp(resampling, [result])
    assert row.value == pytest.approx(0.8 - 2 / 9)
    assert row.n_removed == 9


def test_the_table_prints_and_exports(tmp_path):
    import json

    table = importance(Resampling.from_texts(TRACE, arms(0.5, 0.7, 0.4), truth="3"))
    assert "+0.200" in str(table)
    assert table.top(1)[0].position == 1
    lines = [json.loads(line) for line in table.write_jsonl(tmp_path / "t.jsonl").read_text().splitlines()]
    assert lines[0]["about"]["kind"] == "resampling"
    assert [line["position"] for line in lines[1:]] == [0, 1, 2]
    assert lines[3]["value"] is None


def test_the_data_frame_has_a_row_a_sentence():
    pytest.importorskip("pandas")
    frame = importance(Resampling.from_texts(TRACE, arms(0.5, 0.7, 0.4), truth="3")).to_frame()
    assert list(frame.index) == [0, 1, 2]
    assert frame["value"].isna().tolist() == [False, False, True]
    assert frame.attrs["interval"] == "newcombe"


# ── A model whose importances are known by construction ──

RIGHT = (0.4, 0.6, 0.5, 0.5)
"""Chance of a right answer when the thought has 0, 1, 2 or all 3 of the sentences."""


class Known:
    """Its answer depends on the sentences in the prompt; half its first sentences are the trace's own."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, prompts, n_samples, *, seed, **settings):
        out = []
        for prompt in prompts:
            had = sum(sentence in prompt[-1]["content"] for sentence in TRACE.pieces)
            says = self.rng.random(n_samples) < 0.5
            chance = np.where(says, RIGHT[min(had + 1, 3)], 2 * RIGHT[had] - RIGHT[min(had + 1, 3)])
            right = self.rng.random(n_samples) < chance
            first = TRACE.sentence(min(had, 2))
            out.append(
                Rollouts(
                    tuple(
                        Response(
                            "\\boxed{3}" if good else "\\boxed{4}",
                            f" {first if said else 'Something else.'}",
                            "stop",
                            completed_reasoning=True,
                            seed=seed + k,
                        )
                        for k, (good, said) in enumerate(zip(right, says, strict=True))
                    ),
                    prompt=prompt,
                )
            )
        return out


RIGHT_IF_OTHER = tuple(2 * RIGHT[i] - RIGHT[min(i + 1, 3)] for i in range(3))
TRUE = {
    "resampling": [RIGHT[i + 1] - RIGHT[i] for i in range(3)],
    "counterfactual": [RIGHT[i + 1] - RIGHT_IF_OTHER[i] for i in range(3)],
}


def test_the_known_model_is_consistent():
    assert all(0 <= chance <= 1 for chance in RIGHT_IF_OTHER), RIGHT_IF_OTHER


def test_estimates_lie_within_their_intervals_at_the_stated_rate():
    covered = {"resampling": np.zeros(3), "counterfactual": np.zeros(3)}
    values = {kind: np.zeros(3) for kind in covered}
    for repetition in range(200):
        resampling = resample(Known(repetition), TRACE, 40, [0, 1, 2, 3], truth="3")
        for kind in covered:
            for row in importance(resampling, kind, similarity=exact):
                covered[kind][row.position] += row.low <= TRUE[kind][row.position] <= row.high
                values[kind][row.position] += row.value
    for kind in covered:
        # 95 % of 200, less three standard errors.
        assert (covered[kind] >= 200 * 0.95 - 3 * np.sqrt(200 * 0.95 * 0.05)).all(), (kind, covered[kind])
        assert values[kind] / 200 == pytest.approx(TRUE[kind], abs=0.04)
