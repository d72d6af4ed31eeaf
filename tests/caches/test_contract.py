"""The contract, for each backend and for one that a stranger wrote."""

import contextlib

import pytest

from rollouts.caches import json_files, requests_cache, sql
from rollouts.exceptions import CacheError
from rollouts.results.codec import from_record, to_record
from rollouts.testing.contracts.cache import CacheContract
from rollouts.typing import CacheOptions


class TestJson(CacheContract):
    def make(self, directory):
        return json_files.make(CacheOptions(directory))


class TestSql(CacheContract):
    def make(self, directory):
        return sql.make(CacheOptions(directory))


class TestRequestsCacheSqlite(CacheContract):
    def make(self, directory):
        return requests_cache.make(CacheOptions(directory, {"backend": "sqlite"}))


class TestRequestsCacheFilesystem(CacheContract):
    def make(self, directory):
        return requests_cache.make(CacheOptions(directory, {"backend": "filesystem"}))


class MemoryCache:
    """A backend as a stranger would write it: keeps answers until the process ends."""

    def __init__(self):
        self.records = {}

    def load_many(self, keys):
        for key in keys:
            if found := self.records.get(key):
                record, raw = found
                yield key, from_record(record, seed=key.number, raw=raw, **key.request.context)

    def store(self, key, response):
        self.records.setdefault(key, (to_record(response), response.raw_body))

    def close(self):
        pass


class TestMemory(CacheContract):
    persistent = False

    def make(self, directory):
        return MemoryCache()


def broken(change):
    """The contract of a cache of files that is right but for `change`."""

    class Broken(json_files.JsonCache):
        store = change

    class Contract(CacheContract):
        __test__ = False

        def make(self, directory):
            return Broken(str(directory))

    return Contract()


def test_a_cache_that_swallows_a_failed_write_is_noticed(tmp_path):
    def store(self, key, response):
        with contextlib.suppress(CacheError):
            json_files.JsonCache.store(self, key, response)

    with pytest.raises(AssertionError):
        broken(store).test_a_storage_that_cannot_be_written_is_told_and_still_read(tmp_path)


def test_a_cache_that_stores_the_url_is_noticed(tmp_path):
    def store(self, key, response):
        json_files.JsonCache.store(self, key, response)
        with open(self.place(key) + ".log", "w") as file:
            file.write(key.request.wire.url)

    with pytest.raises(AssertionError):
        broken(store).test_no_secret_is_stored_or_shown(tmp_path)
