"""The contract, for each backend and for one that a stranger wrote."""

from rollouts.caches import json_files, requests_cache, sql
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
