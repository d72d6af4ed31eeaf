"""Reads an answer of the chat API, or of `/completions`, into a `Response`. Trusts no field to be there.

Knows no service by name: the names that services give to one and the same thing are tried in turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rollouts.adapters._errors import malformed
from rollouts.adapters._logprobs import read_logprobs
from rollouts.adapters._reading import read_back
from rollouts.results import Response, Usage
from rollouts.typing import WireReply, WireRequest

REASONING_FIELDS = ("reasoning", "reasoning_content", "thinking")
"""Names of the reasoning at OpenRouter, vLLM, Groq, Together and Cerebras; at DeepSeek, llama.cpp, SGLang and
Fireworks; at Ollama."""

FINISH = {
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Other services' words for the OpenAI reasons to finish."""


def read_reply(request: WireRequest, reply: WireReply, *, echoes: bool = False, inline: bool = False) -> Response:
    """The answer that `reply` holds.

    Args:
        request: What was asked.
        reply: What came.
        echoes: The service is known to repeat the prefill.
        inline: Text after an open thought that closes nothing is thought.

    Raises:
        MalformedResponse: The body has not the documented shape.
    """
    body = json_object(reply)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise malformed(reply, "has no choices")
    choice = choices[0]
    raw = "message" not in choice and "text" in choice
    message = choice if raw else choice.get("message")
    if not isinstance(message, Mapping):
        raise malformed(reply, "has a choice without a message")
    content, chunked = split_content(message.get("text") if raw else message.get("content"))
    reasoning, kind = read_reasoning(message, chunked)
    native = choice.get("finish_reason")
    finish = FINISH.get(native, native) if isinstance(native, str) else None
    conversation = request.conversation
    tool_calls = message.get("tool_calls") or None
    reading = read_back(
        content,
        reasoning,
        finish_reason=finish,
        conversation=conversation,
        template=request.template,
        echoes=echoes,
        inline=inline,
        answered=bool(tool_calls or message.get("refusal")),
    )
    verdict, evidence = reading.verdict
    if reading.reasoning is None and kind != "encrypted":
        kind = None
    elif kind is None:
        kind = "text"
    return Response(
        content=reading.content,
        reasoning=reading.reasoning,
        finish_reason=finish,
        native_finish_reason=text(choice.get("native_finish_reason")) or text(native),
        completed_reasoning=reading.completed,
        provider=text(body.get("provider")),
        model=text(body.get("model")),
        response_id=text(body.get("id")),
        created=whole(body.get("created")),
        usage=read_usage(body.get("usage")),
        logprobs=read_logprobs(choice.get("logprobs"), echo=reading.echoed),
        tool_calls=tool_calls,
        refusal=text(message.get("refusal")),
        reasoning_kind=kind,
        system_fingerprint=text(body.get("system_fingerprint")),
        prefill=conversation.prefill,
        injected=conversation.thought,
        continued=verdict if conversation.prefill is not None else None,
        continued_reason=evidence if conversation.prefill is not None else None,
    )


def json_object(reply: WireReply) -> Mapping[str, Any]:
    """The body as a JSON object.

    Raises:
        MalformedResponse: It is none.
    """
    try:
        body = reply.json()
    except ValueError as error:
        raise malformed(reply, "is not JSON") from error
    if not isinstance(body, Mapping):
        raise malformed(reply, "is not a JSON object")
    return body


def split_content(content: Any) -> tuple[str, str]:
    """Text and thought of a message's content: a string, null, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return "", ""
    words: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, Mapping) and part.get("type") == "thinking":
            inner = part.get("thinking")
            thoughts.append(inner if isinstance(inner, str) else split_content(inner)[0])
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            words.append(part["text"])
    return "".join(words), "".join(thoughts)


def read_reasoning(message: Mapping[str, Any], chunked: str = "") -> tuple[str | None, str | None]:
    """The reasoning that was kept apart, and its kind; None and `encrypted` where the service hides it."""
    details = message.get("reasoning_details")
    details = [item for item in details if isinstance(item, Mapping)] if isinstance(details, list) else []
    kinds = {item.get("type") for item in details}
    reasoning = next((value for name in REASONING_FIELDS if isinstance(value := message.get(name), str) and value), "")
    reasoning = reasoning or chunked
    if not reasoning:
        reasoning = "".join(value for item in details if isinstance(value := item.get("text"), str))
    if not reasoning:
        reasoning = "\n\n".join(value for item in details if isinstance(value := item.get("summary"), str))
    if not reasoning:
        return None, "encrypted" if "reasoning.encrypted" in kinds else None
    if "reasoning.text" in kinds or not kinds & {"reasoning.summary", "reasoning.encrypted"}:
        return reasoning, "text"
    return reasoning, "summary"


def read_usage(usage: Any) -> Usage:
    """Tokens and cost as stated; what is not stated stays None."""
    if not isinstance(usage, Mapping):
        return Usage()
    prompt = usage.get("prompt_tokens_details")
    completion = usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, Mapping) else {}
    completion = completion if isinstance(completion, Mapping) else {}
    cached = prompt.get("cached_tokens", usage.get("prompt_cache_hit_tokens", usage.get("cached_tokens")))
    return Usage(
        prompt_tokens=whole(usage.get("prompt_tokens")),
        completion_tokens=whole(usage.get("completion_tokens")),
        total_tokens=whole(usage.get("total_tokens")),
        reasoning_tokens=whole(completion.get("reasoning_tokens", usage.get("reasoning_tokens"))),
        cached_tokens=whole(cached),
        cost=amount(usage.get("cost")),
    )


def text(value: Any) -> str | None:
    """A string that says something, or None."""
    return value if isinstance(value, str) and value else None


def whole(value: Any) -> int | None:
    """A whole number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
        return None
    return int(value)


def amount(value: Any) -> float | None:
    """A number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
        return None
    return float(value)


def _finite(value: float) -> bool:
    """False for what JSON can say and nobody can count with: `1e999`, `NaN`, a whole number of 400 digits."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
