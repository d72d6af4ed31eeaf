"""Writes packs: the same samples give the same bytes, whichever cache they lie in. Knows caches by their Protocols."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import secrets
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from rollouts.exceptions import CacheError, ConfigError
from rollouts.identity import IDENTITY_VERSION, SampleKey, SampleRequest, prompt_texts
from rollouts.packing.form import CHUNK, MANIFEST, PACK_VERSION, REQUESTS, SAMPLES, Manifest, Tally, Tell
from rollouts.results import Response
from rollouts.results.codec import RECORD_FORMAT, dump_json, raw_body, to_record
from rollouts.typing import CacheBackend, CacheInventory

_NEVER = (1980, 1, 1, 0, 0, 0)  # the earliest time of a zip member: a pack does not depend on when it is written


def write_pack(
    cache: CacheBackend,
    path: str | os.PathLike[str],
    *,
    written_by: str = "",
    models: Sequence[str] = (),
    prompt: str | None = None,
    overwrite: bool = False,
    tell: Tell | None = None,
) -> Manifest:
    """Write the samples of a cache to one file, which appears whole.

    Args:
        cache: Where they are; one that can list its entries.
        path: The pack.
        written_by: Program and version, for the manifest.
        models: Patterns (`qwen/*`, as `fnmatch`) of the models wanted; all unless given.
        prompt: Text that must occur in the prompt; any unless given.
        overwrite: Replace a file that is there.
        tell: Told now and then how far it is.

    Raises:
        ConfigError: The cache cannot list, the file is there, or nothing is chosen.
        CacheError: The cache cannot be read, or the file cannot be written.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} is there already: give another name, or let it be overwritten.")
    chosen, left_out = _choose(cache, models, prompt)
    if not chosen:
        raise ConfigError(
            "the cache has no sample that is wanted, so no pack was written: look at its folder and filters."
        )
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            manifest = _write_members(archive, cache, chosen, written_by, left_out, tell)
        os.replace(draft, target)
    except OSError as error:
        raise CacheError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def _choose(
    cache: CacheBackend, models: Sequence[str], prompt: str | None
) -> tuple[list[tuple[SampleRequest, list[int]]], Counter[str]]:
    """The requests that are wanted with the numbers of their samples, both in order; and what had to be left out."""
    if not isinstance(cache, CacheInventory):
        raise ConfigError(f"the cache {type(cache).__name__} cannot list what it holds: convert it to 'json' or 'sql'.")
    found: dict[str, tuple[SampleRequest, list[int]]] = {}
    left_out: Counter[str] = Counter()
    refused: set[str] = set()
    for entry in cache.entries():
        if entry.problem is not None or entry.request is None or entry.number is None:
            left_out[entry.problem or "damaged"] += 1
            continue
        name = entry.request.fingerprint
        if name not in found and name not in refused:
            if _wanted(entry.request, models, prompt):
                found[name] = (entry.request, [])
            else:
                refused.add(name)
        if name in found:
            found[name][1].append(entry.number)
    return [(found[name][0], sorted(set(found[name][1]))) for name in sorted(found)], left_out


def _wanted(request: SampleRequest, models: Sequence[str], prompt: str | None) -> bool:
    if models and not any(fnmatchcase(request.model, pattern) for pattern in models):
        return False
    return prompt is None or any(prompt in text for text in prompt_texts(request))


def _write_members(
    archive: zipfile.ZipFile,
    cache: CacheBackend,
    chosen: list[tuple[SampleRequest, list[int]]],
    written_by: str,
    left_out: Counter[str],
    tell: Tell | None,
) -> Manifest:
    total = sum(len(numbers) for _, numbers in chosen)
    rows = {request.fingerprint: row for row, (request, _) in enumerate(chosen)}
    tallies = [Tally(request) for request, _ in chosen]
    files = {}
    with _member(archive, REQUESTS) as member:
        for request, _ in chosen:
            member.write({"document": request.document, "context": request.context})
    files[REQUESTS] = member.summary()
    with _member(archive, SAMPLES) as member:
        for done, (key, response) in enumerate(_load(cache, chosen)):
            row = rows[key.request.fingerprint]
            tallies[row].add(key.number, response)
            line = {"request": row, "number": key.number, "record": to_record(response)}
            member.write({**line, **_raw_fields(raw_body(response))})
            if tell is not None and done % CHUNK == 0:
                tell(done, total)
    files[SAMPLES] = member.summary()
    contents = tuple(tally.contents() for tally in tallies)
    packed = sum(item.samples for item in contents)
    if packed < total:  # removed or spoilt since they were listed, or a cache that lists what it does not find
        left_out["not found"] += total - packed
    manifest = Manifest(packed, contents, written_by, files, dict(left_out))
    document = {
        "format": "rollouts-pack",
        "version": PACK_VERSION,
        "identity": IDENTITY_VERSION,
        "record": RECORD_FORMAT,
        **asdict(manifest),
        "cost": manifest.cost,
    }
    archive.writestr(_info(MANIFEST), json.dumps(document, indent=1).encode("ascii"), compresslevel=6)
    return manifest


def _load(cache: CacheBackend, chosen: list[tuple[SampleRequest, list[int]]]) -> Iterator[tuple[SampleKey, Response]]:
    keys = (SampleKey(request, number) for request, numbers in chosen for number in numbers)
    while chunk := list(itertools.islice(keys, CHUNK)):
        found = dict(cache.load_many(chunk))
        yield from ((key, found[key]) for key in chunk if key in found)


class _Member:
    """Lines on their way into a member, counted and hashed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, line: Mapping[str, Any]) -> None:
        data = (dump_json(line) + "\n").encode()
        self._digest.update(data)
        self._bytes += len(data)
        self._file.write(data)

    def summary(self) -> dict[str, Any]:
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[_Member]:
    with archive.open(_info(name), "w", force_zip64=True) as file:
        yield _Member(file)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _NEVER)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o644 << 16  # the same bytes on every system
    return info


def _raw_fields(body: bytes | None) -> dict[str, str]:
    if body is None:
        return {}
    try:
        return {"raw": body.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(body).decode("ascii")}
