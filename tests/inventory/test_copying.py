"""Copies lose nothing, overwrite nothing, and tell what they left out."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollouts.caches import json_files, requests_cache, sql
from rollouts.exceptions import CacheError, ConfigError
from rollouts.identity import SampleKey
from rollouts.inventory import check_apart, copy, difference
from rollouts.results import Response, Usage
from rollouts.results.codec import STORED_FIELDS
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheOptions

ROUND = [
    lambda d: json_files.make(CacheOptions(d)),
    lambda d: sql.make(CacheOptions(d)),
    lambda d: requests_cache.make(CacheOptions(d, {"backend": "sqlite"})),
    lambda d: requests_cache.make(CacheOptions(d, {"backend": "filesystem"})),
    lambda d: json_files.make(CacheOptions(d)),
]

any_text = st.text(st.characters(), max_size=30)  # lone surrogates and control characters too
counts = st.none() | st.integers(0, 2**70)
amounts = st.none() | st.floats(0, allow_nan=False, allow_infinity=False)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)


def optional(strategy):
    return st.none() | strategy


responses = st.builds(
    Response,
    content=any_text,
    reasoning=optional(any_text),
    finish_reason=optional(any_text),
    native_finish_reason=optional(any_text),
    completed_reasoning=optional(st.booleans()),
    provider=optional(any_text),
    model=optional(any_text),
    response_id=optional(any_text),
    created=counts,
    usage=st.builds(
        Usage,
        prompt_tokens=counts,
        completion_tokens=counts,
        total_tokens=counts,
        reasoning_tokens=counts,
        cached_tokens=counts,
        cost=amounts,
    ),
    logprobs=plain_json,
    tool_calls=plain_json,
    refusal=optional(any_text),
    reasoning_kind=optional(any_text),
    system_fingerprint=optional(any_text),
    continued=optional(st.sampled_from(["yes", "no", "unknown"])),
    continued_reason=optional(any_text),
    latency=amounts,
    attempts=st.integers(1, 99),
    received=amounts,
    pin=optional(st.dictionaries(any_text, any_text, max_size=2)),
    origin=optional(st.just("0.1.x")),
    raw_source=optional(st.binary(max_size=40)),
)
requests = st.builds(
    sample_request,
    prompt=any_text,
    model=st.text(min_size=1, max_size=20),
    prefill=optional(any_text),
    thought=optional(any_text),
    body=st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda n: n not in ("messages", "model")),
                         st.integers() | any_text, max_size=2),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(requests, st.integers(-(2**63) + 1, 2**63 - 1), responses), max_size=6))
def test_all_round_the_caches_every_field_and_raw_body_comes_back(samples):
    stored = {SampleKey(request, number): response for request, number, response in samples}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        caches = [make(Path(folder) / str(i)) for i, make in enumerate(ROUND)]
        for cache in caches:
            stack.callback(cache.close)
        for key, response in stored.items():
            caches[0].store(key, response)
        for source, target in itertools.pairwise(caches):
            done = copy(source.entries(), target)
            assert (done.copied, done.there, done.different, done.complete) == (len(stored), 0, 0, True)
        listings = [
            {(e.request.canonical, e.number): e for e in cache.entries() if e.problem is None} for cache in caches
        ]
        first = listings[0]
        assert len(first) == len(stored)
        for listing in listings[1:]:
            assert listing.keys() == first.keys()
            for name, entry in listing.items():
                assert difference(entry.response, first[name].response) is None
                assert entry.request.context == first[name].request.context
        for key, response in stored.items():
            back = first[key.request.canonical, key.number].response
            expected = replace(response, **{"prefill": back.prefill, "injected": back.injected, "seed": key.number})
            expected = replace(expected, raw_source=response.raw_body and response.raw_body.strip())
            assert repr([getattr(back, n) for n in (*STORED_FIELDS, "usage", "origin")]) == repr(
                [getattr(expected, n) for n in (*STORED_FIELDS, "usage", "origin")]
            )
            assert (back.raw_body or b"") == (expected.raw_body or b"")


def test_what_the_target_has_is_never_changed(open_cache, kind, tmp_path):
    request = sample_request()
    source, target = open_cache("json", tmp_path / "a"), open_cache(kind, tmp_path / "b")
    for number in range(3):
        source.store(SampleKey(request, number), sample_response(number))
    target.store(SampleKey(request, 0), sample_response(0))
    target.store(SampleKey(request, 1), sample_response(1, "Another."))
    told = []
    done = copy(source.entries(), target, skipped=lambda entry, why: told.append((entry.number, why)))
    assert (done.copied, done.there, done.different, done.complete) == (1, 1, 1, False)
    assert told == [(1, "the target has another answer to this sample, which stays")]
    contents = [e.response.content for e in target.entries()]
    assert sorted(contents) == ["Another. (1)", "Four. (0)", "Four. (2)"]


def test_an_answer_that_differs_in_its_raw_body_alone_is_another(open_cache, tmp_path):
    request = sample_request()
    source, target = open_cache("json", tmp_path / "a"), open_cache("sql", tmp_path / "b")
    source.store(SampleKey(request, 0), Response(content="x", raw_source=b"{}"))
    target.store(SampleKey(request, 0), Response(content="x", raw_source=b'{"a": 1}'))
    assert copy(source.entries(), target).different == 1


def test_damaged_entries_are_left_out_and_named(open_cache, tmp_path):
    request = sample_request()
    source, target = open_cache("json", tmp_path / "a"), open_cache("sql", tmp_path / "b")
    for number in range(3):
        source.store(SampleKey(request, number), sample_response(number))
    [path] = (tmp_path / "a").rglob("seed_00001.json")
    path.write_bytes(path.read_bytes()[:40])
    told = []
    done = copy(source.entries(), target, skipped=lambda entry, why: told.append((entry.place[-15:], why)))
    assert (done.copied, dict(done.skipped), done.complete) == (2, {"damaged": 1}, False)
    assert told == [("seed_00001.json", "it cannot be read: the sample is asked again")]


def test_a_target_that_gives_something_else_back_is_told(open_cache, tmp_path):
    source = open_cache("json", tmp_path)
    source.store(SampleKey(sample_request(), 0), sample_response(0))

    class Forgetful:
        def __init__(self):
            self.kept = {}

        def load_many(self, keys):
            return ((key, self.kept[key]) for key in keys if key in self.kept)

        def store(self, key, response):
            self.kept[key] = replace(response, raw_source=None)

    with pytest.raises(CacheError, match=r"Sample 0 of maker/model .* raw did not come back"):
        copy(source.entries(), Forgetful())


def test_more_than_one_chunk_is_copied(open_cache, tmp_path):
    source, target = open_cache("sql", tmp_path / "a"), open_cache("requests-cache", tmp_path / "b")
    source.store_many((SampleKey(sample_request(), n), sample_response(n)) for n in range(451))
    assert copy(source.entries(), target).copied == 451
    assert copy(source.entries(), target).there == 451


def test_a_cache_is_not_copied_onto_itself(open_cache, tmp_path):
    with pytest.raises(ConfigError, match="same cache"):
        check_apart(open_cache("sql", tmp_path), open_cache("sql", tmp_path / ".." / tmp_path.name))
