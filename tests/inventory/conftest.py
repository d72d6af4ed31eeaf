from __future__ import annotations

from pathlib import Path

import pytest

from rollouts.caches import json_files, requests_cache, sql
from rollouts.testing.contracts.processes import Child, bound_by_rights, let_others_pass
from rollouts.typing import CacheOptions

MAKERS = {
    "json": json_files.make,
    "sql": sql.make,
    "requests-cache": lambda o: requests_cache.make(CacheOptions(o.cache_dir, {"backend": "sqlite"})),
    "requests-cache files": lambda o: requests_cache.make(CacheOptions(o.cache_dir, {"backend": "filesystem"})),
}


@pytest.fixture
def open_cache():
    """Opens caches by kind and directory, and closes them."""
    opened = []

    def make(kind: str, directory: Path):
        opened.append(MAKERS[kind](CacheOptions(directory)))
        return opened[-1]

    yield make
    for cache in opened:
        cache.close()


@pytest.fixture(params=list(MAKERS))
def kind(request) -> str:
    return request.param


@pytest.fixture
def as_another_user(tmp_path):
    """Runs work in a child process, as a user whom rights bind; gives what it says."""
    let_others_pass(tmp_path)

    def run(work):
        child = Child(bound_by_rights(work))
        said = list(iter(child.hear, None))
        child.wait()
        return said

    return run
