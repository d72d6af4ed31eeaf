"""Labels: what is asked, and what is made of any answer."""

from __future__ import annotations

import re

import pytest
from rollouts_anchors import Label, counterfactual_pp, html_page, label, plot_importance, plot_sentences, read_labels

from rollouts import RolloutsClient
from rollouts.exceptions import ConfigError, MalformedResponse
from rollouts.resampling import Resampling, Resilience, Trace
from rollouts.results import Response, Rollouts
from rollouts.testing import LoopbackServer
from rollouts.testing.replies import Reply, chat_reply

TRACE = Trace.from_text("Q", "Start here. Use this now. So three.")


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
    assert ask.prompt[0]["role"] == "user"
    assert "[1] Use " in ask.prompt[0]["content"]


@pytest.mark.parametrize(
    "text", ["no json", "[1]", None, "{broken", "{}", '{"0": {"function_tags": ["self_checking"]}, "1": {"function_t']
)
def test_an_answer_without_labels_is_an_error(text):
    with pytest.raises(MalformedResponse, match="labelling model"):
        label(answering(text), TRACE)


def test_a_tag_in_the_thought_or_the_question_is_text_to_the_labelling_model():
    trace = Trace("What does <think> mean?", "Say <think> first. Then </think> ends it.")

    def answer(request):
        text = '{"0": {"function_tags": ["fact_retrieval"]}}'
        return Reply(json=chat_reply(text)) if request.path.endswith("/chat/completions") else None

    with LoopbackServer(answer) as server:
        settings = {"base_url": server.url, "api_key": "x", "progress_bar": False, "use_cache": False}
        with RolloutsClient("openai/gpt-4o", adapter="openrouter", **settings) as client:
            labels = label(client.generate_many, trace)
        (sent,) = [r.json()["messages"] for r in server.requests if r.path.endswith("/chat/completions")]
    assert [message["role"] for message in sent] == ["user"]
    assert "What does <think> mean?" in sent[0]["content"]
    assert "[1] Then </think> ends it." in sent[0]["content"]
    assert labels[0].kind == "fact_retrieval"


@pytest.mark.parametrize(
    "entry",
    [
        '{"function_tags": [["plan_generation"]]}',
        '{"function_tags": [{"x": 1}], "depends_on": {"0": 1}}',
        '{"function_tags": "self_checking"}',
        '{"depends_on": [1e400, NaN, null, true, [], "x", -1]}',
        '["plan_generation"]',
        "null",
    ],
)
def test_an_entry_of_another_shape_is_unknown(entry):
    labels = read_labels(f'{{"0": {{"function_tags": ["self_checking"]}}, "1": {entry}}}', 2)
    assert labels == (Label("self_checking", ("self_checking",)), Label("unknown"))


@pytest.mark.parametrize(
    "text",
    [
        'See {x}: {"0": {"function_tags": ["self_checking"]}} Note: {y} {"z": 1}',
        '{"note": "{"} ```json\n{"0": {"function_tags": ["self_checking"]}}\n``` and {',
    ],
)
def test_notes_with_braces_around_the_labels_are_passed_over(text):
    assert read_labels(text, 1)[0].kind == "self_checking"


KINDS_OF_THREE = [Label("problem_setup"), Label("plan_generation"), Label("self_checking")]


def partial_table():
    """A table with a row of the last sentence alone, and its resampling."""
    text = "Start here. More.</think>\\boxed{3}"
    resampling = Resampling.from_texts(TRACE, {i: [text] * 9 for i in range(4)}, truth="3")
    gone = Resampling.from_texts(TRACE, {0: [text] * 2 + ["Else.</think>\\boxed{4}"] * 8}).arms[0]
    result = Resilience(2, 0.8, 5, (1,) * 10, (True,) * 10, gone, 10)
    return resampling, counterfactual_pp(resampling, [result])


def test_a_row_has_the_colour_of_its_own_sentence_whatever_rows_a_table_has():
    from matplotlib.colors import to_hex

    resampling, table = partial_table()
    orange = "#FF9800"
    page = html_page(resampling, table, labels=KINDS_OF_THREE)
    bars, thought = page.split("<h2>The thought</h2>")
    left = re.search(rf'<rect x="([0-9.]+)"[^>]*fill="{orange}"/>', bars)[1]
    assert float(left) > 2 / 3 * 900, "the last of three sentences stands in the last third"
    assert "negative" not in bars.partition("<body>")[2]
    assert "negative</span>" in thought
    for figure in (plot_importance(table, KINDS_OF_THREE), plot_sentences(table, KINDS_OF_THREE)):
        (axes,) = figure.axes
        assert [to_hex(patch.get_facecolor()) for patch in axes.patches] == [orange.lower()]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["self checking"]


def test_a_row_without_a_label_is_refused():
    _, table = partial_table()
    with pytest.raises(ConfigError, match="2 labels, but a row of sentence 2"):
        plot_importance(table, KINDS_OF_THREE[:2])
