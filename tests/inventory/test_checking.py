"""Each kind of damage is found, named and moved aside without loss; what is sound stays."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from rollouts.caches import json_format
from rollouts.exceptions import CacheError
from rollouts.identity import SampleKey
from rollouts.inventory import REPAIRED, verify
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheUpkeep, StoredEntry

BY_NAME = pytest.mark.parametrize("kind", ["json", "requests-cache", "requests-cache files"])
"""The caches in which one sample may have one of several names."""


def fill(cache, *requests, numbers=range(3)):
    for request in requests:
        for number in numbers:
            cache.store(SampleKey(request, number), sample_response(number, full=number == 1))
    return cache


def kinds(cache):
    return [(finding.kind, finding.entry.number) for finding in verify(cache.entries())]


def repair(cache):
    wrong = [finding.entry for finding in verify(cache.entries()) if finding.kind in REPAIRED]
    return list(cache.set_aside(wrong))


def test_a_sound_cache_has_no_findings(open_cache, kind, tmp_path):
    cache = fill(open_cache(kind, tmp_path), sample_request("a"), sample_request("b"), numbers=(0, 1, 2, -1, 2000))
    n = 0

    def tell():
        nonlocal n
        n += 1

    assert list(verify(cache.entries(), tell)) == []
    assert n == 10
    assert isinstance(cache, CacheUpkeep)


def test_files_of_each_kind_of_damage_are_moved_to_a_named_folder(open_cache, tmp_path):
    root = tmp_path / "cache"
    cache = fill(open_cache("json", root), sample_request(), numbers=range(8))
    names = {path.name[5:10]: path for path in root.rglob("seed_*.json")}
    names["00000"].write_bytes(names["00000"].read_bytes()[:-20])
    names["00001"].write_bytes(b"")
    names["00002"].write_text("[1]")
    names["00003"].write_text(names["00003"].read_text().replace('"format": 2', '"format": 9'))
    shutil.copy(names["00005"], names["00004"])
    shutil.copy(names["00006"], names["00006"].with_name("seed_00006_1.json"))
    outside = tmp_path / "outside.json"
    names["00007"].rename(outside)
    names["00007"].symlink_to(outside)
    before = {path.name: path.read_bytes() for path in root.rglob("seed_*") if not path.is_symlink()}

    found = kinds(cache)
    assert [kind for kind, _ in found] == [
        "damaged", "damaged", "foreign", "newer", "other", "duplicate", "foreign"
    ]  # fmt: skip
    moved = repair(cache)
    assert len(moved) == 6
    assert all(aside == f"set-aside/{entry.place}" for entry, aside in moved)
    assert all((root / aside).is_symlink() or (root / aside).is_file() for _, aside in moved)
    after = {path.name: path.read_bytes() for path in root.rglob("seed_*") if not path.is_symlink()}
    assert after == before  # nothing is lost
    assert outside.exists()
    assert kinds(cache) == [("newer", None)]
    assert [e.number for e in cache.entries() if e.problem is None] == [5, 6]


def test_what_is_moved_aside_twice_overwrites_nothing(open_cache, tmp_path):
    cache = fill(open_cache("json", tmp_path), sample_request(), numbers=[0])
    [path] = tmp_path.rglob("seed_*.json")
    asides = []
    for text in ("{", "{{"):
        path.write_text(text)
        asides += [aside for _, aside in repair(cache)]
    assert [(tmp_path / aside).read_text() for aside in asides] == ["{", "{{"]


def test_rows_of_each_kind_of_damage_are_moved_to_a_table(open_cache, tmp_path):
    cache = fill(open_cache("sql", tmp_path), sample_request("a"), sample_request("b"), numbers=range(4))
    cache.close()
    with sqlite3.connect(tmp_path / "rollouts.sqlite") as connection:
        a, b = [row[0] for row in connection.execute("SELECT id FROM requests ORDER BY document")]
        connection.execute("UPDATE samples SET content = x'ff00' WHERE request = ? AND number = 2", (a,))
        connection.execute("UPDATE samples SET rest = '{' WHERE request = ? AND number = 1", (a,))
        connection.execute("DELETE FROM raws WHERE request = ? AND number = 3", (a,))
        connection.execute("UPDATE requests SET document = CAST(x'ff' AS TEXT) WHERE id = ?", (b,))
    connection.close()
    found = kinds(cache)
    assert sorted(found, key=str) == sorted(
        [("damaged", 1), ("damaged", 2), ("damaged", 3), *(("foreign", n) for n in range(4))], key=str
    )
    cache.close()
    before = everything(tmp_path)
    assert len(repair(cache)) == 7
    assert kinds(cache) == []
    assert [e.number for e in cache.entries()] == [0]
    cache.close()
    assert everything(tmp_path) == before  # nothing is lost


def everything(folder):
    """The samples and raw bodies of a database, wherever they lie."""
    connection = sqlite3.connect(folder / "rollouts.sqlite")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    queries = ["SELECT number, CAST(content AS BLOB), rest FROM {}", "SELECT number, body FROM {}"]
    found = []
    for query, names in zip(queries, [("samples", "damaged"), ("raws", "damaged_raws")], strict=True):
        rows = [row for name in names if name in tables for row in connection.execute(query.format(name))]
        found.append(sorted(map(repr, rows)))
    connection.close()
    return found


def test_a_damaged_request_does_not_end_the_listing(open_cache, tmp_path):
    cache = fill(open_cache("sql", tmp_path), sample_request("a"), sample_request("b"))
    cache.close()
    with sqlite3.connect(tmp_path / "rollouts.sqlite") as connection:
        connection.execute("UPDATE requests SET context = '[' WHERE id = 1")
    connection.close()
    assert sorted(kinds(cache), key=str) == [("foreign", 0), ("foreign", 1), ("foreign", 2)]


@pytest.mark.parametrize("kind", ["requests-cache", "requests-cache files"])
def test_texts_of_requests_cache_are_renamed(open_cache, kind, tmp_path):
    cache = fill(open_cache(kind, tmp_path), sample_request(), numbers=range(5))
    storage = cache._storage
    names = sorted(storage.names())
    old = storage.read(names)
    new = {
        names[0]: old[names[0]][:-9],
        names[1]: b"[]",
        names[2]: old[names[2]].replace(b'"format": 2', b'"format": 7'),
        names[3]: old[names[4]],
        f"{names[4]}_1": old[names[4]],
    }
    storage.remove(list(new))
    storage.add(list(new.items()))
    assert [kind for kind, _ in kinds(cache)] == ["damaged", "foreign", "newer", "other", "duplicate"]
    moved = dict((entry.place, aside) for entry, aside in repair(cache))
    assert moved == {name: f"{name}.damaged" for name in new if name != names[2]}
    asides = storage.read(list(moved.values()))
    assert {name: asides[aside] for name, aside in moved.items()} == {name: new[name] for name in moved}
    assert kinds(cache) == [("newer", None)]


def test_an_entry_that_was_replaced_by_a_sound_one_stays(open_cache, kind, tmp_path):
    cache = fill(open_cache(kind, tmp_path), sample_request())
    entries = [StoredEntry(e.place, e.size, e.request, e.number, problem="damaged") for e in cache.entries()]
    assert list(cache.set_aside(entries)) == []
    assert kinds(cache) == []
    assert len(list(cache.entries())) == 3


def test_a_stored_error_is_found(open_cache, kind, tmp_path):
    from dataclasses import replace

    cache = open_cache(kind, tmp_path)
    cache.store(SampleKey(sample_request(), 0), replace(sample_response(), finish_reason="error"))
    assert kinds(cache) == [("error", 0)]


def test_removed_samples_are_gone_and_the_others_stay(open_cache, kind, tmp_path):
    requests = [sample_request("a"), sample_request("b")]
    cache = fill(open_cache(kind, tmp_path), *requests)
    gone = [e for e in cache.entries() if e.request == requests[0] or e.number == 1]
    assert cache.remove(gone) == 4
    assert cache.remove(gone) == 0
    assert [(e.request, e.number) for e in cache.entries()] == [(requests[1], 0), (requests[1], 2)]
    keys = [SampleKey(request, number) for request in requests for number in range(3)]
    assert len(list(cache.load_many(keys))) == 2
    cache.store(keys[0], sample_response(7))
    assert dict(cache.load_many(keys))[keys[0]].content == "Four. (7)"


@pytest.mark.parametrize("place", ["../../../../seed_00000.json", "a/b/c/../seed_00000.json", "/etc/x/y/z/seed_1.json"])
def test_no_file_out_of_the_cache_is_touched(open_cache, tmp_path, place):
    root = tmp_path / "a" / "b" / "c" / "d"
    root.mkdir(parents=True)
    (tmp_path / "seed_00000.json").write_text("mine")
    cache = open_cache("json", root)
    for act in (cache.remove, lambda entries: list(cache.set_aside(entries))):
        with pytest.raises(CacheError, match="no sample's place"):
            act([StoredEntry(place, 1)])
    assert (tmp_path / "seed_00000.json").exists()


def test_a_folder_that_became_a_link_is_not_followed(open_cache, tmp_path):
    cache = fill(open_cache("json", tmp_path / "cache"), sample_request(), numbers=[0])
    [entry] = cache.entries()
    [path] = (tmp_path / "cache").rglob("seed_00000.json")
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="nothing was changed"):
        cache.remove([entry])
    assert (tmp_path / "elsewhere" / "seed_00000.json").exists()
    assert json.loads((tmp_path / "elsewhere" / "seed_00000.json").read_text())["number"] == 0


@BY_NAME
@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
def test_a_repair_loses_no_sample_that_lay_behind_what_it_moves(open_cache, kind, tmp_path):
    request = sample_request()
    cache = fill(open_cache(kind, tmp_path), numbers=())
    beside = Beside(cache, request)
    beside.put(0, b"[1]")
    beside.put(1, b"{")
    beside.put(2, beside.text(another=sample_request("another")))
    cache.store(SampleKey(request, 0), sample_response(0, "paid"))
    assert len(beside.names()) == 3  # the damaged one gave way
    assert [text.content for _, text in cache.load_many([SampleKey(request, 0)])] == ["paid (0)"]

    assert len(repair(cache)) == 2
    assert [text.content for _, text in cache.load_many([SampleKey(request, 0)])] == ["paid (0)"]
    assert kinds(cache) == []
    assert [entry.number for entry in cache.entries()] == [0]


@BY_NAME
def test_a_sample_that_no_reader_comes_to_is_found_and_given_its_name(open_cache, kind, tmp_path):
    request, key = sample_request(), SampleKey(sample_request(), 0)
    cache = open_cache(kind, tmp_path)
    beside = Beside(cache, request)
    beside.put(3, beside.text())
    assert list(cache.load_many([key])) == []
    assert kinds(cache) == [("unreached", 0)]
    [(entry, place)] = repair(cache)
    assert entry.place.replace("_3", "") == place
    assert len(list(cache.load_many([key]))) == 1
    assert kinds(cache) == []


@BY_NAME
@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
def test_the_sample_that_is_read_is_never_the_one_called_a_duplicate(open_cache, kind, tmp_path):
    request = sample_request()
    cache = open_cache(kind, tmp_path)
    beside = Beside(cache, request)
    for suffix in range(10):
        beside.put(suffix, b"[1]")
    beside.remove(2)
    cache.store(SampleKey(request, 0), sample_response(0, "read"))
    beside.put(10, beside.text("the other"))
    [found] = [finding for finding in verify(cache.entries()) if finding.kind == "duplicate"]
    assert "_10" in found.entry.place
    assert found.entry.response.content == "the other (0)"


class Beside:
    """Puts texts under the names of sample 0, behind the back of a cache that keeps samples by name."""

    def __init__(self, cache, request):
        self.cache = cache
        self.request = request
        self.storage = getattr(cache, "_storage", None)
        self.first = Path(cache.place(SampleKey(request, 0)))

    def name(self, suffix):
        ending = f"_{suffix}" if suffix else ""
        if self.storage is None:
            return self.first.with_name(f"seed_00000{ending}.json")
        return f"{self.request.fingerprint}-0{ending}"

    def put(self, suffix, text):
        if self.storage is None:
            self.first.parent.mkdir(parents=True, exist_ok=True)
            self.name(suffix).write_bytes(text)
        else:
            assert self.storage.add([(self.name(suffix), text)]) == []

    def remove(self, suffix):
        if self.storage is None:
            self.name(suffix).unlink()
        else:
            self.storage.remove([self.name(suffix)])

    def names(self):
        if self.storage is None:
            return sorted(path.name for path in self.first.parent.glob("*.json"))
        return [name for name in self.storage.names() if not name.endswith(".damaged")]

    def text(self, text="paid", another=None):
        return json_format.encode(another or self.request, 0, sample_response(0, text))


@pytest.mark.parametrize("kind", ["json", "requests-cache files"])
def test_a_file_of_another_user_is_told_and_never_moved(open_cache, tmp_path, as_another_user, kind):
    cache = fill(open_cache(kind, tmp_path / "cache"), sample_request())
    paths = sorted((tmp_path / "cache").rglob("*-0.json" if kind != "json" else "seed_00000.json"))
    for folder in [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]:
        folder.chmod(0o777)
    paths[0].chmod(0)

    def work(say):
        theirs = open_cache(kind, tmp_path / "cache")
        say(kinds(theirs) == [("unreadable", None)])
        say(repair(theirs) == [])

    assert as_another_user(work) == [1, 1]
    assert kinds(cache) == []


def test_drafts_that_killed_writers_left_are_found_when_they_are_old(open_cache, tmp_path):
    cache = fill(open_cache("json", tmp_path), sample_request(), numbers=[0])
    [path] = tmp_path.rglob("seed_*.json")
    old, fresh = (path.with_name(f".{digit * 16}.tmp") for digit in "af")
    for draft in (old, fresh):
        draft.write_bytes(path.read_bytes()[:50])
    os.utime(old, (0, 0))
    assert kinds(cache) == [("damaged", None)]
    [(_, aside)] = repair(cache)
    assert (tmp_path / aside).read_bytes() == fresh.read_bytes()
    assert (old.exists(), fresh.exists()) == (False, True)
    assert kinds(cache) == []


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("target", ["elsewhere/in/it", "renamed"])
def test_what_is_read_through_a_link_inside_is_listed_once_and_stays(open_cache, tmp_path, depth, target):
    root = tmp_path / "cache"
    cache = fill(open_cache("json", root), sample_request())
    folder = next(root.rglob("seed_00000.json")).parents[depth]
    moved = folder.with_name(target) if target == "renamed" else root / target
    moved.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(moved)
    folder.symlink_to(moved)
    assert kinds(cache) == []
    assert [entry.number for entry in cache.entries()] == [0, 1, 2]
    assert repair(cache) == []
    keys = [SampleKey(sample_request(), number) for number in range(3)]
    assert len(list(open_cache("json", root).load_many(keys))) == 3


def test_a_folder_that_leads_out_is_told_and_stays(open_cache, tmp_path):
    cache = fill(open_cache("json", tmp_path / "cache"), sample_request())
    folder = next((tmp_path / "cache").rglob("seed_00000.json")).parents[2]
    folder.rename(tmp_path / "out")
    folder.symlink_to(tmp_path / "out")
    (tmp_path / "cache" / "loop").symlink_to("loop")
    assert kinds(cache) == [("unreadable", None)]
    assert repair(cache) == []
    assert folder.is_symlink()
