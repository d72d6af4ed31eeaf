"""OpenAI-shaped messages as Anthropic's Messages API wants them. Knows no settings and no answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rollouts.exceptions import ConfigError


def translate(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The system text, and the turns with their blocks.

    Raises:
        ConfigError: A message that this API has no form for.
    """
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role in ("system", "developer"):
            system.append(_text(content))
        elif role == "tool":
            result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": _blocks(content)}
            turns.append({"role": "user", "content": [result]})
        elif role == "assistant" and message.get("tool_calls"):
            calls = [_tool_use(call) for call in message["tool_calls"]]
            turns.append({"role": "assistant", "content": [*_as_list(content), *calls]})
        elif role in ("user", "assistant"):
            turns.append({"role": role, "content": _blocks(content)})
        else:
            raise ConfigError(f"Anthropic has no message role {role!r}.")
    return "\n\n".join(system), turns


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if isinstance(part, Mapping))


def _as_list(content: Any) -> list[Any]:
    blocks = _blocks(content)
    if isinstance(blocks, list):
        return blocks
    return [{"type": "text", "text": blocks}] if blocks else []


def _blocks(content: Any) -> str | list[Any]:
    if content is None or isinstance(content, str):
        return content or ""
    return [_block(part) for part in content]


def _block(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part.get("type") != "image_url":
        return part
    url = part["image_url"]["url"]
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    head, _, data = url.removeprefix("data:").partition(",")
    return {"type": "image", "source": {"type": "base64", "media_type": head.partition(";")[0], "data": data}}


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError as error:
        raise ConfigError(f"The arguments of the tool call {call.get('id')!r} are not JSON.") from error
    return {"type": "tool_use", "id": call.get("id"), "name": function["name"], "input": arguments}
