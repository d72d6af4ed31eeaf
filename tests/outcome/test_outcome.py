"""Every shape of answer and error that services are known to give, and what it must mean."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.exceptions import (
    AuthenticationError,
    BadRequest,
    DeadlineExceeded,
    InsufficientCredit,
    MalformedResponse,
    NotFound,
    PermissionDenied,
    PrefillUnsupported,
    ProviderError,
    RateLimitError,
    ServerError,
    TransportError,
)
from rollouts.outcome import classify, classify_exception, redact, to_error
from rollouts.testing import chat_reply, completion_reply
from rollouts.typing import WireReply

NOW = 1_790_000_000.0


def verdict(status=200, body=None, headers=None, raw=None):
    data = raw if raw is not None else json.dumps(body).encode()
    return classify(WireReply(status, headers or {}, data), now=lambda: NOW)


def failed(code, message="no", status=None, **fields):
    return verdict(
        status or (code if isinstance(code, int) else 400), {"error": {"code": code, "message": message, **fields}}
    )


def message(finish_reason="stop", usage=None, **fields):
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": finish_reason}], "usage": usage}


# ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (chat_reply(), "ok"),
        (chat_reply(finish_reason=None), "ok"),
        (chat_reply(finish_reason="length"), "truncated"),
        (chat_reply(finish_reason="content_filter"), "refused"),
        (chat_reply(content="", finish_reason="length"), "truncated"),
        (chat_reply(content=None), "ok"),
        (completion_reply(), "ok"),
        (completion_reply(finish_reason="length"), "truncated"),
        (completion_reply(text=""), "empty"),
        (message(content=None, tool_calls=[{"id": "a"}], finish_reason="tool_calls"), "ok"),
        (message(content=None, reasoning_content="So."), "ok"),
        (message(content=[{"type": "text", "text": "Four."}]), "ok"),
        (message(content=[{"type": "text", "text": ""}]), "empty"),
        (message(content=[]), "empty"),
        (message(content=None, refusal="No."), "refused"),
        (message(content=None), "empty"),
        (message(content=""), "empty"),
        (message(content="", usage={"completion_tokens": 20}), "empty"),
        (message(content="", usage={"completion_tokens": 1}), "ok"),
        (message(content=None, finish_reason="length", usage={"completion_tokens": 0}), "empty"),
        (message(content="", finish_reason="length", usage={"completion_tokens": 500}), "truncated"),
        (chat_reply(finish_reason="error"), "retryable"),
        (chat_reply(choices=[]), "empty"),
        (chat_reply(error=None), "ok"),
    ],
)
def test_bodies_without_an_error(body, kind):
    outcome = verdict(body=body)
    assert outcome.kind == kind
    assert outcome.is_answer == (kind in ("ok", "truncated", "refused"))
    assert (outcome.error is None) == outcome.is_answer


@pytest.mark.parametrize(
    ("raw", "kind", "error"),
    [
        (b"", "empty", ServerError),
        (b" \n\n \r\n", "empty", ServerError),
        (b"<html><title>Bad gateway</title></html>", "retryable", MalformedResponse),
        (b"\xff\xfe\xfd", "retryable", MalformedResponse),
        (b'{"choices": [{"mess', "retryable", MalformedResponse),
        (b"[1, 2]", "retryable", MalformedResponse),
        (b'"ok"', "retryable", MalformedResponse),
        (b"null", "retryable", MalformedResponse),
        (b"{}", "retryable", MalformedResponse),
        (b'{"choices": "none"}', "retryable", MalformedResponse),
        (b'{"choices": [3]}', "retryable", MalformedResponse),
        (b'{"choices": [{}]}', "retryable", MalformedResponse),
        (b"[" * 100_000, "retryable", MalformedResponse),
    ],
)
def test_a_200_that_is_no_answer_is_asked_again(raw, kind, error):
    outcome = verdict(raw=raw)
    assert (outcome.kind, outcome.error) == (kind, error)


def test_padding_before_the_json_is_no_harm():
    assert verdict(raw=b"\n \n\n" + json.dumps(chat_reply()).encode()).kind == "ok"


# ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "kind", "error", "stops"),
    [
        (400, "fatal", BadRequest, "prompt"),
        (401, "fatal", AuthenticationError, "run"),
        (402, "fatal", InsufficientCredit, "run"),
        (403, "fatal", PermissionDenied, "prompt"),
        (404, "fatal", NotFound, "run"),
        (408, "retryable", ServerError, "sample"),
        (412, "fatal", BadRequest, "prompt"),
        (413, "fatal", BadRequest, "prompt"),
        (422, "fatal", BadRequest, "prompt"),
        (429, "retryable", RateLimitError, "sample"),
        (499, "retryable", ServerError, "sample"),
        *[(status, "retryable", ServerError, "sample") for status in (500, 502, 503, 504, 524, 529, 599)],
    ],
)
def test_each_status_means_the_same_as_a_status_and_inside_a_200(status, kind, error, stops):
    body = {"error": {"code": status, "message": "no"}}
    shapes = [
        (status, body),
        (200, body),
        (200, {**chat_reply(choices=[]), **body}),
        (200, {"choices": [{"message": {"content": "par"}, "finish_reason": "error", **body}]}),
        (200, {"error": {"code": str(status), "message": "no"}}),
        (200, {"error": {"http_status": status, "message": "no"}}),
        (status, {"error": "no"}),
        (status, {"detail": "no"}),
        (status, {"object": "error", "message": "no", "code": status}),
        (status, [body]),
        (status, {}),
        (status, ["what", "is", "this"]),
    ]
    outcomes = [verdict(*shape) for shape in shapes] + [
        verdict(status, raw=b"<html><h1>no</h1></html>"),
        verdict(status, raw=b""),
        verdict(status, raw=b"\xff"),
    ]
    for outcome in outcomes:
        assert (outcome.kind, outcome.error, outcome.stops, outcome.status) == (kind, error, stops, status)
        assert outcome.parks == (status == 429)
    assert outcomes[0].message == "no"


@pytest.mark.parametrize(
    ("outcome", "kind", "error", "stops"),
    [
        # String codes and types, as OpenAI and OpenRouter give them.
        (verdict(200, {"error": {"code": "server_error", "message": "x"}}), "retryable", ServerError, "sample"),
        (verdict(200, {"error": {"message": "Provider returned error"}}), "retryable", ServerError, "sample"),
        (verdict(200, {"error": "overloaded"}), "retryable", ServerError, "sample"),
        (verdict(200, {"error": {"error_type": "rate_limit_exceeded"}}), "retryable", RateLimitError, "sample"),
        (
            verdict(200, {"error": {"metadata": {"error_type": "provider_overloaded"}}}),
            "retryable",
            ServerError,
            "sample",
        ),
        (failed("insufficient_quota", status=429), "fatal", InsufficientCredit, "run"),
        (failed("invalid_api_key", status=401, type="invalid_request_error"), "fatal", AuthenticationError, "run"),
        (failed("model_not_found", status=400), "fatal", NotFound, "run"),
        (failed("context_length_exceeded", status=400), "fatal", BadRequest, "prompt"),
        (failed(400, metadata={"error_type": "refusal"}), "fatal", BadRequest, "prompt"),
        (failed(400, metadata={"error_type": "content_policy_violation"}), "fatal", PermissionDenied, "prompt"),
        (failed(None, type="invalid_request_error", status=503), "retryable", ServerError, "sample"),
        (failed("rate_limit_exceeded", status=429, type="tokens"), "retryable", RateLimitError, "sample"),
        # Availability is obeyed over the code, both ways.
        (
            failed(404, availability={"code": "no_endpoints", "retryable": True}),
            "retryable",
            ServerError,
            "sample",
        ),
        (
            failed(503, availability={"code": "temporarily_unavailable", "retryable": False}),
            "fatal",
            ServerError,
            "run",
        ),
        (
            verdict(
                429, {"error": {"error_type": "x", "http_status": 429, "availability": {"code": "capacity_exhausted"}}}
            ),
            "retryable",
            RateLimitError,
            "sample",
        ),
        (verdict(404, {"error": {"availability": {"code": "free_variant_ended"}}}), "fatal", NotFound, "run"),
        # Words.
        (failed(400, "foo/bar is not a valid model ID"), "fatal", NotFound, "run"),
        (failed(404, "The model `x` does not exist"), "fatal", NotFound, "run"),
        (failed(400, "This model does not support assistant message prefill."), "fatal", PrefillUnsupported, "run"),
        (failed(400, "The conversation must end with a user message."), "fatal", PrefillUnsupported, "run"),
        (
            failed(400, "Provider returned error", metadata={"raw": '{"message": "prefill is not supported"}'}),
            "fatal",
            PrefillUnsupported,
            "run",
        ),
        (
            failed(402, "You have too many in-flight requests for your balance"),
            "retryable",
            InsufficientCredit,
            "sample",
        ),
        (
            failed(403, "x", metadata={"reasons": ["violence"], "flagged_input": "…"}),
            "fatal",
            PermissionDenied,
            "prompt",
        ),
        (failed(403, "Your input was flagged"), "fatal", PermissionDenied, "prompt"),
        (failed(403, "This API key has no permission for the model"), "fatal", PermissionDenied, "run"),
        (failed(403, "not available in your region"), "fatal", PermissionDenied, "run"),
        (failed(429, "Rate limit exceeded: free-models-per-day"), "fatal", RateLimitError, "run"),
    ],
)
def test_what_says_more_than_a_status_decides(outcome, kind, error, stops):
    assert (outcome.kind, outcome.error, outcome.stops) == (kind, error, stops)


def test_a_402_that_names_what_is_affordable_passes_the_hint_on():
    outcome = failed(
        402, "This request requires more credits: you requested up to 8000 tokens, but can only afford 512."
    )
    assert outcome.kind == "fatal"
    assert "max_tokens=512" in str(to_error(outcome, what="sample 1", attempts=1))


def test_a_redirect_stops_the_run_and_names_its_target_without_secrets():
    outcome = verdict(302, raw=b"", headers={"location": "https://user:hidden@other.example/login?token=abc"})
    assert (outcome.kind, outcome.stops) == ("fatal", "run")
    assert "https://other.example/login" in outcome.message
    assert "base_url" in outcome.message
    assert "hidden" not in outcome.message
    assert "abc" not in outcome.message


@pytest.mark.parametrize(
    ("headers", "error", "wait"),
    [
        ({"retry-after": "7"}, {}, 7),
        ({"retry-after": "0.5"}, {}, 0.5),
        ({"retry-after": "-3"}, {}, 0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, {}, 1.5),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, {}, 90),
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW + 60, usegmt=True)}, {}, 30),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, {}, 0),
        ({"retry-after": "soon"}, {}, None),
        ({"x-ratelimit-reset": str(int((NOW + 34) * 1000))}, {}, 34),
        ({"x-ratelimit-reset": str(int(NOW + 34))}, {}, 34),
        ({"x-ratelimit-reset": "34"}, {}, 34),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": str(int((NOW + 20) * 1000))}}}, 20),
        ({}, {"metadata": {"headers": {"Retry-After": "5"}}}, 5),
        ({}, {"availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 11}}, 11),
        ({}, {}, None),
    ],
)
def test_announced_waits_in_every_form(headers, error, wait):
    outcome = verdict(429, {"error": {"code": 429, "message": "slow down", **error}}, headers)
    assert outcome.retry_after == (None if wait is None else pytest.approx(wait, abs=0.01))
    assert outcome.kind == "retryable"
    assert outcome.parks


def test_a_daily_quota_stops_the_run_and_tells_when_it_returns():
    headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Reset": str(int((NOW + 5 * 3600) * 1000))}
    outcome = failed(429, "Rate limit exceeded: free-models-per-day", metadata={"headers": headers})
    assert (outcome.kind, outcome.stops) == ("fatal", "run")
    told = to_error(outcome, what="sample 0", attempts=1, service="openrouter.ai")
    assert isinstance(told, RateLimitError)
    assert "resets in 5.0 h" in str(told)


def test_a_daily_quota_that_returns_within_the_minute_is_waited_for():
    outcome = verdict(429, {"error": {"code": 429, "message": "free-models-per-day"}}, {"retry-after": "30"})
    assert outcome.kind == "retryable"


# ── No answer, and the user's error ─────────────────────────────────────────────────────────────────────


def test_no_answer_is_asked_again_and_a_deadline_is_marked_as_charged():
    assert classify_exception(TransportError("refused")).kind == "retryable"
    assert not classify_exception(TransportError("refused")).billed
    late = classify_exception(DeadlineExceeded("late"))
    assert (late.kind, late.billed, late.error) == ("retryable", True, DeadlineExceeded)


def test_what_asking_again_cannot_mend_stops_the_run():
    error = TransportError("the certificate is not trusted")
    error.permanent = True
    outcome = classify_exception(error)
    assert (outcome.kind, outcome.stops, outcome.error) == ("fatal", "run", TransportError)


def test_the_error_says_who_what_how_often_and_how_long():
    outcome = verdict(429, {"error": {"code": 429, "message": "slow down"}}, {"retry-after": "34"})
    error = to_error(outcome, what='sample 17 of "What is…"', attempts=10, service="openrouter.ai")
    assert type(error) is RateLimitError
    assert str(error) == (
        'openrouter.ai answered 429 to sample 17 of "What is…" 10 times: slow down; limit resets in 34 s'
    )
    assert (error.status, error.code) == (429, None)


def test_the_error_of_a_timed_out_call_is_a_timeout_error():
    error = to_error(classify_exception(DeadlineExceeded("not within 5 s")), what="sample 2", attempts=2)
    assert isinstance(error, TimeoutError)
    assert "sample 2" in str(error)
    assert "2 tries" in str(error)


@pytest.mark.parametrize(
    "secret",
    ["Bearer abcdef123456", "sk-or-v1-0123456789abcdef", "sk-proj-abc_DEF-123", "gsk_abcdefghij", "hf_abcdefghij"],
)
def test_keys_that_a_service_quotes_are_blotted_out(secret):
    outcome = failed(401, f"Incorrect API key provided: {secret}.", metadata={"raw": f"key {secret}"})
    told = str(to_error(outcome, what="sample 0", attempts=1))
    assert secret.split()[-1] not in outcome.message + told
    assert "[redacted]" in told
    assert "api_key" in told


def test_ordinary_words_are_not_blotted_out():
    text = "the task-oriented desk-lamp asked for basic rules and a bearer of news"
    assert redact(text) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "choices",
                    "message",
                    "code",
                    "metadata",
                    "availability",
                    "content",
                    "text",
                    "headers",
                    "usage",
                    "finish_reason",
                    "retryable",
                    "retry_after",
                    "http_status",
                    "type",
                    "error_type",
                    "raw",
                    "detail",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from([200, 201, 301, 400, 402, 403, 404, 429, 500, 503]), JSON)
def test_no_json_breaks_the_classifier_and_no_error_status_is_an_answer(status, body):
    outcome = verdict(status, body)
    assert outcome.kind in ("ok", "truncated", "refused", "empty", "retryable", "fatal")
    if status >= 300:
        assert not outcome.is_answer
    if not outcome.is_answer:
        error = to_error(outcome, what="sample 0", attempts=1)
        assert isinstance(error, ProviderError)
    if isinstance(body, dict) and body.get("error"):
        assert not outcome.is_answer


@given(st.binary(max_size=200), st.sampled_from([200, 404, 502]))
def test_no_bytes_break_the_classifier(raw, status):
    assert verdict(status, raw=raw).kind
