"""Reads the JSON directories of rollouts 0.1.x. Never writes there, and knows nothing of the present layout.

0.1.x left `stop`, `reasoning`, `include_reasoning`, the base URL and every further setting out of its key, so its
files answer only a plain request: one that gives all the settings that the key did hold, and no other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import warnings
from typing import Any

from rollouts.caches.folders import NO_TEXT, UNREADABLE, leads_inside, read_file
from rollouts.exceptions import RolloutsWarning
from rollouts.identity import SampleRequest
from rollouts.results import Response
from rollouts.results.codec import from_record

ORIGIN = "0.1.x"

_MUST_BE_GIVEN = {"temperature": "t", "top_p": "p", "max_tokens": "tok"}
_MAY_BE_GIVEN = ("top_k", "presence_penalty", "frequency_penalty", "provider")
# `usage` asks OpenRouter to state the cost; it does not touch the answer.
_PLAIN = frozenset({"model", "messages", "usage", *_MUST_BE_GIVEN, *_MAY_BE_GIVEN})
# Families whose prompts 0.1.x sent whole, `<think>` and all.
_NOT_SPLIT = ("gpt-oss", "gemini-2.0-flash-thinking", "gemini-2.5-flash", "gemini-2.5-pro")
_SPLIT_BEFORE = ("qwen", "qwq", "claude", "anthropic", "deepseek")


def directories(root: str, request: SampleRequest) -> list[str]:
    """Folders below `root` that may hold answers of 0.1.x to exactly this request; none unless it is plain."""
    document = request.document
    body = document["body"]
    if (document["adapter"], document["service"], document["endpoint"]) != (
        "openrouter",
        "openrouter",
        "chat/completions",
    ):
        return []
    if (
        document["headers"]
        or "template" in document
        or not body.keys() <= _PLAIN
        or any(body.get(name) is None for name in _MUST_BE_GIVEN)
    ):
        return []
    # 0.1.x filed `top_k=40` under the same name as no `top_k`.
    if body.get("top_k") == 40 or body.get("model") != request.model:
        return []
    prompt = request.prompt
    if not isinstance(prompt, (str, list)) or messages_of_old(prompt, request.model) != list(body.get("messages", ())):
        return []
    try:
        text = prompt if isinstance(prompt, str) else json.dumps(prompt)
        digest = hashlib.sha256(text.encode()).hexdigest()
    except (UnicodeEncodeError, TypeError, ValueError):  # what 0.1.x could not have stored
        return []
    model = request.model.replace("/", "-").replace(":", "").replace("@", "-at-")
    if os.sep in model or model in ("", ".", ".."):
        return []
    found = (os.path.join(root, model, name, digest[:3], digest) for name in _parameter_names(body))
    return [path for path in found if os.path.isdir(path) and _is_inside(path, root)]


def _is_inside(folder: str, root: str) -> bool:
    inside = leads_inside(folder, root)
    if not inside:
        _warn(f"{folder} leads out of the cache directory {root}: what is there is not read.")
    return inside


def read(path: str, root: str, request: SampleRequest, number: int) -> Response | None:
    """The answer in the file `path` below `root`; None where there is none, or one that must be asked again.

    Raises:
        CacheError: The disk fails.
    """
    data = read_file(path, root)
    if data is None:
        return None
    try:
        if data is NO_TEXT or data is UNREADABLE:
            raise ValueError("no file, a link that leads out, or no right to read it")
        entry = json.loads(data)
    except (ValueError, RecursionError) as error:
        _warn(f"{path}, written by rollouts 0.1.x, cannot be read ({error}): sample {number} is asked again.")
        return None
    if not isinstance(entry, dict) or not isinstance(old := entry.get("response"), dict):
        return None
    body = request.document["body"]
    told = {name: body.get(name) for name in (*_MUST_BE_GIVEN, "model", "provider")}
    if entry.get("prompt") != request.prompt or any(entry.get(name) != value for name, value in told.items()):
        return None
    record = record_of(old)
    if record is None or entry.get("seed", number) != number:
        return None
    return from_record(record, seed=number, **request.context, origin=ORIGIN)


def record_of(old: dict[str, Any]) -> dict[str, Any] | None:
    """The response of a 0.1.x entry as a record of today; None for an error and for one without any text."""
    content, reasoning = old.get("content", old.get("post")), old.get("reasoning")
    if content is None and not reasoning:
        content = old.get("full", old.get("full_text", old.get("text")))
    answered = bool(content or reasoning)
    if not answered or old.get("finish_reason") == "error" or not isinstance(content, str | None):
        return None
    usage = old.get("usage") if isinstance(old.get("usage"), dict) else {}
    record = {
        "content": content or "",
        "reasoning": reasoning if isinstance(reasoning, str) and reasoning else None,
        "finish_reason": _text(old.get("finish_reason")),
        "provider": _text(old.get("provider")),
        "model": _text(old.get("model")),
        "response_id": _text(old.get("response_id")),
        "created": _number(old.get("created")),
        # 0.1.x wrote 0 for what it was not told.
        "usage": {
            name: n
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
            if (n := _number((usage or {}).get(name)))
        },
    }
    if record["reasoning"] is not None:
        completed = old.get("completed_reasoning")
        record["completed_reasoning"] = completed if isinstance(completed, bool) else bool(content)
        record["reasoning_kind"] = "text"
    return record


def _warn(message: str) -> None:
    warnings.warn(message, RolloutsWarning, stacklevel=3)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value else None


def _parameter_names(body: dict[str, Any]) -> list[str]:
    """The names that 0.1.x may have given to these settings: it wrote 1 and 1.0 as the user had."""
    spelt = [[f"{short}{text}" for text in _spellings(body[name])] for name, short in _MUST_BE_GIVEN.items()]
    for short, name, default in (("tk", "top_k", None), ("pp", "presence_penalty", 0), ("fp", "frequency_penalty", 0)):
        value = body.get(name, default)
        if value is not None and value != default:
            spelt.append([f"{short}{text}" for text in _spellings(value)])
    if body.get("provider") is not None:
        digest = hashlib.sha256(json.dumps(body["provider"], sort_keys=True).encode()).hexdigest()
        spelt.append([f"provider{digest[:8]}"])
    return ["_".join(parts) for parts in itertools.product(*spelt)]


def _spellings(value: Any) -> list[str]:
    if isinstance(value, (int, float)) and value == int(value):
        return [str(int(value)), str(float(value))]
    return [str(value)]


def messages_of_old(prompt: str | list[Any], model: str) -> list[Any]:
    """The messages that 0.1.x sent for this prompt."""
    if isinstance(prompt, list):
        return prompt
    name = model.lower()
    whole = any(part in name for part in _NOT_SPLIT) and not any(part in name for part in _SPLIT_BEFORE)
    if "gpt-oss" in name or whole or "<think>" not in prompt:
        return [{"role": "user", "content": prompt}]
    user, thought = prompt.split("<think>", 1)
    messages = [{"role": "user", "content": user.strip()}] if user.strip() else []
    return [*messages, {"role": "assistant", "content": "<think>" + thought}]
