"""How one prompt would be asked: body, headers, identity, cache. Sends nothing, needs no key and shows none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollouts.asking import Asking
from rollouts.engine.jobs import merged
from rollouts.identity import SampleKey, SampleRequest
from rollouts.planning.notes import collected
from rollouts.resources import Resolved, Resources
from rollouts.settings import Settings, public_url
from rollouts.transport import Auth

MASK = "***"


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one prompt would be asked. Printed, it is a page."""

    url: str | None
    """Without user and query; None where it is known only once the adapter is open, or where there is none."""
    headers: Mapping[str, str]
    """As they go out, with `***` for the key; empty for an adapter that sends by itself."""
    body: Mapping[str, Any]
    """As it goes out for the first sample: with its seed, and with the routing that the package chose."""
    adapter: str
    template: str
    """The think template."""
    service: str
    """Who answers, for the identity."""
    model: str
    fingerprint: str
    """Of the request; 64 hexadecimal digits."""
    number: int
    """The first sample's number."""
    seed_field: str | None
    """The field of the body that takes the number; None where the service takes no seeds."""
    pin: Mapping[str, Any]
    """Routing that the package itself chose: in the body, no part of the identity."""
    key: str | None
    """Where the key comes from; None where there is none, or none is needed."""
    cache: str | None
    """Name of the cache; None without one."""
    place: str | None
    """Where the first sample lies or would lie."""
    cached: bool
    """Whether the cache has the first sample."""
    warnings: tuple[str, ...]
    """What the call would warn of."""

    def __str__(self) -> str:
        sent = f"sent as {self.seed_field!r}" if self.seed_field else "not sent: the service takes none"
        key = "needed, and none is given" if MASK in "".join(self.headers.values()) else "none"
        lines = [
            f"POST {self.url or '(known once the adapter is open)'}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            "",
            json.dumps(self.body, indent=2, ensure_ascii=False),
            "",
            f"adapter      {self.adapter}",
            f"service      {self.service}",
            f"model        {self.model}",
            f"template     {self.template}",
            f"number       {self.number}, {sent}",
            f"key          {f'from {self.key}' if self.key else key}",
            f"fingerprint  {self.fingerprint}",
            f"cache        {self.cache or 'none'}"
            + (f" ({'there' if self.cached else 'missing'})" if self.cache else ""),
        ]
        if self.place:
            lines.append(f"place        {self.place}")
        if self.pin:
            lines.append(f"pinned       {json.dumps(self.pin)}")
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def explain(resources: Resources, settings: Settings, prompt: Any) -> Explanation:
    """Encode a prompt as a call would, and tell everything about it.

    Raises:
        ConfigError: What the call would raise before it sends, but for a missing key.
        CacheError: The cache cannot be read.
    """
    with collected() as notes:
        # An adapter warns once of some things: the one that asks keeps its warnings.
        resolved = resources.with_new_adapter(resources.resolve(settings))
        request = Asking(resources, resolved, None).request(prompt)
        number = settings.seed
        store = resources.store(settings)
        stored = None
        if store is not None:
            stored = next((response for _, response in store.load_many([SampleKey(request, number)])), None)
    wire = request.wire
    # A set that has begun goes on with the routing that it began with.
    pin = wire.pin if stored is None or not stored.pin else stored.pin
    place = None
    if store is not None:
        placed = getattr(store.backend, "place", None)
        place = store.location if placed is None else placed(SampleKey(request, number))
    return Explanation(
        url=public_url(wire.url) if wire.url else None,
        headers=_headers(resources, resolved, request),
        body=merged(wire.body, pin) | ({wire.seed_field: number} if wire.seed_field else {}),
        adapter=resolved.spec.name,
        template=resources.template(resolved, prompt).name,
        service=resolved.identity,
        model=resolved.model,
        fingerprint=request.fingerprint,
        number=number,
        seed_field=wire.seed_field,
        pin=pin,
        key=_key(resources, resolved),
        cache=None if store is None else store.label,
        place=place,
        cached=stored is not None,
        warnings=tuple(notes),
    )


def _headers(resources: Resources, resolved: Resolved, request: SampleRequest) -> dict[str, str]:
    if resolved.service.send is not None or not request.wire.url:
        return {}
    spec = resolved.spec
    key, missing = resources.key(resolved.settings, spec)
    auth = Auth(MASK, spec.key_header, spec.key_prefix) if key is not None or missing is not None else None
    headers = {**request.wire.headers, **resolved.settings.extra_headers}
    return resources.engine.transport(1).prepare(request.wire.url, headers, auth).shown_headers(spec.key_header)


def _key(resources: Resources, resolved: Resolved) -> str | None:
    if resolved.settings.api_key is not None:
        return "api_key="
    key, _ = resources.key(resolved.settings, resolved.spec)
    return resolved.spec.key_variable if key is not None else None
