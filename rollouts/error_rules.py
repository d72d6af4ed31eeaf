"""What each status and each name of an error means: the tables of `outcome`, as data.

Names are those of OpenRouter's `error_type` and `availability.code` (2026-08) and of OpenAI, Anthropic and vLLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rollouts.exceptions import (
    AuthenticationError,
    BadRequest,
    InsufficientCredit,
    NotFound,
    PermissionDenied,
    PrefillUnsupported,
    ProviderError,
    RateLimitError,
    ServerError,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What an error means; the tables below give one to each status and name."""

    error: type[ProviderError]
    stops: Literal["sample", "prompt", "run"] | None = None
    """How far it reaches; None: it is asked again."""
    parks: bool = False


RATE = Rule(RateLimitError, parks=True)
AGAIN = Rule(ServerError)
KEY = Rule(AuthenticationError, "run")
CREDIT = Rule(InsufficientCredit, "run")
MISSING = Rule(NotFound, "run")
BAD = Rule(BadRequest, "prompt")
FORBIDDEN = Rule(PermissionDenied, "run")
MODERATED = Rule(PermissionDenied, "prompt")
PREFILL = Rule(PrefillUnsupported, "run")

BY_STATUS: dict[int, Rule] = {
    401: KEY,
    402: CREDIT,
    403: MODERATED,
    404: MISSING,
    405: MISSING,
    407: FORBIDDEN,
    408: AGAIN,
    409: AGAIN,
    410: MISSING,
    425: AGAIN,
    429: RATE,
    499: AGAIN,
}
"""Other 4xx stop the prompt, 5xx are asked again."""

BY_NAME: dict[str, tuple[Rule, int]] = {
    "rate_limit_exceeded": (RATE, 429),
    "rate_limit_error": (RATE, 429),
    "too_many_requests": (RATE, 429),
    "capacity_exhausted": (RATE, 429),
    "provider_overloaded": (AGAIN, 529),
    "overloaded_error": (AGAIN, 529),
    "provider_unavailable": (AGAIN, 502),
    "temporarily_unavailable": (AGAIN, 503),
    "timeout": (AGAIN, 504),
    "authentication": (KEY, 401),
    "authentication_error": (KEY, 401),
    "invalid_api_key": (KEY, 401),
    "payment_required": (CREDIT, 402),
    "insufficient_quota": (CREDIT, 402),
    "insufficient_credits": (CREDIT, 402),
    "billing_hard_limit_reached": (CREDIT, 402),
    "permission_denied": (FORBIDDEN, 403),
    "permission_error": (FORBIDDEN, 403),
    "region_restricted": (FORBIDDEN, 403),
    "content_policy_violation": (MODERATED, 403),
    "content_filter": (MODERATED, 403),
    "not_found": (MISSING, 404),
    "model_not_found": (MISSING, 404),
    "no_endpoints": (MISSING, 404),
    "model_deprecated": (MISSING, 404),
    "model_unavailable_upstream": (MISSING, 404),
    "privacy_restricted": (MISSING, 404),
    "constraint_filtered": (MISSING, 404),
    "free_variant_ended": (MISSING, 404),
    "wrong_endpoint": (MISSING, 404),
    "precondition_failed": (BAD, 412),
    "payload_too_large": (BAD, 413),
    "unprocessable": (BAD, 422),
} | dict.fromkeys(
    (
        "context_length_exceeded",
        "max_tokens_exceeded",
        "token_limit_exceeded",
        "string_too_long",
        "invalid_prompt",
        "refusal",
        "invalid_image",
        "image_too_large",
        "image_too_small",
        "unsupported_image_format",
        "image_not_found",
        "image_download_failed",
    ),
    (BAD, 400),
)
"""Names that say more than a status. General ones follow in `VAGUE`."""

VAGUE: dict[str, tuple[Rule, int]] = {
    "server": (AGAIN, 500),
    "server_error": (AGAIN, 500),
    "internal_error": (AGAIN, 500),
    "internal_server_error": (AGAIN, 500),
    "api_error": (AGAIN, 500),
    "unmapped": (AGAIN, 500),
    "invalid_request": (BAD, 400),
    "invalid_request_error": (BAD, 400),
}
"""Names that count only where there is no number."""
