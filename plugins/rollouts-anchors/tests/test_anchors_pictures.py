"""Effects, labels, figures, the page, exports and the command."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rollouts_anchors import (
    Embedder,
    Label,
    html_page,
    importance,
    plot_accuracy,
    plot_circle,
    plot_effects,
    plot_importance,
    plot_sentences,
    read_labels,
    sentence_effects,
    site_files,
    write_html,
    write_site_files,
)
from rollouts_anchors.wordpiece import token_ids

from rollouts.exceptions import ConfigError, PluginError
from rollouts.resampling import Resampling, Trace

EVIL = '<script>document.title="owned"</script><img src=x onerror=alert(1)>"\'&'
TRACE = Trace.from_text("Q " + EVIL, f"Start here. Use {EVIL} now. So three.")


def resampling(trace=TRACE, positions=3, forced=True) -> Resampling:
    texts = {}
    for i in range(positions):
        says = trace.sentence(2) if i else "Nothing else."
        right = f"{trace.sentence(min(i, 2))} {says}</think>\\boxed{{3}}"
        texts[i] = [right] * 6 + ["Else. End.</think>\\boxed{4}"] * 4
    return Resampling.from_texts(
        trace, texts, forced={0: ["3}"] * 3, 1: ["3}"] * 2 + ["4}"]} if forced else None, truth="3"
    )


# ── Effects ──


def test_an_effect_is_the_change_in_how_often_the_later_sentence_is_said():
    effects = sentence_effects(resampling(), "words")
    # Arm 0 never says sentence 2, arm 1 says it in 6 of 10 samples.
    assert effects.get(0, 2) == pytest.approx(0.6)
    assert effects.get(2, 0) is None
    assert effects.get(1, 1) is None
    assert [(link.source, link.target) for link in effects.links()] == [(0, 1), (0, 2)]


def test_effects_embed_each_sentence_once_and_in_batches(monkeypatch):
    monkeypatch.setattr("rollouts_anchors.effects.BATCH", 2)
    calls = []

    def embed(sentences):
        calls.append(list(sentences))
        return [[1.0, float(sentence == TRACE.sentence(2))] for sentence in sentences]

    data = resampling()
    effects = sentence_effects(data, embed, threshold=0.9)
    assert effects.get(0, 2) == pytest.approx(0.6)
    targets, *batches = calls
    assert targets == list(TRACE.pieces)
    assert max(map(len, batches)) == 2
    said = [sentence for batch in batches for sentence in batch]
    assert len(said) == len(set(said))


def test_equal_sentences_are_said_at_any_threshold():
    effects = sentence_effects(resampling(), "words", threshold=1)
    assert effects.get(0, 2) == pytest.approx(0.6)
    with pytest.raises(ConfigError, match="give a cosine"):
        sentence_effects(resampling(), "words", threshold=1.5)


def test_without_an_arm_there_is_no_effect():
    effects = sentence_effects(Resampling.from_texts(TRACE, {0: ["a. b."]}), "words")
    assert np.isnan(effects.matrix).all()
    with pytest.raises(ConfigError, match="nothing was sampled"):
        sentence_effects(Resampling.from_texts(TRACE, {}), "words")


def test_each_sentence_is_embedded_once():
    seen = []

    def embed(sentences):
        seen.extend(sentences)
        return np.ones((len(sentences), 2))

    embedder = Embedder(embed)
    assert embedder(["a", "b", "a", ""]).tolist()[3] == [0, 0]
    embedder(["b", "c"])
    assert seen == ["a", "b", "c"]
    assert embedder.similar("a", ["b"]) == pytest.approx([1.0])


# ── Figures ──


@pytest.mark.parametrize("positions", [1, 3])
def test_every_figure_draws_without_a_window_or_global_state(tmp_path, positions):
    import sys

    data = resampling(positions=positions)
    table, effects = importance(data), sentence_effects(data, "words")
    labels = read_labels('{"0": {"function_tags": ["self_checking"]}}', 3)
    figures = [
        plot_importance(table),
        plot_importance(table, labels),
        plot_accuracy(data),
        plot_circle(effects, table, labels),
        plot_circle(effects),
        plot_effects(effects),
    ]
    for k, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{k}.png", dpi=50)
        assert (tmp_path / f"{k}.png").stat().st_size > 1000
    assert "matplotlib.pyplot" not in sys.modules


def test_the_importance_figure_has_a_bar_for_each_value():
    table = importance(resampling())
    axes = plot_importance(table).axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == pytest.approx([v for v in table.values if v is not None])


def test_the_sentences_stand_beside_their_bars(tmp_path):
    trace = Trace.from_text("Q", "It costs $3 and $x_1$ here. Add them up. So three.")
    figure = plot_sentences(importance(resampling(trace)))
    (axes,) = figure.axes
    assert len(axes.patches) == 2
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        r"It costs \$3 and \$x_1\$ here.  0",
        "Add them up.  1",
        "So three.  2",
    ]
    figure.savefig(tmp_path / "sentences.png")


def test_an_accuracy_picture_needs_a_truth():
    with pytest.raises(ConfigError, match="truth"):
        plot_accuracy(Resampling.from_texts(TRACE, {0: ["a"]}))


# ── The page ──


def test_labels_must_fit_the_trace():
    with pytest.raises(ConfigError, match="1 labels for 3 sentences"):
        html_page(resampling(), importance(resampling()), labels=[Label("unknown")])


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.tips, self.policy = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.tips += [values["data-tip"]] if "data-tip" in values else []
        self.policy = values.get("content") or self.policy if tag == "meta" else self.policy
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs), attrs


def test_the_page_escapes_what_a_model_wrote_and_loads_nothing(tmp_path):
    data = resampling()
    path = write_html(
        tmp_path / "page.html", data, importance(data), effects=sentence_effects(data, "words"), title=EVIL
    )
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.tags.count("script") == 1
    assert "img" not in reader.tags
    assert text.count("<script") == 1
    assert "default-src 'none'" in reader.policy
    assert any(EVIL in tip and "importance" in tip for tip in reader.tips)
    assert "http" not in re.sub(r'http-equiv|xmlns="[^"]*"', "", text)


def test_the_policy_lets_only_the_pages_own_script_run():
    import base64
    import hashlib

    text = html_page(resampling(), importance(resampling()))
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


@pytest.mark.parametrize("options", [{"metric": "js"}, {"interval": "none"}, {"kind": "forced"}])
def test_the_page_shows_every_kind_of_table(options):
    data = resampling()
    assert "no value" in html_page(data, importance(data, **options))


def test_a_page_of_messages_and_no_values_is_still_a_page():
    trace = Trace.from_text([{"role": "user", "content": "Q"}], "One.")
    data = Resampling.from_texts(trace, {0: ["nothing"]}, truth="3")
    assert "last sentence" in html_page(data, importance(data))


# ── Exports ──


def test_the_visualisers_files_have_the_published_shape(tmp_path):
    labels = read_labels('{"1": {"function_tags": ["self_checking"], "depends_on": [0]}}', 3)
    files = site_files(resampling(), "words", labels=labels)
    for path in write_site_files(tmp_path / "new", files):
        assert json.loads(path.read_text()) == files[path.name]
    first = files["chunks_labeled.json"][0]
    assert set(first) == {
        "chunk",
        "chunk_idx",
        "function_tags",
        "depends_on",
        "accuracy",
        "resampling_importance_accuracy",
        "resampling_importance_kl",
        "counterfactual_importance_accuracy",
        "counterfactual_importance_kl",
        "forced_importance_accuracy",
        "forced_importance_kl",
        "different_trajectories_fraction",
        "overdeterminedness",
        "summary",
    }
    assert first["accuracy"] == 0.6
    assert files["chunks_labeled.json"][1]["depends_on"] == ["0"]
    assert len(files["chunks_resampled.json"]["0"]) == 10
    impacts = files["step_importance.json"][0]["target_impacts"]
    assert [impact["target_chunk_idx"] for impact in impacts] == [1, 2]
    assert files["summary.json"]["num_chunks"] == 3
    assert files["summary.json"]["top_influential_steps"][0]["step_text"] == first
    assert files["problem.json"]["problem"] == TRACE.question
    assert files["problem.json"]["gt_answer"] == "3"
    assert files["problem.json"]["nickname"].startswith("Q <script>")


def test_one_position_without_effects_has_an_empty_summary():
    files = site_files(Resampling.from_texts(TRACE, {1: ["a. b."]}, truth="3"), "words")
    assert files["summary.json"]["avg_importance"] == 0
    assert files["summary.json"]["top_dependent_steps"] == []


# ── The model's word pieces ──


def test_word_pieces_are_those_of_bert():
    # As the tokenizers library gives them for all-MiniLM-L6-v2.
    assert token_ids("Hello, world!") == [101, 7592, 1010, 2088, 999, 102]
    assert token_ids("") == [101, 102]
    assert token_ids("Ünï") == token_ids("uni")
    assert len(token_ids("word " * 1000)) == 256


def test_a_missing_model_names_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PluginError, match=r"rollouts-anchors\[embeddings\]"):
        importance(resampling(), similarity="minilm")
