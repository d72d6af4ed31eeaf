"""A stored request in words: its prompt, its settings, its date. Knows no storage and no terminal."""

from __future__ import annotations

import json
from typing import Any

from rollouts.identity import PROMPT_FIELDS, SampleRequest
from rollouts.results import Response


def prompt_text(request: SampleRequest) -> str:
    """The prompt as text: the user's own where there is nothing else, a list of messages as JSON text.

    The partial assistant turn is left out where it is the prefill.
    """
    body = request.document["body"]
    if set(body) & {*PROMPT_FIELDS} == {"prompt"} and isinstance(body["prompt"], str):
        return str(body["prompt"])
    messages = body.get("messages")
    if "system" not in body and "prompt" not in body and isinstance(messages, list):
        prefill = request.context["prefill"]
        if (
            prefill is not None
            and messages
            and isinstance(messages[-1], dict)
            and messages[-1].get("content") == prefill
        ):
            messages = messages[:-1]
        if len(messages) == 1 and isinstance(messages[0], dict) and set(messages[0]) == {"role", "content"}:
            role, content = messages[0]["role"], messages[0]["content"]
            if role == "user" and isinstance(content, str):
                return content
        return json.dumps(messages, ensure_ascii=False)
    return json.dumps({name: body[name] for name in PROMPT_FIELDS if name in body}, ensure_ascii=False)


def parameters(request: SampleRequest) -> dict[str, Any]:
    """The body of the request without model and prompt: what was set, by wire name."""
    left_out = (*PROMPT_FIELDS, "model")
    return {name: value for name, value in request.document["body"].items() if name not in left_out}


def parameters_text(request: SampleRequest) -> str:
    """The same on one line, with headers where there are any."""
    settings = parameters(request)
    if request.document["headers"]:
        settings["headers"] = request.document["headers"]
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()) or "(none)"


def moment(response: Response) -> float | None:
    """When the answer came, Unix time in seconds: as received, else as the service dates it; None where unknown."""
    return response.received if response.received is not None else response.created
