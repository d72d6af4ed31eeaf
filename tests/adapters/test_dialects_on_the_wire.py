"""Each service by a client over a real socket: what it is sent, and how its own kind of answer reads."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from rollouts import RolloutsClient
from rollouts.adapters.dialects import SERVICES, rollouts_register_adapters
from rollouts.exceptions import ConfigError, PrefillUnsupported, RolloutsWarning
from rollouts.testing import LoopbackServer, ReceivedRequest, Reply

PROMPT = "What is 5*10?\n<think>\n5*1"
MODEL = "qwen3-8b"
TRAILING = {"role": "assistant", "content": "<think>\n5*1"}
RAW = "<|im_start|>user\nWhat is 5*10?<|im_end|>\n<|im_start|>assistant\n<think>\n5*1"
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
CHUNK = {"type": "thinking", "thinking": [{"type": "text", "text": "5*1"}], "closed": False}
ECHO_CHUNK = {"type": "thinking", "thinking": [{"type": "text", "text": "5*10 = 50\n"}]}


def apart(field: str) -> dict[str, Any]:
    return {"content": "50", field: "0 = 50\n"}


# (adapter, adapter_options, last message or prompt, further fields, the message or text that the service answers)
WAYS: dict[str, tuple[str, dict[str, Any], Any, dict[str, Any], Any]] = {
    "vllm": ("vllm", {}, TRAILING, CONTINUE, apart("reasoning")),
    "vllm without a parser": ("vllm", {}, TRAILING, CONTINUE, {"content": "0 = 50\n</think>50"}),
    "vllm rendered": ("vllm", {"continuation": "completion", "chat_template": "chatml"}, RAW, {}, "0 = 50\n</think>50"),
    "sglang": ("sglang", {}, TRAILING, {"continue_final_message": True}, apart("reasoning_content")),
    "sglang, tag left out": (
        "sglang", {"think_tag": "strip"}, {"role": "assistant", "content": "5*1"}, {"continue_final_message": True},
        apart("reasoning_content"),
    ),
    "llama.cpp": ("llama-cpp", {}, TRAILING, {}, {"content": "<think>\n5*10 = 50\n</think>50"}),
    "llama.cpp by reasoning": (
        "llama-cpp", {"continuation": "reasoning"}, {"role": "assistant", "content": "", "reasoning_content": "5*1"},
        {"continue_final_message": "reasoning_content", "add_generation_prompt": False},
        {"content": "50", "reasoning_content": "5*10 = 50\n"},
    ),
    "ollama": ("ollama", {}, TRAILING, {}, apart("reasoning")),
    "ollama by reasoning": (
        "ollama", {"continuation": "reasoning"}, {"role": "assistant", "content": "", "reasoning": "5*1"}, {},
        apart("reasoning"),
    ),
    "lm-studio": ("lm-studio", {}, TRAILING, {}, apart("reasoning_content")),
    "fireworks": ("fireworks", {}, TRAILING, {}, apart("reasoning_content")),
    "together": ("together", {}, TRAILING, {}, apart("reasoning")),
    "deepseek": (
        "deepseek", {}, {"role": "assistant", "content": "", "reasoning_content": "5*1", "prefix": True}, {},
        apart("reasoning_content"),
    ),
    "deepseek by prefix": (
        "deepseek", {"continuation": "prefix"}, {**TRAILING, "prefix": True}, {}, {"content": "0 = 50\n</think>50"},
    ),
    "mistral": (
        "mistral", {}, {"role": "assistant", "content": [CHUNK], "prefix": True}, {},
        {"content": [ECHO_CHUNK, {"type": "text", "text": "50"}]},
    ),
    "cerebras": ("cerebras", {}, TRAILING, {}, apart("reasoning")),
    "groq": ("groq", {}, TRAILING, {}, apart("reasoning")),
    "openai-compatible": ("openai-compatible", {}, TRAILING, {}, apart("reasoning_content")),
    "openai-compatible by continue": (
        "openai-compatible", {"continuation": "continue"}, TRAILING, CONTINUE, apart("reasoning"),
    ),
}  # fmt: skip


class Service:
    """Answers every request with one message."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, request: ReceivedRequest) -> Reply:
        if isinstance(self.answer, str):
            choice: dict[str, Any] = {"index": 0, "text": self.answer, "finish_reason": "stop"}
        else:
            choice = {"index": 0, "message": {"role": "assistant", **self.answer}, "finish_reason": "stop"}
        return Reply(json={"id": "x", "choices": [choice]})


def client_for(server: LoopbackServer, adapter: str, **settings: Any) -> RolloutsClient:
    given = {"api_key": "canary", "use_cache": False, "progress_bar": False, "max_retries": 0, **settings}
    return RolloutsClient(given.pop("model", MODEL), adapter=adapter, base_url=server.url, **given)


@pytest.mark.parametrize("way", WAYS)
def test_a_thought_goes_out_and_comes_back_in_each_way(way):
    adapter, options, last, fields, answer = WAYS[way]
    model = "olmo-3-32b" if adapter == "groq" else MODEL
    with (
        LoopbackServer(Service(answer)) as server,
        client_for(server, adapter, model=model, template="think-tags", adapter_options=options) as client,
    ):
        response = client.generate(PROMPT, n_samples=1, max_tokens=50, seed=7)[0]
        (request,) = server.requests
    body = request.json()
    assert (body.get("prompt") or body["messages"][-1]) == last
    assert {name: body[name] for name in body if name in ("continue_final_message", "add_generation_prompt")} == fields
    assert (response.thought, response.content, response.completed_reasoning) == ("5*10 = 50\n", "50", True)
    assert response.continued == "yes"
    assert (response.prefill, response.injected) == ("<think>\n5*1", "5*1")
    assert request.headers["authorization"] == "Bearer canary"


@pytest.mark.parametrize("name", SERVICES)
def test_the_number_and_the_length_go_under_the_services_own_names(name):
    dialect = SERVICES[name].dialect
    with LoopbackServer() as server, client_for(server, name) as client:
        client.generate("Hi", n_samples=1, max_tokens=50, seed=7)
        body = server.requests[0].json()
    assert {"seed", "random_seed"} & set(body) == ({dialect.seed_field} if dialect.seed_field else set())
    assert dialect.seed_field is None or body[dialect.seed_field] == 7
    expected = "max_completion_tokens" if name in ("groq", "cerebras") else "max_tokens"
    assert body[expected] == 50
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_log_probabilities_are_asked_in_the_services_form_or_refused(name):
    with LoopbackServer() as server, client_for(server, name) as client:
        if SERVICES[name].dialect.logprobs == "no":
            with pytest.raises(ConfigError, match="log-probabilities"):
                client.generate("Hi", logprobs=True)
            assert server.requests == []
            return
        client.generate("Hi", logprobs=True, top_logprobs=2)
        body = server.requests[0].json()
    form = {k: body[k] for k in ("logprobs", "top_logprobs") if k in body}
    assert form == ({"logprobs": 2} if name == "together" else {"logprobs": True, "top_logprobs": 2})


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name].dialect.accepts is not None])
def test_a_setting_that_the_service_does_not_take_is_refused_before_sending(name):
    with LoopbackServer() as server, client_for(server, name) as client:
        with pytest.raises(ConfigError, match="extra_body"):
            client.generate("Hi", provider={"only": ["x"]})
        assert server.requests == []


@pytest.mark.parametrize("name", ["vllm", "fireworks", "deepseek", "groq", "cerebras", "mistral", "ollama"])
def test_reasoning_effort_is_translated_and_more_is_refused(name):
    with LoopbackServer() as server, client_for(server, name) as client:
        client.generate("Hi", reasoning={"effort": "low"})
        assert server.requests[0].json()["reasoning_effort"] == "low"
        with pytest.raises(ConfigError, match="effort"):
            client.generate("Hi", reasoning={"max_tokens": 10})


REFUSALS = [
    ("groq", "qwen/qwen3-32b", "new turn"),
    ("ollama", "qwen3.5:9b", "closed block"),
    ("cerebras", "llama-4-scout", "new turn"),
    ("vllm", "openai/gpt-oss-20b", "completion"),
    ("openai-compatible", "gpt-5", "open weights"),
]


@pytest.mark.parametrize(("adapter", "model", "why"), REFUSALS)
def test_a_model_that_does_not_continue_there_is_refused_before_sending(adapter, model, why):
    with LoopbackServer() as server, client_for(server, adapter, model=model) as client:
        with pytest.raises(PrefillUnsupported, match=why):
            client.generate(PROMPT)
        assert server.requests == []


@pytest.mark.parametrize(("adapter", "field"), [("llama-cpp", "reasoning_content"), ("ollama", "reasoning")])
def test_gpt_oss_goes_on_in_its_own_channel_where_the_server_renders_it(adapter, field):
    with LoopbackServer(Service(apart(field))) as server, client_for(server, adapter, model="gpt-oss-20b") as client:
        response = client.generate(PROMPT)[0]
        last = server.requests[0].json()["messages"][-1]
    assert last == {"role": "assistant", "content": "", field: "5*1"}
    assert (response.thought, response.content) == ("5*10 = 50\n", "50")


def test_gpt_oss_goes_on_from_a_rendered_prompt():
    options = {"continuation": "completion"}
    with (
        LoopbackServer(Service("0 = 50\nassistantfinal50")) as server,
        client_for(server, "vllm", model="openai/gpt-oss-20b", adapter_options=options) as client,
    ):
        response = client.generate(PROMPT)[0]
        assert server.requests[0].path.endswith("/v1/completions")
        assert server.requests[0].json()["prompt"].endswith("<|start|>assistant<|channel|>analysis<|message|>5*1")
    assert (response.thought, response.content, response.completed_reasoning) == ("5*10 = 50\n", "50", True)


ERRORS = {
    "Anthropic's words": {"error": {"message": "This model does not support assistant message prefill"}},
    "vLLM's shape": {"object": "error", "message": "The final message does not appear in the chat after applying"},
    "llama.cpp's words": {"error": {"code": 400, "message": "Assistant response prefill is incompatible"}},
    "a string": {"error": "last message must be from user"},
    "FastAPI's shape": {"detail": [{"loc": ["body"], "msg": "Expected last role User or Tool"}]},
}  # fmt: skip


@pytest.mark.parametrize("shape", ERRORS)
def test_a_server_that_refuses_the_prefill_is_asked_once(shape):
    with (
        LoopbackServer(lambda request: Reply(status=400, json=ERRORS[shape])) as server,
        client_for(server, "openai-compatible", max_concurrency=1, max_retries=3) as client,
    ):
        with pytest.raises(PrefillUnsupported, match="rollouts probe"):
            client.generate(PROMPT, n_samples=5, template="think-tags")
        assert len(server.requests) == 1


def test_an_unknown_way_or_option_is_answered_with_the_list():
    for options in ({"continuation": "magic"}, {"colour": "red"}, {"think_tag": "maybe"}):
        with LoopbackServer() as server, client_for(server, "groq", adapter_options=options) as client:
            with pytest.raises(ConfigError, match=r"assistant|continuation|keep"):
                client.generate("Hi")
            assert server.requests == []


def test_a_rendered_prompt_without_a_layout_says_which_there_are():
    with (
        LoopbackServer() as server,
        client_for(server, "vllm", adapter_options={"continuation": "completion"}) as client,
    ):
        with pytest.raises(ConfigError, match="chatml"):
            client.generate(PROMPT)
        assert server.requests == []


def test_no_model_of_openrouter_is_taken_away_by_a_prefix():
    vendors = (
        "anthropic/",
        "deepseek/",
        "mistral/",
        "mistralai/",
        "openai/",
        "qwen/",
        "google/",
        "nvidia/",
        "minimax/",
    )
    taken = {prefix for spec in rollouts_register_adapters() for prefix in spec.model_prefixes}
    assert not taken & set(vendors)


def test_a_model_prefix_chooses_the_adapter_and_is_taken_off(monkeypatch):
    with LoopbackServer() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", RolloutsWarning)
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        with RolloutsClient("vllm/Qwen/Qwen3-8B", use_cache=False, progress_bar=False) as client:
            client.generate("Hi")
        (request,) = server.requests
    assert request.json()["model"] == "Qwen/Qwen3-8B"
    assert "authorization" not in request.headers
