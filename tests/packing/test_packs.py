"""Packs: exact, deterministic, checked when read, harmless when bad."""

import hashlib
import json
import shutil
import zipfile

import pytest

from rollouts.caches import json_files, requests_cache, sql
from rollouts.exceptions import CacheError, ConfigError
from rollouts.identity import SampleKey
from rollouts.packing import read_manifest, read_pack, unpack, write_pack
from rollouts.results.codec import to_record
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheOptions

MAKERS = {"json": json_files.make, "sql": sql.make, "requests-cache": requests_cache.make}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@pytest.fixture
def requests():
    return [
        sample_request("What is 四 \ud83d?"),
        sample_request("Hotel", prefill="<think>\nI", thought="I", model="maker/other", body={"temperature": 0.5}),
    ]


@pytest.fixture
def filled(requests):
    caches = []

    def make(maker, directory, order=1):
        cache = maker(CacheOptions(directory))
        caches.append(cache)
        for request in requests[::order]:
            for number in (7, 0, 1, 2)[::order]:
                cache.store(SampleKey(request, number), sample_response(number, full=number == 1))
        return cache

    yield make
    for cache in caches:
        cache.close()


@pytest.fixture
def pack(filled, tmp_path):
    write_pack(filled(json_files.make, tmp_path / "source"), tmp_path / "study.zip", written_by="rollouts 9")
    return tmp_path / "study.zip"


@EVERY
def test_a_pack_gives_back_every_sample_exactly_into_any_cache(make, filled, requests, tmp_path):
    source = filled(make, tmp_path / "source")
    write_pack(source, tmp_path / "study.zip")
    keys = [SampleKey(request, number) for request in requests for number in (0, 1, 2, 7)]
    wanted = dict(source.load_many(keys))
    for name, other in MAKERS.items():
        target = other(CacheOptions(tmp_path / name))
        done = unpack(tmp_path / "study.zip", target)
        found = dict(target.load_many(keys))
        assert (done.stored, done.present, done.differing) == (8, 0, 0)
        assert [to_record(found[key]) for key in keys] == [to_record(wanted[key]) for key in keys]
        assert [found[key].raw_body for key in keys] == [wanted[key].raw_body for key in keys]
        assert [found[key].prefill for key in keys] == [wanted[key].prefill for key in keys]
        target.close()


def test_the_same_samples_give_the_same_bytes_from_whichever_cache(filled, tmp_path):
    packs = []
    for i, (name, make) in enumerate(MAKERS.items()):
        write_pack(filled(make, tmp_path / name, order=(1, -1)[i % 2]), tmp_path / f"{name}.zip")
        packs.append((tmp_path / f"{name}.zip").read_bytes())
    assert packs[0] == packs[1] == packs[2]


def test_the_manifest_tells_what_is_in_it(pack):
    manifest = read_manifest(pack)

    assert manifest.samples == 8
    assert manifest.written_by == "rollouts 9"
    assert {item.prompt: item.numbers for item in manifest.requests} == {
        "What is 四 \ud83d?": "0-2,7",
        "Hotel <think> I": "0-2,7",
    }
    assert manifest.total("providers") == {"?": 6, "Provider/四": 2}
    assert manifest.dates == ("2025-10-09", "2025-10-09")
    assert manifest.cost == pytest.approx(2 * 0.000123456789)
    assert {item.cost_known_for for item in manifest.requests} == {1}


def test_only_what_is_wanted_is_packed(filled, tmp_path):
    cache = filled(json_files.make, tmp_path / "source")
    by_model = write_pack(cache, tmp_path / "a.zip", models=["maker/o*"])
    by_prompt = write_pack(cache, tmp_path / "b.zip", prompt="四")

    assert [item.model for item in by_model.requests] == ["maker/other"]
    assert [item.model for item in by_prompt.requests] == ["maker/model"]
    with pytest.raises(ConfigError, match="no sample that is wanted"):
        write_pack(cache, tmp_path / "c.zip", models=["nobody/*"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "source"]


def test_what_is_no_sample_is_left_out_and_counted(filled, tmp_path):
    cache = filled(json_files.make, tmp_path / "source")
    sorted((tmp_path / "source").rglob("seed_*.json"))[0].write_text("{")
    manifest = write_pack(cache, tmp_path / "study.zip")
    assert (manifest.samples, manifest.left_out) == (7, {"damaged": 1})


def test_a_file_that_is_there_is_not_replaced_unless_asked(filled, pack, tmp_path):
    cache = filled(json_files.make, tmp_path / "source")
    before = pack.read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        write_pack(cache, pack)
    assert pack.read_bytes() == before
    write_pack(cache, pack, models=["maker/o*"], overwrite=True)
    assert read_manifest(pack).samples == 4


def test_a_pack_that_cannot_be_written_leaves_nothing(filled, tmp_path):
    cache = filled(json_files.make, tmp_path / "source")
    with pytest.raises(CacheError, match="cannot be written"):
        write_pack(cache, tmp_path / "missing" / "study.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_cache_that_cannot_list_is_told(tmp_path):
    class Plain:
        def load_many(self, keys):
            return iter(())

        def store(self, key, response):
            pass

        def close(self):
            pass

    with pytest.raises(ConfigError, match="Plain cannot list"):
        write_pack(Plain(), tmp_path / "study.zip")


def test_unpacking_keeps_what_the_cache_has(pack, requests, tmp_path):
    target = json_files.make(CacheOptions(tmp_path / "target"))
    mine = sample_response(0, "Mine.")
    target.store(SampleKey(requests[0], 0), mine)

    first, second = unpack(pack, target), unpack(pack, target)
    assert (first.stored, first.present, first.differing) == (7, 0, 1)
    assert (second.stored, second.present, second.differing) == (0, 7, 1)
    assert dict(target.load_many([SampleKey(requests[0], 0)]))[requests[0], 0].content == mine.content


def test_any_changed_byte_is_noticed_before_anything_is_stored(pack, tmp_path):
    data = pack.read_bytes()
    bad = tmp_path / "bad.zip"
    noticed = 0
    for at in range(0, len(data), 37):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        target = json_files.make(CacheOptions(tmp_path / "target"))
        try:
            done = unpack(bad, target)
        except CacheError:
            assert not (tmp_path / "target").exists()
            noticed += 1
        else:  # a byte that says nothing, such as a time
            assert done.stored == 8
            shutil.rmtree(tmp_path / "target")
    assert noticed > 30


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_pack_that_was_cut_off_is_told(pack, keep):
    data = pack.read_bytes()
    pack.write_bytes(data[: int(keep if keep >= 1 else len(data) * keep)])
    with pytest.raises(CacheError, match=r"damaged or cut off"):
        list(read_pack(pack))


def rewritten(pack, change):
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(pack, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_changed_samples_are_told(pack):
    rewritten(pack, lambda m: m.update({"samples.jsonl": m["samples.jsonl"].replace(b"Four", b"Five")}))
    with pytest.raises(CacheError, match=r"samples\.jsonl is not what the manifest says"):
        next(read_pack(pack))


def test_a_pack_of_a_later_version_is_told(pack):
    def later(members):
        members["manifest.json"] = members["manifest.json"].replace(b'"record": 2', b'"record": 3')

    rewritten(pack, later)
    with pytest.raises(CacheError, match="later version"):
        read_manifest(pack)


def test_names_that_lead_out_become_no_files(pack, tmp_path):
    rewritten(pack, lambda m: m.update({"../../evil.json": b"x"}))
    with pytest.raises(CacheError, match="holds other files"):
        unpack(pack, json_files.make(CacheOptions(tmp_path / "target")))
    assert not list(tmp_path.rglob("evil*"))


def test_a_request_that_says_it_is_another_is_stored_under_its_own_name(pack, tmp_path, requests):
    """Names come from the request itself: a model called `../../x` stays inside the cache."""

    def escape(members):
        lines = [json.loads(line) for line in members["requests.jsonl"].splitlines()]
        for line in lines:
            line["document"]["model"] = "../../evil"
        members["requests.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        manifest = json.loads(members["manifest.json"])
        manifest["files"]["requests.jsonl"]["sha256"] = hashlib.sha256(members["requests.jsonl"]).hexdigest()
        members["manifest.json"] = json.dumps(manifest).encode()

    rewritten(pack, escape)
    with pytest.raises(CacheError, match="not those of its manifest"):
        unpack(pack, json_files.make(CacheOptions(tmp_path / "a" / "target")))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04"])
def test_other_files_are_no_packs(tmp_path, data):
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(CacheError, match="no pack"):
        read_manifest(tmp_path / "x.zip")


def test_a_missing_pack_is_told(tmp_path):
    with pytest.raises(CacheError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "none.zip")


def as_an_earlier_version_packed(members):
    """The first sample is an error that was stored as an answer."""
    lines = members["samples.jsonl"].splitlines(keepends=True)
    first = json.loads(lines[0])
    lines[0] = json.dumps({**first, "record": {**first["record"], "finish_reason": "error"}}).encode() + b"\n"
    members["samples.jsonl"] = b"".join(lines)
    manifest = json.loads(members["manifest.json"])
    manifest["files"]["samples.jsonl"]["sha256"] = hashlib.sha256(members["samples.jsonl"]).hexdigest()
    members["manifest.json"] = json.dumps(manifest).encode()


@EVERY
def test_an_error_that_was_packed_is_left_out_each_time(make, pack, tmp_path):
    rewritten(pack, as_an_earlier_version_packed)
    target = make(CacheOptions(tmp_path / "target"))
    told = []
    done = [unpack(pack, target, tell=lambda done, total: told.append((done, total))) for _ in range(3)]
    assert [(one.stored, one.present, one.left_out) for one in done] == [(7, 0, 1), (0, 7, 1), (0, 7, 1)]
    assert told == [(8, 8)] * 3
    assert len(list(target.entries())) == 7
    assert not list((tmp_path / "target").rglob("*damaged*"))
    target.close()


def test_a_sample_that_is_listed_and_not_found_is_counted(filled, tmp_path):
    class Forgetful(json_files.JsonCache):
        def load_many(self, keys):
            return super().load_many(key for key in keys if key.number != 1)

    filled(json_files.make, tmp_path / "source")
    manifest = write_pack(Forgetful(str(tmp_path / "source")), tmp_path / "study.zip")
    assert (manifest.samples, manifest.left_out) == (6, {"not found": 2})
    assert read_manifest(tmp_path / "study.zip") == manifest


def test_what_no_reader_comes_to_is_left_out_and_counted(filled, tmp_path):
    source = filled(json_files.make, tmp_path / "source")
    for path in (tmp_path / "source").rglob("seed_00000.json"):
        path.rename(path.with_name("seed_00000_4.json"))
    manifest = write_pack(source, tmp_path / "study.zip")
    assert (manifest.samples, manifest.left_out) == (6, {"unreached": 2})
