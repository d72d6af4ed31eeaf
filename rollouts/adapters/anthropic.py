"""The adapter `anthropic`: Anthropic's Messages API. Translates from the OpenAI form; knows no other service.

Thinking is read and never injected: it comes signed, and a turn with thinking must begin with a signed block.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rollouts.adapters._anthropic_messages import translate
from rollouts.adapters._errors import classify_prefill, malformed
from rollouts.adapters._families import REFUSED, family
from rollouts.adapters._reading import read_back
from rollouts.adapters._reply import FINISH, json_object, text, whole
from rollouts.exceptions import ConfigError, PrefillUnsupported, ServerError
from rollouts.hookspecs import hookimpl
from rollouts.results import Response, Usage
from rollouts.typing import AdapterOptions, AdapterSpec, Conversation, Outcome, Settings, WireReply, WireRequest

TITLE = "Anthropic"
VERSION = "2023-06-01"
"""The `anthropic-version` whose bodies are spoken here."""

INJECTION_REFUSED = (
    "Anthropic cannot go on from an injected thought: Claude's thinking is signed, and a turn with thinking must begin "
    "with a signed block. Use a model with open weights (Qwen, DeepSeek, GLM, Kimi); or, up to Claude 4.5, give the "
    "beginning of the answer as a trailing assistant message of a message list, without <think>."
)

_AS_THEY_ARE = frozenset({"temperature", "top_p", "top_k", "max_tokens", "metadata", "service_tier"})
_TRANSLATED = frozenset(
    {
        "stop",
        "tools",
        "tool_choice",
        "reasoning",
        "include_reasoning",
        "max_completion_tokens",
        "logprobs",
        "parallel_tool_calls",
    }
)


class Anthropic:
    """Speaks the Messages API. Immutable, used by many threads."""

    service: str | None = None
    ways = ("assistant",)
    supports_logprobs = False

    def __init__(self, options: AdapterOptions) -> None:
        """Take the base URL; there are no options.

        Raises:
            ConfigError: An option was given.
        """
        if options.options:
            raise ConfigError(f"{TITLE} has no adapter options, and {', '.join(options.options)} was given.")
        self.base_url = options.base_url.rstrip("/")

    def encode(self, conversation: Conversation, settings: Settings) -> WireRequest:
        """Build the wire request.

        Raises:
            PrefillUnsupported: A thought is to be injected, or the model takes no prefill.
            ConfigError: A setting that this service does not take, or `max_tokens` is missing.
        """
        _check_prefill(conversation, settings.model)
        system, messages = translate(conversation.messages)
        if conversation.prefill is not None:
            messages.append({"role": "assistant", "content": conversation.prefill})
        body: dict[str, Any] = {"model": settings.model, "messages": messages, **({"system": system} if system else {})}
        body |= _parameters(settings)
        body |= settings.extra_body
        if "max_tokens" not in body:
            raise ConfigError(f"{TITLE} requires max_tokens: say how many tokens an answer may have.")
        thinking = body.get("thinking")
        if conversation.prefill is not None and isinstance(thinking, Mapping) and thinking.get("type") != "disabled":
            raise ConfigError(f"{TITLE} takes no prefill while Claude thinks: take the reasoning setting out.")
        return WireRequest(
            url=f"{self.base_url}/messages",
            endpoint="messages",
            body=body,
            seed_field=None,
            conversation=conversation,
            template=settings.template,
            headers={"anthropic-version": VERSION},
        )

    def decode(self, request: WireRequest, reply: WireReply) -> Response:
        """Read an answer.

        Raises:
            MalformedResponse: The body has not the documented shape.
        """
        body = json_object(reply)
        blocks = body.get("content")
        if not isinstance(blocks, list):
            raise malformed(reply, "has no content blocks")
        blocks = [block for block in blocks if isinstance(block, Mapping)]
        kinds = {block.get("type") for block in blocks}
        thought = "".join(value for block in blocks if isinstance(value := block.get("thinking"), str))
        calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        native = text(body.get("stop_reason"))
        finish = None if native is None else FINISH.get(native, native)
        conversation = request.conversation
        reading = read_back(
            "".join(value for block in blocks if isinstance(value := block.get("text"), str)),
            thought or None,
            finish_reason=finish,
            conversation=conversation,
            template=request.template,
            answered=bool(calls),
        )
        hidden = "encrypted" if kinds & {"redacted_thinking", "thinking"} else None
        verdict, evidence = reading.verdict
        return Response(
            content=reading.content,
            reasoning=reading.reasoning,
            finish_reason=finish,
            native_finish_reason=native,
            completed_reasoning=reading.completed,
            # What Claude 4 and later show of their thinking is a summary of it.
            reasoning_kind="summary" if thought else hidden,
            provider=TITLE,
            model=text(body.get("model")),
            response_id=text(body.get("id")),
            usage=_usage(body.get("usage")),
            tool_calls=calls or None,
            prefill=conversation.prefill,
            injected=conversation.thought,
            continued=verdict,
            continued_reason=evidence,
        )

    def classify(self, reply: WireReply) -> Outcome | None:
        """Answers, whose shape the common rules do not know, and a refused prefill; errors are left to the rules."""
        if reply.status != 200:
            return classify_prefill(reply, TITLE)
        try:
            body = reply.json()
        except ValueError:
            return None
        if not isinstance(body, Mapping) or not isinstance(body.get("content"), list):
            return None
        reason = body.get("stop_reason")
        if reason == "refusal":
            return Outcome("refused", status=200, code="refusal")
        if isinstance(reason, str) and FINISH.get(reason) == "length":
            return Outcome("truncated", status=200)
        if not body["content"]:
            return Outcome("empty", ServerError, message="no content blocks", status=200)
        return Outcome("ok", status=200)


def _check_prefill(conversation: Conversation, model: str) -> None:
    prefill = conversation.prefill
    if prefill is None:
        return
    if conversation.thought is not None or "<think>" in prefill:
        raise PrefillUnsupported(INJECTION_REFUSED)
    reason = REFUSED.get(family(model))
    if reason is not None:
        raise PrefillUnsupported(f"{model} on {TITLE} cannot go on from a prefill: {reason}")
    if prefill != prefill.rstrip():
        raise ConfigError(f"{TITLE} refuses a prefill that ends in white space: take it off.")


def _parameters(settings: Settings) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in settings.sampling.items():
        if value is None:
            continue
        if name in _AS_THEY_ARE:
            body[name] = value
        elif name not in _TRANSLATED:
            raise ConfigError(
                f"{TITLE} does not take {name!r}. Leave it out, or send it all the same with "
                f"extra_body={{{name!r}: …}}."
            )
    given = settings.sampling
    if given.get("logprobs"):
        raise ConfigError(f"{TITLE} gives no log-probabilities. Ask a server of your own.")
    if given.get("max_completion_tokens") is not None:
        body["max_tokens"] = given["max_completion_tokens"]
    if given.get("stop") is not None:
        body["stop_sequences"] = [given["stop"]] if isinstance(given["stop"], str) else list(given["stop"])
    if given.get("tools") is not None:
        body["tools"] = [_tool(tool) for tool in given["tools"]]
    if given.get("tool_choice") is not None:
        body["tool_choice"] = _choice(given["tool_choice"])
    if given.get("parallel_tool_calls") is False:
        body["tool_choice"] = {"type": "auto", **body.get("tool_choice", {}), "disable_parallel_tool_use": True}
    if given.get("reasoning") is not None:
        body["thinking"] = _thinking(given["reasoning"])
    if given.get("include_reasoning") is False:
        raise ConfigError(f"{TITLE} cannot leave the reasoning out of its answers: take include_reasoning off.")
    return body


def _thinking(reasoning: Any) -> dict[str, Any]:
    if isinstance(reasoning, Mapping):
        if reasoning.get("enabled") is False or reasoning.get("effort") == "none":
            return {"type": "disabled"}
        if set(reasoning) == {"max_tokens"}:
            return {"type": "enabled", "budget_tokens": reasoning["max_tokens"]}
    raise ConfigError(
        f"{TITLE} takes reasoning={{'max_tokens': …}} or {{'enabled': False}}, not {reasoning!r}. What else the model "
        "takes goes in extra_body={'thinking': …}."
    )


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    translated = {"name": function["name"], "input_schema": function.get("parameters", {"type": "object"})}
    return translated | ({"description": function["description"]} if "description" in function else {})


def _choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": choice["function"]["name"]} if "function" in choice else dict(choice)
    return {"type": {"required": "any"}.get(choice, choice)}


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    # The OpenAI shape has the arguments as JSON text.
    function = {"name": block.get("name"), "arguments": json.dumps(block.get("input", {}))}
    return {"id": block.get("id"), "type": "function", "function": function}


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    read, written = whole(usage.get("cache_read_input_tokens")), whole(usage.get("cache_creation_input_tokens"))
    fresh, completion = whole(usage.get("input_tokens")), whole(usage.get("output_tokens"))
    # `input_tokens` counts only what no cache touched.
    prompt = None if fresh is None else fresh + (read or 0) + (written or 0)
    total = None if prompt is None or completion is None else prompt + completion
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total, cached_tokens=read)


@hookimpl
def rollouts_register_adapters() -> list[AdapterSpec]:
    """Offer `anthropic`, without a model prefix: OpenRouter has a vendor of that name."""
    return [
        AdapterSpec(
            name="anthropic",
            factory=Anthropic,
            description="Anthropic's Messages API",
            base_url="https://api.anthropic.com/v1",
            key_variable="ANTHROPIC_API_KEY",
            key_header="x-api-key",
            key_prefix="",
            hosts=("api.anthropic.com",),
        )
    ]
