"""Effects, labels, figures, the page, exports and the command."""

from __future__ import annotations

import argparse
import io
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
    label,
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
from rollouts_anchors.command import add, report
from rollouts_anchors.wordpiece import token_ids

from rollouts import RolloutsClient
from rollouts.exceptions import ConfigError, MalformedResponse, PluginError
from rollouts.resampling import Resampling, Trace
from rollouts.results import Response, Rollouts
from rollouts.testing import LoopbackServer
from rollouts.testing.replies import Reply, chat_reply

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


# ── Labels ──


def answering(text):
    def ask(prompts, n_samples, *, seed, **settings):
        ask.settings, ask.prompt = settings, prompts[0]
        return [Rollouts((Response(text),) if text is not None else ())]

    return ask


def test_labels_come_from_one_question_and_bad_ones_are_unknown():
    ask = answering(
        'Sure: ```json\n{"0": {"function_tags": ["problem_setup", "x"], "depends_on": []}, '
        '"1": {"function_tags": "plan", "depends_on": ["0", 2, "y"]}}\n```'
    )
    labels = label(ask, TRACE, max_tokens=100)
    assert [one.kind for one in labels] == ["problem_setup", "unknown", "unknown"]
    assert labels[1].depends_on == (0,)
    assert ask.settings == {"temperature": 0, "max_tokens": 100}
    assert "[1] Use " in ask.prompt


@pytest.mark.parametrize("text", ["no json", "[1]", None, "{broken"])
def test_an_answer_without_labels_is_an_error(text):
    with pytest.raises(MalformedResponse, match="labelling model"):
        label(answering(text), TRACE)


def test_labels_must_fit_the_trace():
    with pytest.raises(ConfigError, match="1 labels for 3 sentences"):
        html_page(resampling(), importance(resampling()), labels=[Label("unknown")])


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


# ── The command ──


def answer(request):
    """As a service that is always right; every answer has its own id."""
    if "chat/completions" not in request.path:
        return None
    body = request.json()
    thought = " Two is." if body["messages"][-1]["role"] == "assistant" else "One is. Two is."
    return Reply(json=chat_reply("\\boxed{3}", thought, id=f"gen-{body['seed']}-{len(request.body)}"))


@pytest.fixture
def client():
    with LoopbackServer(answer) as server:
        settings = {"base_url": server.url, "api_key": "x", "progress_bar": False, "provider": {"only": ["loopback"]}}
        with RolloutsClient("qwen/qwen3-30b-a3b", adapter="openrouter", **settings) as opened:
            yield opened


def arguments(*given):
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    return parser.parse_args(["anchors", "What?", "--model", "m", *given])


def test_the_command_samples_resamples_and_writes_everything(client, tmp_path):
    out = io.StringIO()
    page, table, site = tmp_path / "a.html", tmp_path / "a.jsonl", tmp_path / "site"
    given = ("--truth", "3", "--similarity", "words", "--html", page, "--jsonl", table, "--site", site, "-n", "4")
    assert report(client, arguments(*map(str, given)), out) == 0
    assert "8 continuations of 2 prefixes" in out.getvalue()
    assert "<svg" in page.read_text()
    assert len(table.read_text().splitlines()) == 3
    assert len(list(site.iterdir())) == 3


def test_the_command_can_say_the_plan_alone(client):
    out = io.StringIO()
    assert report(client, arguments("--plan"), out) == 0
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "given", [["--kind", "counterfactual"], ["--site", "x"], ["--metric", "accuracy"], ["--similarity", "bert"]]
)
def test_the_command_refuses_before_sampling_what_it_cannot_compute(given):
    with pytest.raises(ConfigError):
        report(None, arguments(*given))


def test_the_plugin_is_found_and_imports_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, rollouts_anchors.plugin as p; specs = p.rollouts_register_commands(); "
        "assert [s.name for s in specs] == ['anchors']; print(sorted({'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
