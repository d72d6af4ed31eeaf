"""Every setting as data: name, kind, default, check and one line of documentation.

Two kinds. A *sampling* setting is sent to the service under its own name, and only when given. A *client* setting
decides how we ask. What stands here is all that `RolloutsClient(...)` and `generate(...)` take.
Ranges of sampling settings are those of OpenRouter's OpenAPI description (2026-08-22).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rollouts.settings import checks as c
from rollouts.settings.passthrough import extra_body, extra_headers
from rollouts.settings.secret import api_key


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    kind: Literal["sampling", "client"]
    check: c.Check
    """Gives the value in plain form, or raises `ConfigError`."""
    doc: str
    """One line, with units."""
    default: Any = None
    """What holds when it is not given; for sampling settings None: not sent, the provider's own default holds."""
    per_call: bool = True
    """False for what only the client can be given."""


def _sampling(name: str, check: c.Check, doc: str) -> Setting:
    return Setting(name, "sampling", check, doc)


def _client(name: str, check: c.Check, default: Any, doc: str, *, per_call: bool = True) -> Setting:
    return Setting(name, "client", check, doc, default, per_call)


_SAMPLING = (
    _sampling("temperature", c.number(0, 2), "Randomness, 0 to 2."),
    _sampling("top_p", c.number(0, 1, above=True), "Nucleus sampling: probability mass kept, above 0, at most 1."),
    _sampling("max_tokens", c.integer(1), "Most tokens of one answer, reasoning included."),
    _sampling("max_completion_tokens", c.integer(1), "The same under OpenAI's newer name."),
    _sampling("top_k", c.integer(0), "Only the k likeliest tokens; 0 for all."),
    _sampling("min_p", c.number(0, 1), "Least probability relative to the likeliest token, 0 to 1."),
    _sampling("top_a", c.number(0, 1), "Least probability relative to the square of the likeliest token's, 0 to 1."),
    _sampling("presence_penalty", c.number(-2, 2), "Penalty on tokens that occurred at all, -2 to 2."),
    _sampling("frequency_penalty", c.number(-2, 2), "Penalty on tokens by how often they occurred, -2 to 2."),
    _sampling("repetition_penalty", c.number(0, 2, above=True), "Factor against repetition, above 0, at most 2."),
    _sampling("stop", c.text_or_texts, "Text or texts at which generation ends."),
    _sampling("logit_bias", c.token_biases, "From token number to a bias of -100 to 100."),
    _sampling("logprobs", c.boolean, "Ask for log-probabilities of the generated tokens."),
    _sampling("top_logprobs", c.integer(0, 20), "Alternatives per token, 0 to 20; needs logprobs=True."),
    _sampling("reasoning", c.json_object, "How much the model may reason: {'effort': …} or {'max_tokens': …}."),
    _sampling("reasoning_effort", c.text(), "Effort alone: max, xhigh, high, medium, low, minimal, none."),
    _sampling("include_reasoning", c.boolean, "Whether the answer shows its reasoning."),
    _sampling("provider", c.json_object, "Whom OpenRouter may ask: {'order': […], 'allow_fallbacks': False, …}."),
    _sampling("models", c.texts, "Models to fall back to."),
    _sampling("response_format", c.json_object, "Form of the answer: {'type': 'json_object'} or a JSON schema."),
    _sampling("tools", c.json_objects, "Tools that the model may call."),
    _sampling("tool_choice", c.text_or_object, "Which tool to call: none, auto, required, or one by name."),
    _sampling("parallel_tool_calls", c.boolean, "Whether several tools may be called at once."),
    _sampling("verbosity", c.text(), "Length of the answer: low to max."),
    _sampling("service_tier", c.text(), "Price and speed tier: auto, default, flex, priority, …"),
    _sampling("chat_template_kwargs", c.json_object, "Variables of a server's chat template (vLLM, SGLang)."),
    _sampling("prompt_cache_key", c.text(), "Key for the provider's own prompt cache."),
    _sampling("cache_control", c.json_object, "Anthropic's prompt cache: {'type': 'ephemeral'}."),
    _sampling("user", c.text(), "Your name for the end user."),
    _sampling("session_id", c.text(256), "Groups requests for sticky routing; at most 256 characters."),
    _sampling("metadata", c.json_object, "Up to 16 pairs of text kept by the service."),
)

_CLIENT = (
    # Whom to ask
    _client("model", c.model_name, None, "The model's name as the service has it: 'qwen/qwen3-30b-a3b'."),
    _client("adapter", c.word, None, "Name of the adapter; else chosen by base URL and model."),
    _client("base_url", c.http_url, None, "URL of the service; else <ADAPTER>_BASE_URL, else the adapter's own."),
    _client("service", c.word, None, "Who answers, for the identity of samples; else the adapter or the URL says it."),
    _client("api_key", api_key, None, "The key; else the adapter's environment variable."),
    _client("adapter_options", c.options, {}, "Options of the adapter."),
    _client("extra_body", extra_body, {}, "Further fields of the body, passed through; no seed, no credential."),
    _client("extra_headers", extra_headers, {}, "Further headers, part of a sample's identity; no credential."),
    # What to ask
    _client("system", c.text(), None, "System prompt, put before the messages."),
    _client(
        "template", c.name_or("open", "split", described="a think template"), None, "Think template; else by model."
    ),
    _client("transforms", c.transforms, (), "Names, pairs (name, options) and functions that change prompt or answer."),
    _client("require_prefill", c.boolean, False, "Whether an answer that does not continue the prefill is an error."),
    _client("seed", c.integer(0, 2**63 - 1), 0, "Number of the first sample; sample i has the number seed + i."),
    # How to send
    _client("max_concurrency", c.integer(1, 10_000), 64, "Most requests at once."),
    _client("max_retries", c.integer(0, 1000), 10, "Tries after the first; a timed-out call is repeated once only."),
    _client("timeout", c.number(0, 1e7, above=True), 1200, "Seconds for one attempt, all in all."),
    _client("requests_per_minute", c.number(0, 1e9, above=True), None, "Most requests started in any 60 seconds."),
    _client("tokens_per_minute", c.number(0, 1e12, above=True), None, "Most tokens in any 60 seconds."),
    _client("limiter", c.name_or("acquire", described="a limiter"), "adaptive", "Decides when a request may start."),
    _client("limiter_options", c.options, {}, "Options of the limiter."),
    _client("max_cost", c.number(0), None, "Most US dollars per run; nothing is admitted beyond."),
    _client("max_total_tokens", c.integer(0), None, "Most tokens per run; nothing is admitted beyond."),
    _client(
        "executor",
        c.name_or("submit", "shutdown", described="an executor"),
        "threads",
        "What runs the workers: a name or an executor.",
        per_call=False,
    ),
    _client("executor_options", c.options, {}, "Options of the executor.", per_call=False),
    _client("worker_affinity", c.choice("one-cpu"), None, "'one-cpu' keeps the worker threads on one CPU (Linux)."),
    _client("strict", c.boolean, False, "Whether samples of several providers or served models are an error."),
    _client("on_error", c.choice("raise", "keep"), "raise", "'raise' after the rest is stored, or 'keep' failures."),
    # What to keep
    _client("use_cache", c.cache, "json", "True ('json'), False (none), a name, or a cache backend."),
    _client("cache_dir", c.folder, Path(".rollouts"), "Folder of the cache; made at the first store."),
    _client("cache_options", c.options, {}, "Options of the cache."),
    _client("offline", c.boolean, False, "Answer from the cache alone; a sample not there is an error."),
    # What to show
    _client("progress_bar", c.boolean, True, "Whether a run of several samples shows its progress."),
    _client("progress", c.progress, "tqdm", "Name of the progress reporter, or a function that makes one."),
    _client("verbose", c.boolean, False, "Whether the log is shown."),
    _client(
        "plugins", c.plugin_objects, (), "Plugin objects of this client, after the installed ones.", per_call=False
    ),
)

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in (*_CLIENT, *_SAMPLING)}
"""All settings by name, client settings first."""

SAMPLING_NAMES: tuple[str, ...] = tuple(setting.name for setting in _SAMPLING)
"""Names of the settings that go over the wire."""

SAID_OTHERWISE: dict[str, str] = {
    "cache": "use_cache",
    "concurrency": "max_concurrency",
    "key": "api_key",
    "max_new_tokens": "max_tokens",
    "max_tries": "max_retries",
    "max_workers": "max_concurrency",
    "n": "n_samples",
    "n_jobs": "max_concurrency",
    "num_samples": "n_samples",
    "retries": "max_retries",
    "rpm": "requests_per_minute",
    "stop_sequences": "stop",
    "system_prompt": "system",
    "tpm": "tokens_per_minute",
    "url": "base_url",
}
"""Words that other libraries use, and ours."""
