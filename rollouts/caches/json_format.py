"""The bytes of one sample's JSON file. Knows nothing of folders.

Four lines, together one JSON object; no line has a line break inside:

    {"format": 2, "request": {…canonical identity document…},
    "number": 17, "context": {"prefill": null, "injected": null},
    "response": {…record…},
    "raw": {…the service's answer…}}

The reader knows which request and number it asked for, so it compares the first line instead of parsing it, parses
the record alone, and leaves the raw answer for whoever asks for it.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal, TypeAlias

from rollouts.exceptions import ConfigError
from rollouts.identity import SampleRequest, canonical
from rollouts.results import Response
from rollouts.results.codec import RECORD_FORMAT, dump_json, raw_body, to_record

Verdict: TypeAlias = Literal["ours", "other", "newer", "foreign", "damaged"]
"""What a file is to the one who asked: the sample, another one's, of a later version, no sample at all, unreadable."""

_RAW = b',\n"raw'
_END = b"}\n"


def head(request: SampleRequest) -> bytes:
    """The first line of every file of this request."""
    return f'{{"format": {RECORD_FORMAT}, "request": {request.canonical},\n'.encode("ascii")


def neck(request: SampleRequest) -> bytes:
    """What stands between the number and the record in every file of this request."""
    return f', "context": {dump_json(request.context)},\n"response": '.encode()


def encode(request: SampleRequest, number: int, response: Response) -> bytes:
    """The whole file."""
    record = dump_json(to_record(response))
    rest = f"{record},\n{_raw_member(raw_body(response))}}}\n"
    return before_record(head(request), number, neck(request)) + rest.encode()


def before_record(head: bytes, number: int, neck: bytes) -> bytes:
    """All that stands before the record of one sample."""
    return b'%b"number": %d%b' % (head, number, neck)


def record_text(data: bytes, before: bytes) -> str | None:
    """The record in `data`, still JSON; None unless the file begins as `before` says and ends as one of ours.

    Raises:
        UnicodeDecodeError: The record is damaged.
    """
    if not (data.startswith(before) and data.endswith(_END)):
        return None
    start = len(before)
    end = data.find(_RAW, start)
    return None if end < 0 else data[start:end].decode()


def has_raw(data: bytes) -> bool:
    """True where the file keeps the service's answer."""
    return not data.endswith(b'\n"raw": null}\n')


def raw_of(data: bytes) -> bytes | None:
    """The service's answer as it was stored.

    Raises:
        ValueError: The file is damaged.
    """
    name, _, value = data[data.rfind(_RAW) + 3 : -len(_END)].partition(b'": ')
    if name == b"raw" and data.endswith(_END):
        return None if value == b"null" else value
    entry = json.loads(data)  # the rarer forms, and files that somebody has formatted anew
    if "raw_base64" in entry:
        return base64.b64decode(entry["raw_base64"])
    if "raw_text" in entry:
        return str(entry["raw_text"]).encode()
    raw = entry.get("raw")
    return None if raw is None else dump_json(raw).encode()


def judge(data: bytes, request: SampleRequest, number: int) -> tuple[Verdict, dict[str, Any]]:
    """What a file is whose bytes are not those expected; parses all of it. With the entry, where it is a sample."""
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError):
        return "damaged", {}
    if not isinstance(entry, dict) or not isinstance(version := entry.get("format"), int):
        return "foreign", {}
    if version > RECORD_FORMAT:
        return "newer", {}
    if not isinstance(entry.get("request"), dict):
        return "foreign", {}
    try:
        same = canonical(entry["request"]) == request.canonical
    except ConfigError:
        return "foreign", {}
    if not same or entry.get("number") != number:
        return "other", {}
    return ("ours", entry) if isinstance(entry.get("response"), dict) else ("damaged", {})


def _raw_member(body: bytes | None) -> str:
    if body is None:
        return '"raw": null'
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f'"raw_base64": "{base64.b64encode(body).decode("ascii")}"'
    if "\n" not in text and "\r" not in text and _is_json(text):
        return f'"raw": {text}'
    return f'"raw_text": {json.dumps(text)}'


def _is_json(text: str) -> bool:
    try:
        return json.loads(text) is not None
    except (ValueError, RecursionError):
        return False
