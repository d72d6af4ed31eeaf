"""A thought is opened and closed as the model that is asked does it, unless the user chose otherwise."""

from __future__ import annotations

import warnings

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import ConfigError, RolloutsWarning
from rollouts.hookspecs import hookimpl
from rollouts.resampling import Dialect, Trace
from rollouts.testing.replies import Reply, chat_reply
from rollouts.testing.server import LoopbackServer
from rollouts.typing import Parts, TemplateSpec

QWEN, MAGISTRAL = "qwen/qwen3-30b-a3b", "mistralai/magistral-small"
LEAD = "Therefore, the final answer is \\boxed{"


class Bars:
    """A template with the two methods of the Protocol and nothing else."""

    def open(self, thought):
        return "|think|" + thought

    def split(self, text, prefill):
        reasoning, mark, content = text.partition("|done|")
        return Parts(reasoning, content, bool(mark)) if prefill else Parts(None, text, True)


class BarsPlugin:
    """Offers it for the models of one vendor."""

    @hookimpl
    def rollouts_register_think_templates(self):
        return [TemplateSpec(name="bars", factory=Bars, description="bars", models=("vendor/*",))]


@pytest.fixture
def server():
    reply = Reply(json=chat_reply("So 3.", " Else now. End."))
    with LoopbackServer(lambda request: reply if "chat/completions" in request.path else None) as running:
        yield running


@pytest.fixture
def make(server, tmp_path):
    """Clients of one server."""
    clients = []

    def client(model, **settings):
        fixed = {"adapter": "openrouter", "base_url": server.url, "api_key": "x", "cache_dir": tmp_path}
        clients.append(RolloutsClient(model, **{**fixed, "progress_bar": False, **settings}))
        return clients[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RolloutsWarning)
        yield client
    for one in clients:
        one.close()


def turns(server):
    """The partial turns that were sent since the last look."""
    sent = {request.json()["messages"][-1]["content"] for request in server.requests if "chat" in request.path}
    server.reset()
    return sent


def test_a_trace_of_one_model_is_sent_to_another_with_the_others_marks(server, make):
    qwen, magistral = make(QWEN), make(MAGISTRAL)
    qwen.resample(magistral.trace("So 2. Then 3.", "Q?"), 1, 1, forced=True)
    assert turns(server) == {"<think>\nSo 2.", f"<think>\nSo 2.\n</think>\n\n{LEAD}"}
    magistral.resample(qwen.trace("So 2. Then 3.", "Q?"), 1, 1, forced=True)
    assert turns(server) == {"[THINK]So 2.", f"[THINK]So 2.[/THINK]{LEAD}"}
    magistral.resample(qwen.generate("Q?")[0], 1, 1, model=QWEN)
    assert turns(server) == {"Q?", "<think>\n Else now."}


def test_marks_that_the_user_chose_are_kept_whatever_the_model(server, make):
    for chosen in (Dialect("[THINK]", "[/THINK]"), Dialect()):
        trace = Trace.from_text("Q?", "So 2. Then 3.", dialect=chosen)
        for model in (QWEN, MAGISTRAL):
            make(model).resample(trace, 1, 1)
            assert turns(server) == {chosen.open + "So 2."}


def test_a_text_of_the_clients_model_is_split_at_that_models_marks(make):
    trace = make(MAGISTRAL).trace("[THINK]So 2. Then 3.[/THINK]It is 3.", "Q?")
    assert (trace.thought, trace.answer, trace.dialect) == ("So 2. Then 3.", "It is 3.", None)


def test_a_template_without_a_closing_mark_resamples_but_refuses_to_force(server, make):
    client = make("vendor/model", plugins=[BarsPlugin()])
    trace = Trace.from_text("Q?", "So 2. Then 3.")
    client.resample(trace, 1, 1)
    assert turns(server) == {"|think|So 2."}
    for ask in (
        lambda: client.resample(trace, 1, 1, forced=True),
        lambda: client.plan_resample(trace, 1, 1, forced=True),
        lambda: client.force_answer(trace),
    ):
        with pytest.raises(ConfigError, match="attribute `closing`"):
            ask()
    assert turns(server) == set()
    assert Dialect.of(Bars()).close is None
    chosen = Trace.from_text("Q?", "So 2. Then 3.", dialect=Dialect("|think|", "|done|"))
    client.force_answer(chosen, 1)
    assert turns(server) == {f"|think|So 2.|done|{LEAD}"}


@pytest.mark.parametrize("model", [QWEN, MAGISTRAL, "vendor/other"])
@pytest.mark.parametrize("thought", ["", "So 2.", "So 2.</think>Yes"])
def test_a_traces_prompt_is_the_same_request_as_the_text_that_opens_its_thought(make, model, thought):
    client = make(model, system="Be short.")
    trace = client.trace("So 2. Then 3.", "Q?")
    close = {MAGISTRAL: "[/THINK]"}.get(model, "</think>")
    by_text = client.explain(f"Q?\n<think>\n{thought}")
    by_trace = client.explain(trace.prompt_after(thought.replace("</think>", close)))
    assert by_trace.fingerprint == by_text.fingerprint
    assert by_trace.place == by_text.place


@pytest.mark.parametrize("question", ["What is 1+2? \n", "What does the tag <think> do?", " What? "])
def test_a_sample_is_resampled_under_the_question_that_it_was_asked(server, make, question):
    messages = [{"role": "user", "content": question}]
    client = make(QWEN)
    client.resample(client.generate(messages)[0], 1, 0)
    assert [request.json()["messages"][0] for request in server.requests if "chat" in request.path] == messages * 2
