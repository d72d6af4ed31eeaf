"""Signs in an error body that the common rules cannot know: a refused prefill. Knows every service's error shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rollouts.exceptions import MalformedResponse, PrefillUnsupported
from rollouts.typing import Outcome, WireReply

_REFUSED_PREFILL = re.compile(
    r"prefill"
    r"|must end with a user message"
    r"|last message (?:\w+ ){0,4}(?:user|not (?:be )?(?:from )?(?:the )?assistant)"
    r"|(?:expected|should) (?:the )?last (?:message|role)"
    r"|final message (?:\w+ ){0,6}(?:not|does not) (?:\w+ ){0,4}(?:appear|found)"
    r"|continue_final_message"
    r"|cannot continue (?:an|the) assistant"
    r"|assistant response prefix|incompatible with enable_thinking",
    re.IGNORECASE,
)


def classify_prefill(reply: WireReply, service: str) -> Outcome | None:
    """A fatal verdict where `reply` refuses a partial assistant turn; None leaves it to the common rules."""
    if reply.status not in (400, 422):
        return None
    try:
        message = error_text(reply.json())
    except ValueError:
        return None
    if not _REFUSED_PREFILL.search(message):
        return None
    return Outcome(
        "fatal",
        PrefillUnsupported,
        "run",
        message=f"{service} refused the partial assistant turn: {message[:300]} — use a model or server that continues "
        "one (`rollouts probe` finds out), or sample without a prefill.",
        status=reply.status,
    )


def error_text(body: Any) -> str:
    """The message of an error body, in whichever of the known shapes it came; empty where there is none.

    Shapes: `{"error": {"message"}}` (most), `{"error": "…"}` (Ollama), `{"message"}` (vLLM, Mistral),
    `{"detail": "…" | [{"msg"}]}` (FastAPI servers), `metadata.raw` inside OpenRouter's "Provider returned error".
    """
    if not isinstance(body, Mapping):
        return ""
    pieces: list[str] = []
    for holder in (body.get("error"), body.get("detail"), body):
        if isinstance(holder, str):
            pieces.append(holder)
        elif isinstance(holder, list):
            pieces += [item["msg"] for item in holder if isinstance(item, Mapping) and isinstance(item.get("msg"), str)]
        elif isinstance(holder, Mapping):
            if isinstance(holder.get("message"), str):
                pieces.append(holder["message"])
            metadata = holder.get("metadata")
            if isinstance(metadata, Mapping) and isinstance(metadata.get("raw"), str):
                pieces.append(metadata["raw"])
    return " — ".join(dict.fromkeys(piece for piece in pieces if piece))


def malformed(reply: WireReply, what: str) -> MalformedResponse:
    """The error for an answer without the documented shape."""
    return MalformedResponse(f"the answer {what} (HTTP {reply.status}, {len(reply.body)} bytes)", status=reply.status)
