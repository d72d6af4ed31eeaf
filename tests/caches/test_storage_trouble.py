"""Disks that are full or read-only, killed writers, directories that are none: for every backend."""

import os
import random
import time
import warnings
from dataclasses import replace

import pytest

from rollouts.caches import json_files, requests_cache, sql
from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.identity import SampleKey
from rollouts.results import Response
from rollouts.testing.contracts.cache import Child, sample_request, sample_response
from rollouts.typing import CacheOptions

MAKERS = {
    "json": lambda directory: json_files.make(CacheOptions(directory)),
    "sql": lambda directory: sql.make(CacheOptions(directory)),
    "requests-cache sqlite": lambda directory: requests_cache.make(CacheOptions(directory, {"backend": "sqlite"})),
    "requests-cache filesystem": lambda d: requests_cache.make(CacheOptions(d, {"backend": "filesystem"})),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def load(cache, numbers, request=None):
    request = request or sample_request()
    return {key.number: response for key, response in cache.load_many(SampleKey(request, n) for n in numbers)}


def store(cache, *numbers):
    for number in numbers:
        cache.store(SampleKey(sample_request(), number), sample_response(number))


def test_a_stored_error_is_asked_again_and_gives_way_to_the_answer(make, tmp_path):
    cache, key = make(tmp_path), SampleKey(sample_request(), 0)
    cache.store(key, replace(sample_response(0, "overloaded"), finish_reason="error"))
    with pytest.warns(RolloutsWarning, match="an error"):
        assert load(cache, [0]) == {}
    assert [entry.problem for entry in cache.entries()] == ["error"]
    cache.store(key, sample_response(0))
    assert load(cache, [0])[0].content == "Four. (0)"
    cache.store(key, replace(sample_response(0, "overloaded"), finish_reason="error"))
    assert load(cache, [0])[0].content == "Four. (0)"
    cache.close()


@pytest.mark.parametrize("kind", ["json", "requests-cache filesystem"])
def test_a_link_that_leads_nowhere_holds_nobody_up_and_costs_no_sample(kind, tmp_path):
    cache = MAKERS[kind](tmp_path)
    store(cache, 0)
    [file] = tmp_path.rglob("*.json")
    file.unlink()
    file.symlink_to("gone.json")
    cache = MAKERS[kind](tmp_path)
    store(cache, 0)
    with pytest.warns(RolloutsWarning, match="is no sample|is not sample"):
        assert load(cache, [0])[0].content == "Four. (0)"
    assert file.is_symlink()
    cache.close()


def test_who_stores_second_is_given_the_answer_that_stays(make, tmp_path):
    one, two, key = make(tmp_path), make(tmp_path), SampleKey(sample_request(), 0)
    assert one.store(key, sample_response(0, "first")) is None
    there = two.store(key, sample_response(0, "second"))
    assert (there.content, there.raw, there.cached) == ("first (0)", {"id": "gen-0"}, True)
    one.close()
    two.close()


def test_a_full_disk_is_an_error_and_harms_nothing(make, small_disk):
    cache = make(small_disk)
    stored = []

    def fill():
        for number in range(1000):
            cache.store(SampleKey(sample_request(), number), Response(content="x" * 9_000))
            stored.append(number)

    with pytest.raises(CacheError, match=r"full|No space"):
        fill()
    assert stored
    cache.close()
    cache = make(small_disk)
    assert list(load(cache, range(1000))) == stored
    cache.close()
    assert not [name for _, _, names in os.walk(small_disk) for name in names if name.endswith(".tmp")]


def test_a_read_only_directory_is_read_and_not_written(make, tmp_path, read_only):
    cache = make(tmp_path / "cache")
    store(cache, 0, 1)
    cache.close()
    read_only(tmp_path / "cache")
    cache = make(tmp_path / "cache")
    found = load(cache, range(3))
    assert list(found) == [0, 1]
    assert found[0].raw == {"id": "gen-0"}
    with pytest.raises(CacheError, match=r"(?i)read-?only"):
        store(cache, 2)
    assert list(load(cache, range(3))) == [0, 1]
    cache.close()


def test_a_directory_without_rights_is_no_empty_cache(make, tmp_path, as_another_user):
    cache = make(tmp_path / "cache")
    store(cache, 0)
    cache.close()
    (tmp_path / "cache").chmod(0)

    def work(say):
        for act in (lambda cache: load(cache, [0]), lambda cache: list(cache.entries())):
            try:
                act(make(tmp_path / "cache"))
            except (CacheError, ConfigError) as error:
                say("Permission denied. See to your rights" in str(error))

    assert as_another_user(work) == [1, 1]
    (tmp_path / "cache").chmod(0o755)


def test_a_database_that_was_not_closed_is_read_where_nothing_can_be_written(make, tmp_path, as_another_user):
    folder = tmp_path / "cache"
    cache = make(folder)
    store(cache, 0)
    cache.close()

    def work(say):
        late = make(folder)  # open until it is killed
        store(late, 1)
        say(1)

    child = Child(work)
    child.hear()
    child.kill()
    for left in folder.glob("*-shm"):  # as where the folder was copied without it
        left.unlink()
    folder.chmod(0o555)

    def look(say):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            say(0 in load(make(folder), [0, 1]))
        say(all("newest samples" in str(warning.message) for warning in told))

    assert as_another_user(look) == [1, 1]
    folder.chmod(0o755)


def test_a_directory_that_becomes_read_only_is_an_error_and_goes_on_being_read(make, tmp_path, read_only):
    (tmp_path / "cache").mkdir()
    first = make(tmp_path / "cache")
    store(first, 0)
    first.close()
    cache = make(tmp_path / "cache")
    store(cache, 1)
    read_only(tmp_path / "cache")
    late = make(tmp_path / "cache")
    assert set(load(late, range(3))) == {0, 1}
    late.close()


def test_a_killed_writer_loses_nothing_and_damages_nothing(make, tmp_path):
    kill_and_look(make, tmp_path, times=4, seed=1)


@pytest.mark.slow
def test_fifty_killed_writers_lose_nothing_and_damage_nothing(make, tmp_path):
    kill_and_look(make, tmp_path, times=50, seed=2)


def kill_and_look(make, tmp_path, times, seed):
    """Kill a child that stores in two threads at random moments; all that it had reported must be there, whole."""
    moments = random.Random(seed)
    request, first, said = sample_request(), 0, set()
    for _ in range(times):

        def work(say, first=first):
            cache = make(tmp_path)
            for number in range(first, first + 100_000):
                cache.store(SampleKey(request, number), Response(content=str(number) * 2000, raw_source=b"{}"))
                say(number)

        child = Child(work)
        for _ in range(moments.randrange(1, 20)):
            said.add(child.hear())
        time.sleep(moments.random() * 0.003)  # a random moment within a write, not a wait for something
        child.kill()
        first = max(said) + 50
    cache = make(tmp_path)
    found = load(cache, range(first + 100))  # a damaged one would be a warning, and warnings are errors
    assert said <= set(found)
    assert all(response.content == str(number) * 2000 for number, response in found.items())
    cache.store(SampleKey(request, first + 200), sample_response(0))
    assert len(load(cache, [first + 200])) == 1
    cache.close()


def test_a_cache_directory_that_is_a_file_is_told_before_anything_is_sent(make, tmp_path):
    (tmp_path / "file").write_text("mine")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        cache = make(directory)
        with pytest.raises((ConfigError, CacheError), match="file"):
            load(cache, [0])
        with pytest.raises((ConfigError, CacheError)):
            store(cache, 0)
        cache.close()
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_that_is_removed_meanwhile_is_made_again(make, tmp_path):
    import shutil

    cache = make(tmp_path / "cache")
    store(cache, 0)
    assert list(load(cache, [0, 1])) == [0]
    shutil.rmtree(tmp_path / "cache")
    assert load(cache, [0, 1]) == {}
    store(cache, 1)
    assert list(load(cache, [0, 1])) == [1]
    cache.close()
    cache = make(tmp_path / "cache")
    assert list(load(cache, [0, 1])) == [1]
    cache.close()


@pytest.mark.parametrize(
    "model", ["../../up", "..", ".", "", "a/../../b", "con", "a\x00b", "x" * 500, "\ud83d", "a\\b", "é/四"]
)
def test_no_model_name_leaves_the_directory(make, tmp_path, model):
    directory = tmp_path / "a" / "b" / "cache"
    cache = make(directory)
    request = sample_request(model=model)
    cache.store(SampleKey(request, 0), sample_response(0))
    assert list(load(cache, [0], request)) == [0]
    cache.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and directory not in path.parents] == []


def test_no_option_is_ignored(tmp_path):
    for module in (json_files, sql, requests_cache):
        with pytest.raises(ConfigError, match="nonsense"):
            module.make(CacheOptions(tmp_path, {"nonsense": 1}))
