"""`rollouts probe`: a line for each verdict, the same for programs, and its exit codes."""

from __future__ import annotations

import json
import re

import pytest

from rollouts.cli import main
from rollouts.testing import LoopbackServer, Reply, chat_reply


@pytest.fixture(autouse=True)
def _own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLOUTS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-canary")


def by_provider(request):
    body = request.json()
    if body["provider"]["only"] == ["bad"]:
        return Reply(json=chat_reply(content="50", reasoning="Okay, the user wants digits."))
    row = re.findall("[0-9]", body["messages"][-1]["content"])
    return Reply(json=chat_reply(content="", reasoning=" ".join(row[6:12]), finish_reason="length"))


def probe(server, *arguments):
    return main(["probe", "qwen/qwen3-8b", "--adapter", "openrouter", "--base-url", server.url, *arguments])


def test_a_table_has_a_line_for_each_verdict(capsys, tmp_path):
    with LoopbackServer(by_provider) as server:
        code = probe(server, "--provider", "good", "--provider", "bad", "--trials", "2")
        sent = len(server.requests)
    out, err = capsys.readouterr()
    head, good, bad = out.splitlines()
    assert head.split()[:3] == ["way", "provider", "verdict"]
    assert re.split(r" {2,}", good) == [
        "assistant", "good", "yes", "reasoning", "no", "no", "2 of 2 continued: the missing digits followed",
    ]  # fmt: skip
    assert re.split(r" {2,}", bad)[:3] == ["assistant", "bad", "no"]
    assert str(tmp_path / "state") in err
    assert (code, sent) == (0, 4)


def test_json_tells_the_trials_too_and_no_way_is_exit_code_1(capsys):
    with LoopbackServer(by_provider) as server:
        code = probe(server, "--provider", "bad", "--json")
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["provider"], told["verdict"], len(told["trials"])) == ("bad", "no", 3)
    assert told["trials"][0]["provider"] == "Loopback"
    assert code == 1


def test_wrong_use_is_exit_code_2_and_says_what_there_is(capsys):
    with LoopbackServer() as server:
        assert probe(server, "--way", "prefix") == 2
        assert server.requests == []
    assert "it offers: assistant" in capsys.readouterr().err


@pytest.mark.local_model
def test_the_local_model_gets_a_verdict_for_each_way(capsys, local_model):
    code = main(["probe", "local/smollm2-135m-instruct", "--trials", "1"])
    found = {line.split()[0]: line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]}
    assert list(found) == ["assistant", "reasoning", "completion"]
    # Its stock template has no place for reasoning. In the other ways so small a model may err in one trial.
    assert found.pop("reasoning") == "no"
    assert set(found.values()) <= {"yes", "unknown"}
    assert code == ("yes" not in found.values())
