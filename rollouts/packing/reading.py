"""Reads packs. All of a pack is checked before the first sample; no name that stands in one becomes a file's."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rollouts.exceptions import CacheError
from rollouts.identity import IDENTITY_VERSION, SampleKey, SampleRequest
from rollouts.packing.form import CHUNK, MANIFEST, PACK_VERSION, REQUESTS, SAMPLES, Contents, Manifest, Tell
from rollouts.results import Response
from rollouts.results.codec import RECORD_FORMAT, from_record, is_answer
from rollouts.typing import CacheBackend

_LONGEST_LINE = 1 << 30  # bytes; a longer one is no sample, and would fill the memory


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What unpacking did."""

    stored: int
    present: int
    """Samples that the cache had already, equal to the pack's."""
    differing: int
    """Samples of which the cache had another answer, which it keeps."""
    left_out: int = 0
    """Errors that were packed as answers, by a version that stored such: they are asked again."""


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """What a pack says of itself; the samples are not looked at.

    Raises:
        CacheError: It cannot be read, is damaged, no pack, or of a later version.
    """
    with _opened(path) as archive:
        return _manifest(path, archive)


def read_pack(path: str | os.PathLike[str]) -> Iterator[tuple[SampleKey, Response]]:
    """Yield a pack's samples in its order; all of it is checked before the first.

    Raises:
        CacheError: As `read_manifest`; or a member is not what the manifest says.
    """
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        for name in (REQUESTS, SAMPLES):
            _check(path, archive, name, manifest.files.get(name, {}))
        requests = [_stored_request(line) for line in _lines(archive, REQUESTS)]
        if [request.fingerprint for request in requests] != [item.fingerprint for item in manifest.requests]:
            raise CacheError(f"{path} is damaged: its requests are not those of its manifest.")
        for line in _lines(archive, SAMPLES):
            yield _sample(requests, line)


def unpack(path: str | os.PathLike[str], cache: CacheBackend, *, tell: Tell | None = None) -> Unpacked:
    """Put a pack's answers into a cache; what the cache has stays as it is.

    Raises:
        CacheError: As `read_pack`; or the cache cannot be written.
    """
    total = read_manifest(path).samples
    stored = present = differing = left_out = done = 0
    samples = read_pack(path)
    while some := dict(itertools.islice(samples, CHUNK)):
        chunk = {key: response for key, response in some.items() if is_answer(response)}
        left_out += len(some) - len(chunk)
        done += len(some) - len(chunk)
        for key, response in cache.load_many(list(chunk)):
            packed = chunk.pop(key)
            if response == packed:
                present += 1
            else:
                differing += 1
            done += 1
        _store(cache, chunk)
        stored += len(chunk)
        done += len(chunk)
        if tell is not None:
            tell(done, total)
    return Unpacked(stored, present, differing, left_out)


def _store(cache: CacheBackend, samples: Mapping[SampleKey, Response]) -> None:
    store_many = getattr(cache, "store_many", None)
    if store_many is not None:
        store_many(list(samples.items()))
        return
    for key, response in samples.items():
        cache.store(key, response)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CacheError(f"{path} is no pack, or is damaged or cut off ({error}): copy it once more.") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise CacheError(f"{path} is damaged ({type(error).__name__}: {error}): copy it once more.") from error
    except RuntimeError as error:  # zipfile's word for a member with a password
        raise CacheError(f"{path} cannot be read: {error}.") from error


def _manifest(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> Manifest:
    if sorted(archive.namelist()) != sorted((MANIFEST, REQUESTS, SAMPLES)):
        raise CacheError(f"{path} is a zip file, but no pack: it holds other files than a pack does.")
    document = json.loads(_whole(archive, MANIFEST))
    if document["format"] != "rollouts-pack":
        raise CacheError(f"{path} is no pack.")
    known = {"version": PACK_VERSION, "identity": IDENTITY_VERSION, "record": RECORD_FORMAT}
    if any(document[name] > version for name, version in known.items()):
        raise CacheError(
            f"{path} was written by a later version of rollouts ({document.get('written_by')}). Upgrade to read it."
        )
    requests = tuple(
        Contents(**{**item, "dates": None if item["dates"] is None else tuple(item["dates"])})
        for item in document["requests"]
    )
    return Manifest(document["samples"], requests, document["written_by"], document["files"], document["left_out"])


def _check(path: str | os.PathLike[str], archive: zipfile.ZipFile, name: str, told: Mapping[str, Any]) -> None:
    digest = hashlib.sha256()
    with archive.open(name) as file:
        while data := file.read(1 << 20):
            digest.update(data)
    if digest.hexdigest() != told.get("sha256"):
        raise CacheError(f"{path} is damaged or was changed: {name} is not what the manifest says. Copy it once more.")


def _whole(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        data = file.read(_LONGEST_LINE + 1)
    if len(data) > _LONGEST_LINE:
        raise ValueError(f"{name} is too long")
    return data


def _lines(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    with archive.open(name) as file:
        while line := file.readline(_LONGEST_LINE):
            if not line.endswith(b"\n"):
                raise ValueError(f"a line of {name} is cut off or too long")
            yield json.loads(line)


def _stored_request(line: Mapping[str, Any]) -> SampleRequest:
    return SampleRequest.stored(line["document"], line["context"])


def _sample(requests: Sequence[SampleRequest], line: Mapping[str, Any]) -> tuple[SampleKey, Response]:
    request, number = requests[line["request"]], line["number"]
    raw = line["raw"].encode() if "raw" in line else None
    if "raw_base64" in line:
        raw = base64.b64decode(line["raw_base64"], validate=True)
    response = from_record(line["record"], seed=number, raw=raw, **request.context)
    return SampleKey(request, number), response
