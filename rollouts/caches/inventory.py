"""Tells what a stored text is without knowing which sample was asked for. Opens nothing and knows no layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rollouts.caches import json_format
from rollouts.exceptions import ConfigError
from rollouts.identity import SampleRequest
from rollouts.results.codec import RECORD_FORMAT, from_record
from rollouts.typing import StoredEntry


class Reader:
    """Reads the texts of `json_format`. Samples of one request lie together, so the last request is remembered."""

    def __init__(self) -> None:
        self._document: Any = None
        self._context: Any = None
        self._request: SampleRequest | None = None

    def entry(
        self,
        data: bytes,
        place: str,
        raw: Callable[[], bytes],
        *,
        belongs: Callable[[SampleRequest, int], bool],
    ) -> StoredEntry:
        """What is stored at `place`.

        Args:
            data: The text.
            place: Where it is, for people.
            raw: Reads the raw body again.
            belongs: Whether this is the place of that sample.
        """

        def trouble(problem: Any, request: SampleRequest | None = None, number: int | None = None) -> StoredEntry:
            return StoredEntry(place, len(data), request, number, problem=problem)

        try:
            entry = json.loads(data)
        except (ValueError, RecursionError):
            return trouble("damaged")
        if not isinstance(entry, dict):
            return trouble("foreign")
        version, number = entry.get("format"), entry.get("number")
        if version is None and isinstance(entry.get("response"), dict):
            return trouble("0.1.x")
        if not isinstance(version, int) or not isinstance(entry.get("request"), dict):
            return trouble("foreign")
        if version > RECORD_FORMAT:
            return trouble("newer")
        request = self.request(entry["request"], entry.get("context"))
        if request is None or not isinstance(number, int) or isinstance(number, bool):
            return trouble("foreign")
        if not belongs(request, number):
            return trouble("other", request, number)
        try:
            source = raw if json_format.has_raw(data) else None
            response = from_record(entry["response"], seed=number, raw=source, **request.context)
        except (ValueError, KeyError, TypeError, AttributeError):
            return trouble("damaged", request, number)
        return StoredEntry(place, len(data), request, number, response)

    def request(self, document: Mapping[str, Any], context: Any) -> SampleRequest | None:
        """The stored request; None where it is none."""
        if self._request is None or document != self._document or context != self._context:
            try:
                self._request = SampleRequest.stored(document, context if isinstance(context, dict) else {})
            except ConfigError:
                self._request = None
            self._document, self._context = document, context
        return self._request
