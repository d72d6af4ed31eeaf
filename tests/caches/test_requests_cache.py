"""The cache `requests-cache`: what its options may be, and what may lie in its storages."""

import json
import os
import pickle
import sqlite3
import subprocess
import sys

import pytest

from rollouts.caches import (
    json_format,
    requests_cache,
    requests_cache_files,
    requests_cache_storages,
    sqlite_files,
)
from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.identity import SampleKey
from rollouts.testing.contracts.cache import CacheContract, sample_request, sample_response
from rollouts.typing import CacheOptions

REQUEST = sample_request()
NAME = f"{REQUEST.fingerprint}-0"


@pytest.fixture(params=["sqlite", "filesystem"])
def cache(request, tmp_path):
    cache = requests_cache.make(CacheOptions(tmp_path, {"backend": request.param}))
    yield cache
    cache.close()


def get(cache):
    return [response.content for _, response in cache.load_many([SampleKey(REQUEST, 0)])]


def put(cache, text="Four."):
    cache.store(SampleKey(REQUEST, 0), sample_response(0, text))


def read(cache, name=NAME):
    return cache._storage.read([name])[name]


def overwrite(cache, text):
    """Put `text` where the sample lies, behind the cache's back."""
    location = cache._storage.location
    cache.close()
    if location.endswith(".sqlite"):
        connection = sqlite3.connect(location)
        connection.execute("UPDATE samples SET value = ? WHERE key = ?", (text, NAME))
        connection.commit()
        connection.close()
    else:
        with open(f"{location}/{NAME}.json", "wb") as file:
            file.write(text)


@pytest.mark.parametrize("serializer", ["pickle", "yaml", None, pickle])
def test_nothing_but_json_is_accepted(tmp_path, serializer):
    with pytest.raises(ConfigError, match="JSON only"):
        requests_cache.make(CacheOptions(tmp_path, {"serializer": serializer}))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"backend": "memory"}, "no backend 'memory'. There are 'sqlite', 'filesystem', 'redis'"),
        ({"backend": "sqlite", "fast_save": True}, "fast_save"),
        ({"backend": "filesystem", "max_cache_bytes": 5}, "max_cache_bytes"),
    ],
)
def test_what_would_break_a_promise_is_refused(tmp_path, options, match):
    with pytest.raises(ConfigError, match=match):
        requests_cache.make(CacheOptions(tmp_path, options))


@pytest.mark.parametrize(("backend", "package"), [("redis", "redis"), ("mongodb", "pymongo"), ("dynamodb", "boto3")])
def test_a_missing_driver_is_named(tmp_path, backend, package):
    # In a process of its own, in which the driver is not there, whatever this environment has.
    code = f"""
import sys; sys.modules[{package!r}] = None
from pathlib import Path
from rollouts.caches import requests_cache
from rollouts.typing import CacheOptions
requests_cache.make(CacheOptions(Path({str(tmp_path)!r}), {{"backend": {backend!r}}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigError" in done.stderr
    assert f"pip install {package}" in done.stderr


def test_a_stored_text_is_json_and_holds_its_whole_request(cache):
    put(cache)
    entry = json.loads(read(cache))
    assert entry["request"] == REQUEST.document
    assert entry["response"]["content"] == "Four. (0)"


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff\xfe", b"cut"])
def test_a_damaged_text_is_told_asked_again_and_kept_aside(cache, damaged):
    put(cache)
    damaged = read(cache)[:-9] if damaged == b"cut" else damaged
    overwrite(cache, damaged)
    with pytest.warns(RolloutsWarning, match="is damaged"):
        assert get(cache) == []
    put(cache, "again")
    assert get(cache) == ["again (0)"]
    assert read(cache, f"{NAME}.damaged") == damaged


@pytest.mark.parametrize("change", [{"format": 3}, {"number": 1}, {"request": {}}])
def test_a_text_that_is_not_the_sample_is_a_miss_and_stays(cache, change):
    put(cache)
    other = json.dumps({**json.loads(read(cache)), **change}).encode()
    overwrite(cache, other)
    with pytest.warns(RolloutsWarning, match=NAME):
        assert get(cache) == []
    put(cache, "new")
    assert get(cache) == ["new (0)"]
    assert read(cache) == other


def test_a_file_that_is_no_database_is_told_and_left(tmp_path):
    path = tmp_path / "requests-cache.sqlite"
    path.write_bytes(b"not a database" * 1000)
    cache = requests_cache.make(CacheOptions(tmp_path))
    with pytest.raises(CacheError, match=r"requests-cache\.sqlite"):
        get(cache)
    with pytest.raises(CacheError, match=r"requests-cache\.sqlite"):
        put(cache)
    assert path.read_bytes() == b"not a database" * 1000


def test_an_empty_file_is_an_empty_cache(tmp_path):
    (tmp_path / "requests-cache.sqlite").touch()
    cache = requests_cache.make(CacheOptions(tmp_path))
    assert get(cache) == []
    put(cache)
    assert get(cache) == ["Four. (0)"]
    cache.close()


@pytest.mark.parametrize("table", ["samples (key TEXT PRIMARY KEY, value TEXT)", "other (x)"])
def test_a_database_of_another_program_is_told_and_left(tmp_path, table):
    path = tmp_path / "requests-cache.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE {table}")
    connection.close()
    before = path.read_bytes()
    cache = requests_cache.make(CacheOptions(tmp_path))
    for act in (get, put, lambda cache: list(cache.entries())):
        with pytest.raises(CacheError, match="another program"):
            act(cache)
    assert path.read_bytes() == before


def test_a_database_of_a_later_version_is_told_and_left(tmp_path):
    cache = requests_cache.make(CacheOptions(tmp_path))
    put(cache)
    cache.close()
    connection = sqlite3.connect(tmp_path / "requests-cache.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for act in (get, put):
        with pytest.raises(CacheError, match="later version"):
            act(cache)


def test_a_network_file_system_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_files, "network_file_system", lambda path: "nfs4")
    cache = requests_cache.make(CacheOptions(tmp_path))
    with pytest.warns(RolloutsWarning, match=r'nfs4.*use_cache="json"') as told:
        put(cache)
    assert get(cache) == ["Four. (0)"]
    assert len(told) == 1
    cache.close()


def test_every_damaged_text_is_kept(cache):
    put(cache)
    for count in range(3):
        overwrite(cache, b"%d{" % count)
        put(cache)
    assert get(cache) == ["Four. (0)"]
    asides = [name for name in cache._storage.names() if name.endswith(".damaged")]
    assert sorted(cache._storage.read(asides).values()) == [b"0{", b"1{", b"2{"]


def test_an_answer_that_took_the_name_meanwhile_stays(cache, tmp_path, monkeypatch):
    put(cache)
    damaged = read(cache)[:-30]
    overwrite(cache, damaged)
    kind = "sqlite" if cache._storage.location.endswith(".sqlite") else "filesystem"
    another = requests_cache.make(CacheOptions(tmp_path, {"backend": kind}))
    met = []

    def first(act):
        def met_by_another_process(*arguments):
            if not met:
                met.append(1)
                put(another, "reported")
            return act(*arguments)

        return met_by_another_process

    monkeypatch.setattr(cache._storage, "put_aside", first(cache._storage.put_aside))
    monkeypatch.setattr(requests_cache_files, "move_aside", first(requests_cache_files.move_aside))
    put(cache, "late")
    assert get(cache) == ["reported (0)"]
    assert read(cache, f"{NAME}.damaged") == damaged
    another.close()


def test_a_file_that_is_stored_before_the_move_is_given_back(tmp_path, monkeypatch):
    storage = requests_cache_storages.make(str(tmp_path), {"backend": "filesystem"})
    storage.add([("a", b"damaged")])
    move = requests_cache_files.move_aside

    def met_by_another_process(path, names):
        requests_cache_files.move_aside = move
        assert storage.put_aside("a", b"damaged") == "a.damaged"
        assert storage.add([("a", b"reported")]) == []
        return move(path, names)

    monkeypatch.setattr(requests_cache_files, "move_aside", met_by_another_process)
    assert storage.put_aside("a", b"damaged") is None
    assert storage.read(["a", "a.damaged"]) == {"a": b"reported", "a.damaged": b"damaged"}


@pytest.mark.parametrize("bad", ["link out", "folder", "pipe", "circle"])
def test_what_is_no_file_of_ours_is_never_read_and_stays(tmp_path, bad):
    cache = requests_cache.make(CacheOptions(tmp_path / "cache", {"backend": "filesystem"}))
    put(cache)
    path = tmp_path / "cache" / "requests-cache" / f"{NAME}.json"
    path.rename(tmp_path / "outside.json")
    {
        "link out": lambda: path.symlink_to(tmp_path / "outside.json"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "circle": lambda: path.symlink_to(path.name),
    }[bad]()
    with pytest.warns(RolloutsWarning, match="is not sample 0"):
        assert get(cache) == []
    put(cache, "new")
    assert get(cache) == ["new (0)"]
    assert os.path.lexists(path)
    assert [entry.problem for entry in cache.entries()] == ["foreign", None]
    assert len(list(cache.set_aside(cache.entries()))) == 2
    assert b"Four. (0)" in (tmp_path / "outside.json").read_bytes()


class DictStorage(requests_cache_storages.RemoteStorage):
    """The way of the remote storages, with requests-cache's own dictionary in the place of a server."""

    shared: dict = {}  # noqa: RUF012

    def _connect(self):
        from requests_cache.backends import DictStorage

        storage = DictStorage()
        storage.data = self.shared.setdefault(self._options["namespace"], {})
        return storage


class TestRemote(CacheContract):
    across_processes = False

    def make(self, directory):
        return requests_cache.RequestsCache(DictStorage("redis", {"namespace": str(directory)}))


def test_a_password_is_in_no_location_and_no_pickle(tmp_path):
    storage = DictStorage("redis", {"namespace": str(tmp_path), "host": "h", "password": "canary"})
    cache = requests_cache.RequestsCache(storage)
    put(cache)
    [(_, found)] = cache.load_many([SampleKey(REQUEST, 0)])
    assert b"canary" not in pickle.dumps(found)
    assert "canary" not in cache.location + repr(found) + repr(found.raw_source)
    assert json_format.raw_of(read(cache)) == found.raw_body


@pytest.mark.parametrize(
    "options",
    [
        {"host": "mongodb://me:canary@db.example/x?authSource=canary"},
        {"host": ["mongodb://me:canary@a.example", "b.example"]},
        {"host": "h", "aws_secret_access_key": "canary"},
        {"url": "redis://:canary@h:1/0"},
        {"host": "mongodb://me:can@ary@db.example/x"},
        {"connection": type("Connection", (), {"__repr__": lambda self: "canary"})()},
        {"host": "me:canary@db.example"},
    ],
)
def test_no_secret_is_in_a_location_or_a_warning(options):
    storage = DictStorage("mongodb", {"namespace": "n", **options})
    cache = requests_cache.RequestsCache(storage)
    assert "canary" not in cache.location + cache.place(SampleKey(REQUEST, 0))
    assert "ary@" not in cache.location
    storage.remove([NAME])
    storage.add([(NAME, b"{")])
    with pytest.warns(RolloutsWarning, match="is damaged") as told:
        assert get(cache) == []
    assert "canary" not in str(told[0].message)


def test_a_url_in_a_location_names_its_server():
    storage = DictStorage("mongodb", {"namespace": "n", "host": "mongodb://me:canary@db.example:1/x?a=b"})
    assert storage.location == "mongodb {'host': 'mongodb://db.example:1/x', 'namespace': 'n'}"


def test_two_servers_have_two_locations_whatever_tells_them_apart():
    options = [
        {},
        {"unix_socket_path": "/run/a"},
        {"unix_socket_path": "/run/b"},
        {"url": "redis://h/0"},
        {"url": "redis://h/1"},
        {"endpoint_url": "http://127.0.0.1:1"},
        {"connection": object()},
        {"host": "a"},
    ]
    assert len({DictStorage("redis", {"namespace": "n", **more}).location for more in options}) == len(options)
    first, second = (DictStorage("redis", {"namespace": "n", "password": word}).location for word in ("a", "b"))
    assert first == second
