"""Who a sample is: the fingerprint of all that decides its answer, and its number.

Knows nothing of caches and providers. The identity document holds adapter, service, endpoint, the final wire
body and the user's headers; it is whatever the adapter encoded, so a field nobody thought of changes it. Where the
user forced a think template on the model it holds that too, because answers are kept as they were split. Left out
by name: the key, the seed, routing that the package itself chose, our own headers, timeouts and retries.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rollouts.exceptions import ConfigError
from rollouts.typing import Conversation, Parts, WireRequest

IDENTITY_VERSION = 2
"""Version of the identity document (1 was rollouts 0.1.x)."""

PROMPT_FIELDS = ("messages", "prompt", "system")
"""Fields of a body that are the prompt; all others are parameters."""

_LARGEST_EXACT = 2**53


def canonical(value: Any) -> str:
    """`value` as canonical JSON: ASCII, keys sorted, no spaces, 1.0 written as 1.

    Raises:
        ConfigError: NaN, an infinity, a key that is not a string, or a value that JSON has not.
    """
    return _dump(_normal(value, "$"))


def _dump(normal: Any) -> str:
    return json.dumps(normal, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _normal(value: Any, path: str) -> Any:
    if value is None or value is True or value is False or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{path} is {value}: JSON has no such number. Give a finite one.")
        return int(value) if value.is_integer() and abs(value) <= _LARGEST_EXACT else value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{path} has the key {key!r}: keys of a request must be strings.")
        return {key: _normal(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise ConfigError(f"{path} is a {type(value).__name__}: give JSON values only (text, numbers, lists, objects).")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class SampleRequest:
    """One prompt with its settings, ready to be asked any number of times. Immutable, compared by fingerprint.

    Attributes:
        adapter: Name of the adapter that encoded it.
        service: Who answers: `openrouter`, the SHA-256 of local weights, or a base URL without user and query.
        model: The exact model name.
        wire: What is sent.
        document: The identity document as a JSON object, whole numbers as integers.
        canonical: The same as canonical JSON.
        fingerprint: SHA-256 of `canonical`, 64 hexadecimal digits.
        prompt_digest: SHA-256 of the prompt alone, 64 hexadecimal digits.
        parameters_digest: SHA-256 of all but the prompt, 64 hexadecimal digits.
        prompt: The prompt as the caller gave it; no part of the identity.
    """

    __slots__ = (
        "adapter", "canonical", "document", "fingerprint", "model", "parameters_digest", "prompt", "prompt_digest",
        "service", "wire",
    )  # fmt: skip

    def __init__(
        self,
        *,
        adapter: str,
        service: str,
        model: str,
        wire: WireRequest,
        extra_headers: Mapping[str, str] | None = None,
        prompt: Any = None,
        template: str | None = None,
    ) -> None:
        """Take the identity of `wire`, whose answers are split by `template` where it is not the model's own.

        Raises:
            ConfigError: The body holds something that JSON has not.
        """
        self.adapter = adapter
        self.service = service
        self.model = model
        self.wire = wire
        self.prompt = prompt
        # Header names carry no case (RFC 9110 section 5.1), so their case is no difference.
        headers = {name.lower(): value for name, value in (extra_headers or {}).items()}
        document: dict[str, Any] = {
            "identity": IDENTITY_VERSION,
            "adapter": adapter,
            "service": service,
            "endpoint": wire.endpoint,
            "model": model,
            "headers": headers,
            "body": wire.body,
        }
        if template is not None:
            document["template"] = template
        # A copy, in its normal form: the caller may go on to change the messages that it gave.
        self.document: dict[str, Any] = _normal(document, "$")
        self.canonical = _dump(self.document)
        self.fingerprint = _digest(self.canonical)
        body = self.document["body"]
        asked = {name: body[name] for name in PROMPT_FIELDS if name in body}
        others = {name: value for name, value in body.items() if name not in PROMPT_FIELDS}
        self.prompt_digest = _digest(_dump(asked))
        self.parameters_digest = _digest(_dump({**self.document, "body": others}))

    @classmethod
    def stored(cls, document: Mapping[str, Any], context: Mapping[str, Any]) -> SampleRequest:
        """The request that a cache or pack kept: of the same identity, good for looking up, never sent.

        Args:
            document: `document` of the request that was asked.
            context: Its `context`.

        Raises:
            ConfigError: No such document, or one of another version.
        """
        if document.get("identity") != IDENTITY_VERSION:
            raise ConfigError(f"a stored request of identity version {document.get('identity')!r} cannot be read")
        try:
            thought = Conversation((), context.get("prefill"), context.get("injected"))
            wire = WireRequest("", document["endpoint"], document["body"], None, thought, _NoTemplate())
            request = cls(
                adapter=document["adapter"],
                service=document["service"],
                model=document["model"],
                wire=wire,
                extra_headers=document["headers"],
                template=document.get("template"),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"a stored request is no request ({type(error).__name__}: {error})") from error
        if request.document != _normal(document, "$"):
            raise ConfigError("a stored request holds what no request of this version has")
        return request

    @property
    def context(self) -> dict[str, Any]:
        """What a stored request tells beside its identity: the prefill and the injected thought."""
        conversation = self.wire.conversation
        return {"prefill": conversation.prefill, "injected": conversation.thought}

    def __eq__(self, other: object) -> bool:
        """Equal fingerprints."""
        return isinstance(other, SampleRequest) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"SampleRequest({self.adapter}, {self.model}, {self.fingerprint[:16]})"


def prompt_texts(request: SampleRequest) -> list[str]:
    """All text of a request's prompt, message by message; no roles, types and addresses of images."""
    body = request.document["body"]
    return [text for name in PROMPT_FIELDS if name in body for text in _texts(body[name])]


_NO_TEXT = frozenset({"role", "type", "url", "data"})


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for name, item in value.items() if name not in _NO_TEXT for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


class _NoTemplate:
    """Stands in a stored request, whose answers were split when they came."""

    def open(self, thought: str) -> str:
        raise ConfigError("a stored request is never sent")

    def split(self, text: str, prefill: str | None) -> Parts:
        raise ConfigError("a stored request is never sent")


class SampleKey(NamedTuple):
    """One sample: its request and its number. Two equal keys are the same sample."""

    request: SampleRequest
    number: int
