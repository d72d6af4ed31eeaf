"""The adapter against the real model, over HTTP, without the client."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rollouts_local import weights
from rollouts_local.adapter import LocalAdapter
from rollouts_local.plugin import rollouts_register_adapters

from rollouts.exceptions import ConfigError, MalformedResponse, PluginError, UnknownSetting
from rollouts.results import Response
from rollouts.typing import AdapterOptions, Conversation, Parts, WireReply, WireRequest

QUESTION = ({"role": "user", "content": "What is 5*10?"},)


class Tags:
    """A think template as small as can be."""

    def open(self, thought: str) -> str:
        return f"<think>\n{thought}"

    def split(self, text: str, prefill: str | None) -> Parts:
        if prefill is None or "<think>" not in prefill:
            return Parts(None, text, True)
        reasoning, tag, content = text.partition("</think>")
        return Parts(reasoning, content, bool(tag))


@dataclass
class Asked:
    """The settings of a call."""

    model: str = "smollm2-135m-instruct"
    sampling: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    template: Tags = field(default_factory=Tags)
    require_prefill: bool = False


def make(**options: Any) -> LocalAdapter:
    return LocalAdapter(AdapterOptions(base_url="", options=options))


def encode(adapter: LocalAdapter, prefill: str | None = None, messages: Any = QUESTION, **sampling: Any) -> WireRequest:
    conversation = Conversation(tuple(messages), prefill, prefill and prefill.removeprefix("<think>\n"))
    return adapter.encode(conversation, Asked(sampling=sampling))


def send(adapter: LocalAdapter, request: WireRequest, seed: int = 0) -> WireReply:
    body = json.dumps({**request.body, str(request.seed_field): seed}).encode()
    call = urllib.request.Request(adapter.url(request), body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(call, timeout=120) as answer:
            return WireReply(answer.status, dict(answer.headers), answer.read(), 0.1)
    except urllib.error.HTTPError as error:
        with error:
            return WireReply(error.code, dict(error.headers), error.read(), 0.1)


def ask(adapter: LocalAdapter, request: WireRequest, seed: int = 0) -> Response:
    return adapter.decode(request, send(adapter, request, seed))


@pytest.fixture(scope="module")
def adapter(local_model: str) -> Iterator[LocalAdapter]:
    adapter = make()
    adapter.open()
    yield adapter
    adapter.close()


@pytest.mark.local_model
class TestAnswers:
    def test_an_injected_thought_is_continued_and_not_repeated(self, adapter: LocalAdapter) -> None:
        response = ask(adapter, encode(adapter, "<think>\n5*1", temperature=0, max_tokens=8))
        assert response.reasoning is not None
        assert response.reasoning.startswith("0")
        assert "<think>" not in response.full
        assert response.completed_reasoning is False
        assert response.thought == "5*1" + response.reasoning
        assert response.prefill == "<think>\n5*1"
        assert response.continued == "yes"
        assert response.raw["choices"][0]["message"]["content"] == "<think>\n5*1" + response.reasoning

    def test_a_rendered_prompt_is_continued_as_the_servers_own_layout_is(self, adapter: LocalAdapter) -> None:
        rendering = make(continuation="completion")
        for messages in (QUESTION, [{"role": "system", "content": "Be brief."}, *QUESTION]):
            asked = encode(adapter, "<think>\n5*1", messages, temperature=0, max_tokens=8)
            rendered = encode(rendering, "<think>\n5*1", messages, temperature=0, max_tokens=8)
            assert rendered.endpoint == "completions"
            assert ask(adapter, rendered).reasoning == ask(adapter, asked).reasoning

    def test_a_thought_in_the_reasoning_field_is_read_back(self, adapter: LocalAdapter) -> None:
        request = encode(make(continuation="reasoning"), "<think>\n5*1", temperature=0, max_tokens=8)
        assert request.body["messages"][-1] == {"role": "assistant", "content": "", "reasoning_content": "5*1"}
        # The stock template of this model has no place for it: a new turn, which is not passed off as more.
        response = ask(adapter, request)
        assert response.continued is None
        assert response.thought == "5*1" + (response.reasoning or "")

    @pytest.mark.parametrize("prefill", ["The answer", " The answer is ", "<think>\n", "Ünïcode — 5·10 = ", "a\n\n"])
    def test_every_prefill_is_taken_off_byte_for_byte(self, adapter: LocalAdapter, prefill: str) -> None:
        request = encode(adapter, prefill, temperature=0, max_tokens=5)
        response = ask(adapter, request)
        assert response.continued == "yes"
        assert response.raw["choices"][0]["message"]["content"] == prefill + response.full
        assert response.usage.completion_tokens is not None
        assert response.usage.completion_tokens <= 5

    def test_without_a_prefill_all_is_content(self, adapter: LocalAdapter) -> None:
        response = ask(adapter, encode(adapter, temperature=0, max_tokens=12))
        assert response.content.startswith("To calculate")
        assert (response.reasoning, response.prefill, response.continued, response.completed_reasoning) == (
            None, None, None, None,
        )  # fmt: skip
        assert response.finish_reason == "length"
        assert response.usage.completion_tokens == 12
        assert response.usage.cost is None
        assert response.model == "smollm2-135m-instruct"
        assert response.response_id

    def test_a_seed_gives_the_same_answer_in_parallel_as_alone_and_seeds_differ(self, adapter: LocalAdapter) -> None:
        request = encode(adapter, temperature=1.0, max_tokens=20)
        with ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda seed: ask(adapter, request, seed).content, range(12)))
        assert [ask(adapter, request, seed).content for seed in (0, 5, 11)] == [together[i] for i in (0, 5, 11)]
        assert len(set(together)) > 6

    def test_logprobs_speak_of_generated_tokens_only(self, adapter: LocalAdapter) -> None:
        response = ask(
            adapter, encode(adapter, "<think>\n5*1", temperature=0, max_tokens=3, logprobs=True, top_logprobs=2)
        )
        tokens = response.logprobs["content"]
        assert "".join(t["token"] for t in tokens) == response.full
        assert len(tokens) == 3
        assert all(len(t["top_logprobs"]) == 2 and t["logprob"] <= 0 for t in tokens)

    def test_a_stop_string_ends_the_answer(self, adapter: LocalAdapter) -> None:
        response = ask(adapter, encode(adapter, "<think>\n5*1", temperature=0, max_tokens=20, stop=["0"]))
        assert response.full == ""
        assert response.finish_reason == "stop"

    def test_repetition_penalty_reaches_the_model_under_its_own_name(self, adapter: LocalAdapter) -> None:
        reply = send(adapter, encode(adapter, max_tokens=2, repetition_penalty=-1.0))
        assert reply.status == 400
        assert "penalty_repeat" in reply.json()["error"]["message"]

    def test_a_prompt_longer_than_a_slot_is_a_bad_request(self, adapter: LocalAdapter) -> None:
        reply = send(adapter, encode(adapter, messages=[{"role": "user", "content": "hi " * 3000}]))
        assert reply.status == 400
        assert adapter.classify(reply) is None
        assert "exceeds the available context size (2048 tokens)" in reply.json()["error"]["message"]


class TestEncoding:
    def test_encoding_starts_nothing_and_leaves_the_address_open(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setenv(weights.DIRECTORY_VARIABLE, str(tmp_path / "nothing"))
        adapter = make()
        request = encode(adapter, "<think>\n5*1", temperature=0.5)
        assert request.url == ""
        assert request.endpoint == "chat/completions"
        assert request.seed_field == "seed"
        assert request.body["messages"][-1] == {"role": "assistant", "content": "<think>\n5*1"}
        assert adapter.service == f"local:{weights.SMOLLM2.sha256}"
        assert not (tmp_path / "nothing").exists()

    def test_a_file_of_ones_own_is_its_own_service(self, tmp_path: Path) -> None:
        (tmp_path / "a.gguf").write_bytes(b"a")
        (tmp_path / "b.gguf").write_bytes(b"b")
        services = {make(path=str(tmp_path / name)).service for name in ("a.gguf", "b.gguf")}
        assert len({*services, make().service}) == 3

    def test_a_file_that_is_not_there_is_told_when_it_is_needed(self, tmp_path: Path) -> None:
        adapter = make(path=tmp_path / "gone.gguf")
        request = encode(adapter)  # to replay from a cache takes no more
        with pytest.raises(ConfigError, match=r"gone\.gguf.*service="):
            _ = adapter.service
        with pytest.raises(ConfigError, match=r"gone\.gguf"):
            adapter.url(request)

    @pytest.mark.parametrize(
        ("name", "value"), [("provider", {"order": ["x"]}), ("reasoning", {"effort": "low"}), ("top_a", 0.5)]
    )
    def test_what_llama_cpp_would_ignore_is_refused(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigError, match=name):
            encode(make(), **{name: value})

    @pytest.mark.parametrize("name", ["n", "stream"])
    def test_what_would_break_the_reading_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match=name):
            make().encode(Conversation(QUESTION), Asked(extra_body={name: 2}))

    def test_what_else_llama_cpp_knows_passes(self) -> None:
        request = make().encode(Conversation(QUESTION), Asked(extra_body={"mirostat": 2}))
        assert request.body["mirostat"] == 2

    def test_an_unknown_model_lists_those_there_are(self) -> None:
        with pytest.raises(ConfigError, match="local/smollm2-135m-instruct"):
            make().encode(Conversation(QUESTION), Asked(model="gpt-5"))

    @pytest.mark.parametrize(
        "options",
        [{"slots": 0}, {"threads": True}, {"context": "2048"}, {"continuation": "prefix"}],
    )
    def test_options_that_cannot_be_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(options))):
            make(**options)

    def test_a_misspelt_option_names_the_nearest(self) -> None:
        with pytest.raises(UnknownSetting, match="Did you mean 'threads'"):
            make(thread=2)

    def test_a_base_url_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="openai-compatible"):
            LocalAdapter(AdapterOptions(base_url="http://127.0.0.1:8080"))

    def test_the_hook_offers_the_adapter(self) -> None:
        (spec,) = rollouts_register_adapters()
        assert (spec.name, spec.model_prefixes, spec.key_required) == ("local", ("local/",), False)
        assert isinstance(spec.factory(AdapterOptions(base_url="")), LocalAdapter)


def reply_of(body: Any, status: int = 200) -> WireReply:
    return WireReply(status, {}, json.dumps(body).encode() if not isinstance(body, bytes) else body)


class TestReplies:
    @pytest.mark.parametrize("body", [b"oops", [], {}, {"choices": []}, {"choices": [{"message": {"content": None}}]}])
    def test_what_is_no_completion_is_malformed(self, body: Any) -> None:
        adapter = make()
        with pytest.raises(MalformedResponse):
            adapter.decode(encode(adapter), reply_of(body))
        assert adapter.classify(reply_of(body)) is None

    def test_an_answer_ended_at_once_is_an_answer(self) -> None:
        empty = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
        outcome = make().classify(reply_of(empty))
        assert outcome is not None
        assert outcome.is_answer
        assert make().classify(reply_of(empty, status=500)) is None

    def test_a_text_that_does_not_repeat_the_prefill_is_kept_whole(self) -> None:
        adapter = make()
        body = {"choices": [{"message": {"content": "fifty"}, "finish_reason": "stop"}]}
        response = adapter.decode(encode(adapter, "The answer is "), reply_of(body))
        assert (response.content, response.continued) == ("fifty", None)


def running_servers() -> set[int]:
    """Serving processes that are children of this one."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"rollouts_local.helper" in entry.joinpath("cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def run_script(body: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `body` after the lines that make an open adapter, in a process of its own."""
    prelude = f"""
        import os, signal, sys, threading, urllib.request
        from rollouts.typing import AdapterOptions, WireRequest
        from rollouts_local.adapter import LocalAdapter

        def address(adapter):
            return adapter.url(WireRequest("", "models", {{}}, None, None, None))

        def reachable(url):
            try:
                return urllib.request.urlopen(url, timeout=30).status == 200
            except OSError:
                return False

        adapter = LocalAdapter(AdapterOptions(base_url="", options={options!r}))
        adapter.open()
        url = address(adapter)
        assert reachable(url)
        print(url, flush=True)
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def is_gone(url: str) -> bool:
    """Whether nobody listens any more, or stops within half a minute (a killed program cannot wait for its server)."""
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.recv(1)  # returns when the server ends
        except ConnectionRefusedError:
            return True
        except ConnectionError:
            continue
    return False


SMALL = {"slots": 1, "context": 256}
LONG = """
    import contextlib, json
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2000, "temperature": 1.5,
                       "ignore_eos": True, "stream": True})
    call = urllib.request.Request(url.replace("models", "chat/completions"), body.encode(),
                                  {"Content-Type": "application/json"})
    under_way = threading.Event()
    def long():
        with contextlib.suppress(Exception), urllib.request.urlopen(call) as answer:
            answer.read(1)
            under_way.set()
            answer.read()
    threading.Thread(target=long, daemon=True).start()
    under_way.wait()
"""


@pytest.mark.local_model
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this system")
class TestServer:
    def test_two_clients_share_a_server_which_the_last_one_stops(self, local_model: str) -> None:
        before = running_servers()
        first, second = make(**SMALL), make(**SMALL)
        first.open()
        first.open()
        second.open()
        request = encode(first)
        url = first.url(request)
        assert second.url(request) == url
        assert len(running_servers() - before) == 1
        first.close()
        first.close()
        assert send(second, encode(second, max_tokens=1)).status == 200
        second.close()
        assert running_servers() - before == set()
        assert is_gone(url)

    def test_other_options_are_another_server(self, local_model: str) -> None:
        before = running_servers()
        first, second = make(**SMALL), make(slots=2, context=256)
        first.open()
        second.open()
        assert len(running_servers() - before) == 2
        first.close()
        second.close()
        assert running_servers() - before == set()

    def test_many_threads_that_open_at_once_start_one_server(self, local_model: str) -> None:
        before = running_servers()
        adapters = [make(**SMALL) for _ in range(6)]
        barrier = threading.Barrier(6)

        def start(adapter: LocalAdapter) -> str:
            barrier.wait()
            adapter.open()
            return adapter.url(encode(adapter))

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(start, adapters))) == 1
        assert len(running_servers() - before) == 1
        for adapter in adapters:
            adapter.close()
        assert running_servers() - before == set()

    def test_a_server_that_was_killed_is_started_again(self, local_model: str) -> None:
        before = running_servers()
        adapter = make(**SMALL)
        adapter.open()
        (victim,) = running_servers() - before
        os.kill(victim, signal.SIGKILL)
        os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
        assert send(adapter, encode(adapter, max_tokens=1)).status == 200
        adapter.close()
        assert running_servers() - before == set()

    def test_a_file_that_is_no_model_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "mine.gguf").write_bytes(b"not a model")
        before = running_servers()
        with pytest.raises(PluginError, match=r"could not serve .*mine\.gguf"):
            make(path=tmp_path / "mine.gguf").open()
        assert running_servers() - before == set()

    def test_a_model_by_path_answers(self, local_model: str) -> None:
        path = weights.find(weights.SMOLLM2)
        adapter = make(path=path, **SMALL)
        assert adapter.service == f"local:{weights.SMOLLM2.sha256}"
        request = adapter.encode(Conversation(QUESTION), Asked(model="mine", sampling={"max_tokens": 2}))
        assert ask(adapter, request).usage.completion_tokens == 2
        adapter.close()

    @pytest.mark.parametrize(
        ("ending", "code"),
        [("", 0), ("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
        ids=["end", "exit", "kill -9"],
    )
    def test_a_program_that_ends_with_a_request_under_way_takes_its_server_along(
        self, local_model: str, ending: str, code: int
    ) -> None:
        done = run_script(textwrap.dedent(LONG) + ending, **SMALL)
        assert done.returncode == code, done.stderr
        assert done.stderr == ""
        assert is_gone(done.stdout.strip())

    def test_closing_with_a_request_under_way_does_not_wait_for_it(self, local_model: str) -> None:
        done = run_script(textwrap.dedent(LONG) + "adapter.close()\nassert not reachable(url)\nos._exit(7)", **SMALL)
        assert done.returncode == 7, done.stderr

    def test_a_forked_child_starts_its_own_and_leaves_its_parents_alone(self, local_model: str) -> None:
        done = run_script(
            """
            child = os.fork()
            if child == 0:
                mine = address(adapter)
                assert mine != url
                assert reachable(mine) and reachable(url)
                adapter.close()
                assert not reachable(mine)
                sys.exit(5)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
            assert reachable(url)
            """,
            **SMALL,
        )
        assert done.returncode == 0, done.stderr
        assert is_gone(done.stdout.splitlines()[0])

    def test_a_forked_child_that_lives_on_does_not_keep_its_parents_server(self, local_model: str) -> None:
        done = run_script(
            """
            told, tell = os.pipe()
            if os.fork() == 0:
                os.read(told, 1)
                os._exit(0)
            adapter.close()
            assert not reachable(url)
            os.write(tell, b"x")
            """,
            **SMALL,
        )
        assert done.returncode == 0, done.stderr

    def test_serve_prints_its_address_and_ends_with_ctrl_c(self, local_model: str) -> None:
        serving = subprocess.Popen(
            [sys.executable, "-m", "rollouts_local", "serve", "--slots", "1", "--context", "256"],
            stdout=subprocess.PIPE,
            text=True,
        )
        with serving:
            assert serving.stdout is not None
            url = serving.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/models", timeout=30) as answer:
                assert json.load(answer)["data"][0]["id"] == "smollm2-135m-instruct"
            serving.send_signal(signal.SIGINT)
            assert serving.wait(30) == 0
