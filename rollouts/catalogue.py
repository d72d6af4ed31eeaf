"""What a service offers: its models, its providers, and what a key may still do. One GET each; asks no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollouts.exceptions import ConfigError, MalformedResponse
from rollouts.outcome import classify, to_error
from rollouts.resources import Resolved, Resources
from rollouts.transport import Auth


def get(resources: Resources, resolved: Resolved, path: str, *, with_key: bool) -> Any:
    """The parsed `data` of `<base URL>/<path>`, or the whole answer where it has none.

    Args:
        resources: The client's parts.
        resolved: Whom to ask.
        path: Below the base URL, without a slash before it.
        with_key: Whether the key goes along; a list that anybody may read needs none.

    Raises:
        ConfigError: A key is needed and none is found, or the adapter has no base URL.
        RolloutsError: The service did not answer, or said no.
    """
    if not resolved.base_url or not resolved.spec.http:
        raise ConfigError(f"{resolved.spec.name} has no such list: it is no service on the network.")
    key, missing = resources.key(resolved.settings, resolved.spec)
    if with_key and missing is not None:
        raise ConfigError(missing)
    spec = resolved.spec
    auth = None if key is None else Auth(key.reveal(), spec.key_header, spec.key_prefix)
    url = f"{resolved.base_url}/{path}"
    transport = resources.engine.transport(resolved.settings.max_concurrency)
    reply = transport.get(url, auth=auth, timeout=min(resolved.settings.timeout, 60.0))
    if reply.status != 200:
        raise to_error(classify(reply), what=f"/{path}", attempts=1, service=resolved.service.host)
    try:
        answer = reply.json()
    except ValueError:
        raise MalformedResponse(f"{url} answered no JSON: is the base URL right?", status=reply.status) from None
    return answer.get("data", answer) if isinstance(answer, Mapping) else answer


def rows_of(found: Any, what: str) -> list[Mapping[str, Any]]:
    """The entries of a list, checked.

    Raises:
        MalformedResponse: It is no list of objects.
    """
    if isinstance(found, Mapping):
        found = found.get(what, found)
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise MalformedResponse(f"the service answered no list of {what}.")
    return found


def price(model: Mapping[str, Any], kind: str) -> float | None:
    """US dollars for a million tokens (`kind` is `prompt` or `completion`); None where not stated."""
    stated = model.get("pricing")
    try:
        return float(stated[kind]) * 1e6 if isinstance(stated, Mapping) and kind in stated else None
    except (TypeError, ValueError):
        return None
