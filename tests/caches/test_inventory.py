"""What a cache lists: everything stored, in an order that two equal storages share, and what is wrong with the rest."""

import json
import warnings

import pytest

from rollouts.caches import json_files, requests_cache, sql
from rollouts.identity import SampleKey
from rollouts.results.codec import to_record
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheInventory, CacheOptions

MAKERS = {
    "json": json_files.make,
    "sql": sql.make,
    "requests-cache sqlite": lambda o: requests_cache.make(CacheOptions(o.cache_dir, {"backend": "sqlite"})),
    "requests-cache files": lambda o: requests_cache.make(CacheOptions(o.cache_dir, {"backend": "filesystem"})),
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@pytest.fixture
def requests():
    return [
        sample_request("One"),
        sample_request("四 \ud83d", prefill="<think>\nI", thought="I", body={"temperature": 0.5, "n": 1.0}),
        sample_request("One", model="other/model", headers={"X-A": "b"}),
    ]


def filled(make, directory, requests, numbers=(2, 0, 1)):
    cache = make(CacheOptions(directory))
    for request in requests:
        for number in numbers:
            cache.store(SampleKey(request, number), sample_response(number, request.fingerprint[:4], full=number == 1))
    return cache


@EVERY
def test_everything_stored_is_listed_with_its_request_and_raw_body(make, tmp_path, requests):
    cache = filled(make, tmp_path, requests)

    assert isinstance(cache, CacheInventory)
    listed = list(cache.entries())
    assert [entry.problem for entry in listed] == [None] * 9
    assert {(e.request, e.number) for e in listed} == {(r, n) for r in requests for n in range(3)}
    for entry in listed:
        original = next(r for r in requests if r == entry.request)
        assert entry.request.canonical == original.canonical
        assert entry.request.context == original.context
        expected = sample_response(entry.number, original.fingerprint[:4], full=entry.number == 1)
        assert to_record(entry.response) == to_record(expected)
        assert entry.response.raw_body == expected.raw_body
        assert entry.size > 20
        assert entry.place
    cache.close()


@EVERY
def test_the_order_does_not_depend_on_the_order_of_storing(make, tmp_path, requests):
    first = filled(make, tmp_path / "a", requests)
    second = filled(make, tmp_path / "b", requests[::-1], (0, 1, 2))

    names = [[(e.request.fingerprint, e.number) for e in cache.entries()] for cache in (first, second)]
    assert names[0] == names[1]
    first.close()
    second.close()


@EVERY
def test_an_entry_is_stored_in_another_cache_and_found_by_a_live_request(make, tmp_path, requests):
    source = filled(json_files.make, tmp_path / "a", requests)
    target = make(CacheOptions(tmp_path / "b"))
    for entry in source.entries():
        target.store(SampleKey(entry.request, entry.number), entry.response)

    keys = [SampleKey(request, number) for request in requests for number in range(3)]
    wanted = dict(source.load_many(keys))
    found = dict(target.load_many(keys))
    assert found == wanted
    assert [found[key].raw_body for key in keys] == [wanted[key].raw_body for key in keys]
    target.close()


@EVERY
def test_an_empty_or_missing_storage_lists_nothing_and_makes_nothing(make, tmp_path):
    cache = make(CacheOptions(tmp_path / "none"))
    assert list(cache.entries()) == []
    assert not (tmp_path / "none").exists()


def test_many_samples_of_one_request_are_listed_across_chunks(tmp_path):
    request = sample_request()
    cache = sql.make(CacheOptions(tmp_path))
    cache.store_many([(SampleKey(request, n), sample_response(n)) for n in range(1203)])
    assert [entry.number for entry in cache.entries()] == list(range(1203))
    cache.close()


def test_files_that_are_no_samples_are_told_apart_and_never_warned_of(tmp_path):
    request = sample_request()
    cache = filled(json_files.make, tmp_path, [request], range(5))
    files = sorted(tmp_path.rglob("seed_*.json"))
    files[0].write_bytes(files[0].read_bytes()[:-20])
    files[1].write_text("[1]")
    files[2].write_text(files[2].read_text().replace('"format": 2', '"format": 9'))
    files[3].write_bytes(files[4].read_bytes())
    (files[0].parent / "seed_00007.json").write_text(json.dumps({"seed": 7, "response": {"content": "old"}}))
    (files[0].parent / "seed_00008.json").write_bytes(b"")
    (files[0].parent / "seed_00000.json.damaged").write_bytes(b"aside")
    (tmp_path / "notes.txt").write_text("mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {entry.place[-10:-5]: entry.problem for entry in cache.entries()}
    assert found == {
        "00000": "damaged",
        "00001": "foreign",
        "00002": "newer",
        "00003": "other",
        "00004": None,
        "00007": "0.1.x",
        "00008": "damaged",
    }


def test_a_link_out_of_the_cache_is_no_sample(tmp_path):
    request = sample_request()
    outside = filled(json_files.make, tmp_path / "outside", [request], [0])
    inside = filled(json_files.make, tmp_path / "inside", [request], [1])
    [theirs] = (tmp_path / "outside").rglob("seed_*.json")
    [ours] = (tmp_path / "inside").rglob("seed_*.json")
    ours.with_name("seed_00000.json").symlink_to(theirs)

    assert [(e.number, e.problem) for e in inside.entries()] == [(None, "foreign"), (1, None)]
    outside.close()


def test_a_damaged_row_is_listed_as_damaged(tmp_path):
    import sqlite3

    cache = filled(sql.make, tmp_path, [sample_request()])
    cache.close()
    with sqlite3.connect(tmp_path / "rollouts.sqlite") as connection:
        connection.execute("UPDATE samples SET content = x'ff00' WHERE number = 2")
    connection.close()
    assert [(e.number, e.problem) for e in cache.entries()] == [(0, None), (1, None), (2, "damaged")]
    cache.close()
