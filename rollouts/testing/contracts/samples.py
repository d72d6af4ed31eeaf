"""Requests and answers to try a cache with, some of them hard to store. Knows no cache."""

from __future__ import annotations

from rollouts.identity import SampleRequest
from rollouts.results import Response, Usage
from rollouts.typing import Conversation, JsonObject, Parts, WireRequest


class PlainTemplate:
    """A think template without tags, for requests whose answers nobody splits."""

    def open(self, thought: str) -> str:
        """`thought` as it is."""
        return thought

    def split(self, text: str, prefill: str | None) -> Parts:
        """All content."""
        return Parts(reasoning=None, content=text, completed=True)


def sample_request(
    prompt: str = "What is 2 + 2?",
    *,
    model: str = "maker/model",
    service: str = "https://example.invalid/v1",
    adapter: str = "openai-compatible",
    headers: dict[str, str] | None = None,
    prefill: str | None = None,
    thought: str | None = None,
    body: JsonObject | None = None,
    url: str | None = None,
) -> SampleRequest:
    """A request as an adapter would make it.

    Args:
        prompt: The user's message.
        model: Its name.
        service: Who is asked.
        adapter: The adapter's name.
        headers: The user's own.
        prefill: The partial assistant turn.
        thought: What of it is injected thought.
        body: Further fields of the wire body.
        url: The whole URL; below `service` unless given.
    """
    messages = [{"role": "user", "content": prompt}]
    if prefill is not None:
        messages.append({"role": "assistant", "content": prefill})
    wire = WireRequest(
        url=url or f"{service}/chat/completions",
        endpoint="chat/completions",
        body={"model": model, "messages": messages, **(body or {})},
        seed_field="seed",
        conversation=Conversation(messages=({"role": "user", "content": prompt},), prefill=prefill, thought=thought),
        template=PlainTemplate(),
    )
    return SampleRequest(adapter=adapter, service=service, model=model, wire=wire, extra_headers=headers, prompt=prompt)


def sample_response(number: int = 0, text: str = "Four.", *, full: bool = False) -> Response:
    """An answer; with `full`, one that has every field a service may fill, and text that is hard to store."""
    if not full:
        return Response(content=f"{text} ({number})", seed=number, raw_source=b'{"id": "gen-%d"}' % number)
    hard = "Ünïcödé 四 🙂 \ud83d lone, nul \x00, quotes \"'\\, lines \r\n\u2028, </think> <b> "
    return Response(
        content=hard + text,
        reasoning=hard * 50,
        finish_reason="stop",
        native_finish_reason="end_turn",
        completed_reasoning=True,
        provider="Provider/四",
        model="maker/model-2026-11",
        response_id=f"gen-{number}",
        created=1_760_000_000,
        usage=Usage(24, 420, 444, 400, 8, 0.000123456789),
        logprobs={"content": [{"token": " four", "logprob": -0.125, "bytes": [32, 102], "top_logprobs": []}]},
        tool_calls=[{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}],
        refusal="No.",
        reasoning_kind="text",
        system_fingerprint="fp_1",
        continued="yes",
        continued_reason="begins in mid-word",
        latency=1.5,
        attempts=3,
        received=1_760_000_001.25,
        pin={"only": ["provider"]},
        seed=number,
        raw_source='{"id": "gen", "text": "四 \\u0000 \\ud83d", "number": 1.50}'.encode(),
    )
