"""`rollouts generate` as typed: a real child process, a real server, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from rollouts.testing.replies import default_reply
from rollouts.testing.server import LoopbackServer, Reply

LINES = '{"prompt":"2+2?","id":7,"seed":"mine"}\n{"prompt":"3+3?","id":8}\n'


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


@pytest.fixture
def start(server):
    """Starts `rollouts` against the server."""

    def begin(*arguments: str, **options) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "OPENROUTER_BASE_URL": server.url,
            "OPENROUTER_API_KEY": "sk-canary",
            "ROLLOUTS_MAX_RETRIES": "0",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "rollouts", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )

    return begin


def finished(child, text: str = "") -> tuple[int, str, str]:
    out, err = child.communicate(text, timeout=60)
    return child.returncode, out, err


def test_lines_in_give_lines_out_with_their_columns(server, start):
    command = ("generate", "-", "-n", "3", "--model", "a/b", "--jsonl")
    code, out, err = finished(start(*command), LINES)
    rows = [json.loads(line) for line in out.splitlines()]

    assert code == 0, err
    assert [(r["id"], r["prompt"], r["seed"]) for r in rows] == [
        (i, p, s) for i, p in [(7, "2+2?"), (8, "3+3?")] for s in range(3)
    ]
    assert rows[0]["input_seed"] == "mine"
    assert "6 asked" in err
    again = finished(start(*command), LINES)
    assert len(server.requests) == 6
    assert [json.loads(line)["content"] for line in again[1].splitlines()] == [r["content"] for r in rows]
    assert "0 asked, 6 cached" in again[2]


def test_killed_half_way_it_asks_for_the_rest_only(server, start):
    server.reply = lambda request: Reply(delay=60) if request.json()["seed"] >= 4 else None
    command = ("generate", "Hello", "-n", "8", "--model", "a/b", "--jsonl", "--unordered")
    child = start(*command)
    got = [json.loads(child.stdout.readline())["seed"] for _ in range(4)]
    child.send_signal(signal.SIGKILL)
    with child:
        child.communicate()
    server.reply = None
    server.reset()
    code, out, _ = finished(start(*command))

    assert code == 0
    assert sorted(got) == [0, 1, 2, 3]
    assert sorted(request.json()["seed"] for request in server.requests) == [4, 5, 6, 7]
    assert len(out.splitlines()) == 8


def test_one_prompt_prints_its_answer_alone(start):
    code, out, err = finished(start("generate", "Hello", "--model", "a/b", "--quiet"))
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("Sample 0: Four.")


def test_text_is_read_from_standard_input(server, start):
    finished(start("generate", "-", "--model", "a/b"), "What is\n2+2?\n")
    assert server.requests[0].json()["messages"][0]["content"] == "What is\n2+2?"


def test_settings_are_options(server, start):
    arguments = ["--temperature", "0.5", "--stop", '["a"]', "--provider", '{"only": ["x"]}', "--cache-dir", "there"]
    code, _, err = finished(start("generate", "Hello", "--model", "a/b", *arguments))
    body = server.requests[0].json()

    assert code == 0, err
    assert (body["temperature"], body["stop"], body["provider"]) == (0.5, ["a"], {"only": ["x"]})


def test_a_sample_without_answer_is_a_line_and_an_exit_code(server, start):
    server.reply = lambda request: Reply(status=500) if request.json()["seed"] == 1 else None
    code, out, err = finished(start("generate", "Hello", "-n", "3", "--model", "a/b", "--json"))
    rows = json.loads(out)

    assert code == 1
    assert [row["failure"] for row in rows] == [None, "failed", None]
    assert "ServerError" in rows[1]["error"]
    assert "1 failed" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["generate", "--model", "a/b"], "one prompt"),
        (["generate", "Hello"], "model"),
        (["generate", "Hello", "--model", "a/b", "--temperature", "9"], "temperature"),
        (["generate", "Hello", "--model", "a/b", "-n", "0"], "n_samples"),
        (["generate", "--file", "nowhere.txt", "--model", "a/b"], "nowhere.txt"),
        (["generate", "-", "--input", "jsonl", "--model", "a/b"], "line 1"),
    ],
)
def test_wrong_use_is_told_and_nothing_is_sent(server, start, arguments, text):
    code, out, err = finished(start(*arguments), "no json\n")

    assert code == 2
    assert text in err
    assert out == ""
    assert server.requests == []
    assert "Traceback" not in err


def test_a_wrong_key_is_one_line(server, start):
    server.reply = lambda request: Reply(status=401, json={"error": {"code": 401, "message": "No"}})
    code, _, err = finished(start("generate", "Hello", "-n", "5", "--model", "a/b"))

    assert code == 1
    assert "AuthenticationError" in err or "401" in err
    assert "canary" not in err
    assert "Traceback" not in err


def test_ctrl_c_ends_with_130_and_keeps_what_was_answered(server, start):
    server.reply = lambda request: (
        Reply(status=200, json=default_reply(request).json, delay=60) if request.json()["seed"] else None
    )
    child = start("generate", "Hello", "-n", "3", "--model", "a/b", "--jsonl")
    child.stdout.readline()
    server.wait_for(3)
    child.send_signal(signal.SIGINT)
    time.sleep(0.5)  # two signals at once would be one
    child.send_signal(signal.SIGINT)
    code, _, err = finished(child)

    assert code == 130
    assert "Traceback" not in err


def test_a_closed_pipe_is_no_error(server, start):
    child = start("generate", "-", "--model", "a/b", "--jsonl")
    child.stdin.write("".join(f'{{"prompt": "number {i}"}}\n' for i in range(500)))
    child.stdin.close()
    child.stdout.readline()
    child.stdout.close()
    with child.stderr:
        err = child.stderr.read()
    child.wait(30)

    assert child.returncode == 0
    assert "Traceback" not in err
