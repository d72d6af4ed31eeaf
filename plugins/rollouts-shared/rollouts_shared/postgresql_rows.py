"""What a row of the cache `postgresql` holds. Knows no connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rollouts.exceptions import ConfigError
from rollouts.identity import SampleRequest
from rollouts.results import Response
from rollouts.results.codec import from_record, is_answer


def read_record(
    record: str, number: int, raw: Callable[[], bytes] | None, context: Mapping[str, Any]
) -> Response | None:
    """The response in a row; None for a damaged one."""
    prefill, injected = context.get("prefill"), context.get("injected")
    try:
        return from_record(json.loads(record), seed=number, raw=raw, prefill=prefill, injected=injected)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def is_kept(record: str, number: int) -> bool:
    """True for a sound answer, which stays."""
    response = read_record(record, number, None, {})
    return response is not None and is_answer(response)


def read_request(fingerprint: str, document: str, context: str) -> SampleRequest | None:
    """The request in a row; None for one whose document is not its own."""
    try:
        request = SampleRequest.stored(json.loads(document), json.loads(context))
    except (ConfigError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return request if (request.fingerprint, request.canonical) == (fingerprint, document) else None
