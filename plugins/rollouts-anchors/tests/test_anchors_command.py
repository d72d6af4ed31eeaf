"""`rollouts anchors`: what it asks, writes and refuses."""

from __future__ import annotations

import argparse
import io
import json
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from rollouts_anchors.command import add, report, run

from rollouts import RolloutsClient
from rollouts.exceptions import BudgetExceeded, ConfigError
from rollouts.results import Response, Rollouts
from rollouts.results.totals import Totals
from rollouts.testing import LoopbackServer
from rollouts.testing.replies import Reply, chat_reply


def answer(request):
    """As a service that is always right; every answer has its own id."""
    if "chat/completions" not in request.path:
        return None
    body = request.json()
    thought = " Two is." if body["messages"][-1]["role"] == "assistant" else "One is. Two is."
    return Reply(json=chat_reply("\\boxed{3}", thought, id=f"gen-{body['seed']}-{len(request.body)}"))


@pytest.fixture
def server():
    with LoopbackServer(answer) as opened:
        yield opened


@pytest.fixture
def make(server):
    """Clients of one server and one cache."""
    settings = {"base_url": server.url, "api_key": "x", "progress_bar": False, "provider": {"only": ["loopback"]}}
    with ExitStack() as opened:
        yield lambda: opened.enter_context(RolloutsClient("qwen/qwen3-30b-a3b", adapter="openrouter", **settings))


@pytest.fixture
def client(make):
    return make()


@pytest.fixture
def clients(make):
    """One that samples, one that labels."""
    return make(), make()


@pytest.fixture
def paid(server):
    """Takes a cent for each answer, labels too."""

    def reply(request):
        if "chat/completions" not in request.path:
            return None
        labels = b"numbered sentences" in request.body
        body = chat_reply('{"0": {"function_tags": ["self_checking"]}}') if labels else answer(request).json
        body["usage"]["cost"] = 0.01
        return Reply(json=body)

    server.reply = reply
    return server


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
    assert len(list(site.iterdir())) == 5


def test_the_command_can_say_the_plan_alone(client):
    out = io.StringIO()
    assert report(client, arguments("--plan"), out) == 0
    assert out.getvalue().count("\n") == 1


def test_the_command_adds_labels_and_forced_answers_where_they_are_asked_for(client, tmp_path):
    asked = []

    def ask(prompts, n_samples, *, seed, **settings):
        asked.extend(prompts)
        text = '{"0": {"function_tags": ["problem_setup"]}, "1": {"function_tags": ["self_checking"]}}'
        return [Rollouts((Response(text),))]

    labeller = SimpleNamespace(generate_many=ask, usage=Totals())
    page, site = tmp_path / "a.html", tmp_path / "site"
    given = ["--truth", "3", "--similarity", "words", "--forced", "--html", page, "--site", site, "-n", "2"]
    assert report(client, arguments(*map(str, given)), io.StringIO(), labeller=labeller) == 0
    text = page.read_text()
    assert "problem setup" in text
    assert "forced answer" in text
    assert text.count("<svg") == 4
    chunks = json.loads((site / "chunks_labeled.json").read_text())
    assert [chunk["function_tags"] for chunk in chunks] == [["problem_setup"], ["self_checking"]]
    assert len(asked) == 1


def chats(server):
    return sum("chat/completions" in request.path for request in server.requests)


@pytest.mark.parametrize(
    ("limit", "told", "sent"),
    [
        ("0", r"--max-cost 0 does not suffice for the trace: \$0 are spent", 0),
        ("0.01", r"--max-cost 0.01 does not suffice for the labels: \$0.01 are spent", 1),
        ("0.025", r"--max-cost 0.025 does not suffice for the resampling: \$0.02 are spent", 2),
        ("0.05", r"--max-cost 0.05 does not suffice for the resampling: \$0.05 are spent", 5),
    ],
)
def test_max_cost_holds_for_trace_labels_and_resampling_together(paid, clients, limit, told, sent):
    client, labeller = clients
    with pytest.raises(BudgetExceeded, match=told):
        report(client, arguments("-n", "4", "--max-cost", limit), io.StringIO(), labeller=labeller)
    assert chats(paid) == sent


def test_what_is_cached_takes_nothing_of_max_cost(paid, clients, make):
    for client, labeller in (clients, (make(), make())):
        assert report(client, arguments("-n", "4", "--max-cost", "0.1"), io.StringIO(), labeller=labeller) == 0
    client, labeller = make(), make()
    assert report(client, arguments("-n", "4", "--max-cost", "0"), io.StringIO(), labeller=labeller) == 0
    assert chats(paid) == 10


def test_a_sample_without_thought_is_told_with_what_a_shell_can_do(client, server):
    server.reply = lambda request: Reply(json=chat_reply("\\boxed{3}", None))
    with pytest.raises(ConfigError, match="end the question with <think>") as caught:
        report(client, arguments(), io.StringIO())
    assert "from_text" not in str(caught.value)


def test_the_labelling_model_gets_none_of_the_traces_settings(monkeypatch, tmp_path):
    made = []

    class Client:
        generate_many = None

        def __init__(self, model, **settings):
            made.append((model, settings))

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

    monkeypatch.setattr("rollouts.RolloutsClient", Client)
    monkeypatch.setattr("rollouts_anchors.command.report", lambda *_, **__: 0)
    given = ["--labels", "other", "--adapter", "openai", "--max-tokens", "40", "--temperature", "1", "--provider", "p"]
    assert run(arguments(*given)) == 0
    own = {"adapter": "openai", "max_tokens": 40, "temperature": 1.0, "provider": {"only": ["p"]}}
    assert made == [("m", own), ("other", {"adapter": "openai"})]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["--kind", "counterfactual"], "similarity"),
        (["--site", "x"], "truth"),
        (["--metric", "accuracy"], "truth"),
        (["--similarity", "bert"], "minilm"),
        (["--extract", "boxd"], "boxd"),
        (["--style", "bogus"], "bogus"),
        (["-n", "0"], "-n 0"),
        (["--html", "{}/none/a.html"], "none does not exist"),
        (["--jsonl", "{}/none/a.jsonl"], "none does not exist"),
        (["--html", "{}"], "is a folder"),
        (["--html", "{}/file/a.html"], "file is no folder"),
        (["--site", "{}/file/site", "--truth", "3", "--similarity", "words"], "file is no folder"),
    ],
)
def test_the_command_refuses_before_sampling_what_it_cannot_do(client, server, tmp_path, given, match):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=match):
        report(client, arguments(*(part.format(tmp_path) for part in given)), io.StringIO())
    assert not [request for request in server.requests if "chat/completions" in request.path]
    assert (tmp_path / "file").read_text() == "x"


def test_the_plugin_is_found_and_imports_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, rollouts_anchors.plugin as p; specs = p.rollouts_register_commands(); "
        "assert [s.name for s in specs] == ['anchors']; print(sorted({'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
