"""The one classifier: what an answer, or its absence, means for retries, caches, limits and the user's error.

It reads OpenAI-shaped bodies, chat and plain completions, with OpenRouter's errors (openrouter.ai/docs, errors and
limits, 2026-08). It sends nothing, waits for nothing and knows no adapter; an adapter's own `classify` is asked
before it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from rollouts.announced import announced_wait
from rollouts.error_rules import (
    AGAIN,
    BAD,
    BY_NAME,
    BY_STATUS,
    CREDIT,
    FORBIDDEN,
    MISSING,
    MODERATED,
    PREFILL,
    RATE,
    VAGUE,
    Rule,
)
from rollouts.exceptions import (
    AuthenticationError,
    BadRequest,
    DeadlineExceeded,
    InsufficientCredit,
    MalformedResponse,
    NotFound,
    PrefillUnsupported,
    ProviderError,
    RateLimitError,
    RolloutsError,
    ServerError,
    TransportError,
)
from rollouts.typing import Outcome, WireReply

__all__ = ["classify", "classify_exception", "redact", "to_error"]


_PREFILL_REFUSED = re.compile(
    r"prefill|must end with a user message|continue_final_message|last message.{0,40}user", re.I
)
_NO_MODEL = re.compile(
    r"not a valid model|(model|deployment)\b.{0,80}(does not exist|not (be )?found|is not available)"
    r"|(unknown|invalid|no such|unsupported) model",
    re.I,
)
_IN_FLIGHT = re.compile(r"in[- ]?flight|concurrent|pending requests", re.I)
_AFFORDABLE = re.compile(r"can only afford (\d+)", re.I)
_DAILY = re.compile(r"per[- ]day|daily", re.I)
_KEY_RIGHT = re.compile(r"api key|permission|not (allowed|authori[sz]ed|available) in|region|country|forbidden", re.I)
_MODERATION = re.compile(r"moderat|flagged|guardrail|content policy|safety", re.I)
_SECRET = re.compile(
    r"(?i:bearer|basic)\s+[^\s\"',;]{6,}|\b(?:sk|pk|rk|gsk|csk|fw|hf|xai|key|tgp|AIza)[-_][A-Za-z0-9_-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{10,}|(?i:(?<=api_key=)|(?<=api-key: )|(?<=token=))[^\s&\"']+"
)
_LONG_WAIT = 120.0
"""Seconds: a spent daily quota that returns later than this ends the run."""


def redact(text: str) -> str:
    """`text` with all that looks like a key blotted out."""
    return _SECRET.sub("[redacted]", text)


def classify(reply: WireReply, *, now: Callable[[], float] = time.time) -> Outcome:
    """The verdict on an answer, read from status, body and `finish_reason` together.

    Args:
        reply: The whole answer.
        now: Wall clock, for limits that are announced as a date.
    """
    status = reply.status
    if 300 <= status < 400:
        return _redirected(reply)
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        return _not_json(reply, now)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]  # Google's gateway wraps its errors
    if not isinstance(body, dict):
        return _not_documented(reply, now, f"a JSON {type(body).__name__}")
    error = body.get("error")
    if error or status >= 400:
        return _failed(reply, _error_object(body, error), now)
    choices = body.get("choices")
    if choices == []:
        return _empty(status, "the list of choices is empty")
    choice = choices[0] if isinstance(choices, list) else None
    if not isinstance(choice, dict):
        return _not_documented(reply, now, "JSON without choices")
    if choice.get("error"):
        return _failed(reply, _error_object(choice, choice["error"]), now)
    return _read_choice(choice, body.get("usage"), reply, now)


def classify_exception(error: TransportError) -> Outcome:
    """The verdict where no answer came."""
    message = redact(str(error))
    if isinstance(error, DeadlineExceeded):
        return Outcome("retryable", DeadlineExceeded, message=message, billed=True)
    if error.permanent:
        return Outcome("fatal", type(error), "run", message)
    return Outcome("retryable", type(error), message=message)


def to_error(outcome: Outcome, *, what: str, attempts: int, service: str = "the service") -> RolloutsError:
    """The error that the user gets for a verdict that was the last word.

    Args:
        outcome: The last verdict.
        what: To which sample it came: `sample 17 of "What is…"`.
        attempts: How often it was asked.
        service: Who answered, for the message: a host.
    """
    times = "" if attempts <= 1 else f" {attempts} times"
    kind = outcome.error or ServerError
    if not issubclass(kind, ProviderError):
        return kind(redact(f"{what} got no answer{times and f' ({attempts} tries)'}: {outcome.message}"))
    said = "an empty answer" if outcome.kind == "empty" else str(outcome.status or "an error")
    text = f"{service} answered {said} to {what}{times}"
    if outcome.message:
        text += f": {outcome.message}"
    if outcome.retry_after is not None:
        text += f"; limit resets in {_duration(outcome.retry_after)}"
    advice = next((advice for known, advice in _ADVICE if issubclass(kind, known)), "")
    return kind(redact(text + advice), status=outcome.status, code=outcome.code)


_ADVICE: tuple[tuple[type[ProviderError], str], ...] = (
    (AuthenticationError, "; check the key (api_key=, or the adapter's environment variable)"),
    (InsufficientCredit, "; add credit or raise the key's limit, then run again: what was answered is kept"),
    (NotFound, "; check the model's name, base_url and the provider constraints"),
    (PrefillUnsupported, "; choose a model or provider that continues an assistant turn"),
)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────


def _read_choice(choice: Mapping[str, Any], usage: Any, reply: WireReply, now: Callable[[], float]) -> Outcome:
    reason = choice.get("finish_reason")
    message = choice.get("message")
    if reason == "error":
        return Outcome("retryable", ServerError, message='finish_reason is "error"', status=reply.status, code="error")
    if isinstance(message, dict):
        text = message.get("content")
        said = _has_text(text) or any(message.get(name) for name in _OTHER_PARTS)
        refused = bool(message.get("refusal"))
    elif isinstance(choice.get("text"), str):
        text = choice["text"]
        said, refused = text != "" or bool(choice.get("reasoning")), False
    else:
        return _not_documented(reply, now, "a choice without message or text")
    if reason in ("content_filter", "refusal") or refused:
        return Outcome("refused", status=reply.status, code=reason)
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if reason in ("length", "max_tokens", "model_length"):
        # Hidden reasoning may use all tokens up: nothing is seen, and asking again gives the same.
        return (
            Outcome("truncated", status=reply.status)
            if said or tokens
            else _empty(reply.status, "no text and no token")
        )
    # One token and no text is a model that ended its turn at once, which a prefill can make it do.
    if said or (text == "" and tokens == 1):
        return Outcome("ok", status=reply.status)
    return _empty(reply.status, "neither content nor reasoning")


_OTHER_PARTS = (
    *("reasoning", "reasoning_content", "thinking", "reasoning_details"),
    *("tool_calls", "function_call", "refusal", "images", "audio"),
)


def _has_text(content: Any) -> bool:
    if isinstance(content, list):
        return any(not isinstance(p, dict) or p.get("text") or p.get("type") not in (None, "text") for p in content)
    return bool(content)


def _empty(status: int, message: str) -> Outcome:
    return Outcome("empty", ServerError, message=message, status=status)


# ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────


def _redirected(reply: WireReply) -> Outcome:
    target = re.sub(
        r"//[^/@]*@|[?#].*", lambda m: "//" if m[0].startswith("//") else "", reply.headers.get("location", "")
    )
    message = f"a redirect to {target or 'nowhere'}, which is not followed so that the key stays here: correct base_url"
    return Outcome("fatal", BadRequest, "run", redact(message), reply.status)


def _not_json(reply: WireReply, now: Callable[[], float]) -> Outcome:
    body = reply.body.strip()
    if not body and reply.status < 400:
        return _empty(reply.status, "the body is empty or white space")
    html = body[:1] == b"<"
    if reply.status >= 400:
        return _failed(reply, {"message": _page_title(body) if html else body[:200].decode("utf-8", "replace")}, now)
    kind = "an HTML page (a gateway's? check base_url)" if html else "a body that is no JSON"
    return _not_documented(reply, now, kind)


def _not_documented(reply: WireReply, now: Callable[[], float], what: str) -> Outcome:
    if reply.status >= 400:
        return _failed(reply, {}, now)
    return Outcome("retryable", MalformedResponse, message=f"{what} came instead of an answer", status=reply.status)


def _page_title(body: bytes) -> str:
    title = re.search(rb"<(title|h1)[^>]*>(.*?)</\1>", body[:4000], re.I | re.S)
    return title.group(2).decode("utf-8", "replace").strip() if title else "an HTML page"


def _error_object(body: Mapping[str, Any], error: Any) -> Mapping[str, Any]:
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, "code": body.get("code")}
    detail = body.get("detail")  # FastAPI's word; `message` is older vLLM's
    message = detail if isinstance(detail, str) else body.get("message") or (str(detail)[:200] if detail else "")
    return {"message": message, "code": body.get("code"), "type": body.get("type")}


def _failed(reply: WireReply, error: Mapping[str, Any], now: Callable[[], float]) -> Outcome:
    metadata = _mapping(error.get("metadata"))
    availability = _mapping(error.get("availability") or metadata.get("availability"))
    number = _number(error.get("code")) or _number(error.get("http_status"))
    names = (
        metadata.get("error_type"),
        error.get("error_type"),
        error.get("code"),
        availability.get("code"),
        error.get("type"),
    )
    named = [name for name in names if isinstance(name, str) and not name.isdigit()]
    status = number or (reply.status if reply.status >= 400 else None)
    message = _message(error, metadata)
    rule, implied = _rule(status, named, message, metadata)
    status = status or (implied if named else reply.status)
    wait = announced_wait(reply.headers, metadata, availability, now)
    retryable = availability.get("retryable")
    if retryable is True and rule.stops is not None:
        rule = RATE if status == 429 else AGAIN
    elif retryable is False and rule.stops is None:
        rule = Rule(rule.error, "run")
    if rule.error is InsufficientCredit and (afford := _AFFORDABLE.search(message)):
        message += f" (max_tokens={afford[1]} or less would pass)"
    if rule is RATE and _DAILY.search(message) and (wait is None or wait > _LONG_WAIT):
        rule = Rule(RateLimitError, "run")
    code = named[0] if named else None
    if rule.stops is None:
        return Outcome("retryable", rule.error, "sample", message, status, code, wait, parks=rule.parks)
    return Outcome(
        "fatal", rule.error, rule.stops, message, status, code, wait if rule.error is RateLimitError else None
    )


def _rule(status: int | None, names: list[str], message: str, metadata: Mapping[str, Any]) -> tuple[Rule, int]:
    known = next((BY_NAME[name] for name in names if name in BY_NAME), None)
    if known is None and status is None:
        known = next((VAGUE[name] for name in names if name in VAGUE), (AGAIN, 500))
    if known is not None:
        rule, implied = known
    else:
        implied = status or 500
        rule = BY_STATUS.get(implied, AGAIN if implied >= 500 else BAD)
    if rule is CREDIT and _IN_FLIGHT.search(message):
        return Rule(InsufficientCredit), implied
    if rule is BAD and _PREFILL_REFUSED.search(message):
        return PREFILL, implied
    if rule is BAD and _NO_MODEL.search(message):
        return MISSING, implied
    if rule in (MODERATED, FORBIDDEN):
        if metadata.get("reasons") or metadata.get("patterns") or _MODERATION.search(message):
            return MODERATED, implied
        if _KEY_RIGHT.search(message):
            return FORBIDDEN, implied
    return rule, implied


def _message(error: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    parts = [str(error.get("message") or "")]
    raw = metadata.get("raw")  # the provider's own words, in answers of the older kind
    if isinstance(raw, str) and raw not in parts[0]:
        parts.append(raw)
    text = ": ".join(part for part in parts if part)
    if provider := metadata.get("provider_name"):
        text += f" [{provider}]"
    text = " ".join(redact(text).split())
    return text if len(text) <= 400 else text[:399] + "…"


def _number(value: Any) -> int | None:
    """An HTTP error status given as a number or as its digits."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if 400 <= number <= 599 else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
