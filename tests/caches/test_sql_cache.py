"""The SQLite file of the cache `sql`: what it holds, and what may be wrong with it."""

import sqlite3
import threading

import pytest

from rollouts.caches import folders, sql, sqlite_files
from rollouts.exceptions import CacheError, RolloutsWarning
from rollouts.identity import SampleKey
from rollouts.results import Response, Usage
from rollouts.testing.contracts.cache import Child, sample_request, sample_response
from rollouts.typing import CacheOptions

REQUEST = sample_request()


@pytest.fixture
def cache(tmp_path):
    cache = sql.make(CacheOptions(tmp_path))
    yield cache
    cache.close()


@pytest.fixture
def path(cache, tmp_path):
    """The database, closed, with the samples 0 to 2."""
    for number in range(3):
        cache.store(SampleKey(REQUEST, number), sample_response(number))
    cache.close()
    return tmp_path / "rollouts.sqlite"


def get(cache, *numbers, request=REQUEST):
    return {key.number: response.content for key, response in cache.load_many(SampleKey(request, n) for n in numbers)}


def edit(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_file_can_be_asked_in_sql(path):
    connection = sqlite3.connect(path)
    query = "SELECT requests.model, number, content FROM samples JOIN requests ON requests.id = request ORDER BY number"
    assert connection.execute(query).fetchall() == [("maker/model", n, f"Four. ({n})") for n in range(3)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_request_is_kept_once_and_whole(path):
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT document FROM requests").fetchall() == [(REQUEST.canonical,)]
    connection.close()


def test_values_that_columns_cannot_hold_come_back(cache):
    odd = Response(
        content="x",
        provider="\ud83d",
        created=2**70,
        latency=float("inf"),
        usage=Usage(reasoning_tokens=3),
    )
    cache.store(SampleKey(REQUEST, 0), odd)
    cache.store(SampleKey(REQUEST, 1), Response(content="y", usage=Usage(cost=0.0, total_tokens=2**70)))
    found = dict(cache.load_many([SampleKey(REQUEST, 0), SampleKey(REQUEST, 1)]))
    back = found[SampleKey(REQUEST, 0)]
    for name in ("provider", "created", "latency", "usage"):
        assert getattr(back, name) == getattr(odd, name), name
    assert found[SampleKey(REQUEST, 1)].usage == Usage(cost=0.0, total_tokens=2**70)


def test_reading_many_samples_is_one_select(cache, path):
    seen = []
    with cache._database.reading() as connection:
        connection.set_trace_callback(seen.append)
    assert len(get(cache, *range(1000))) == 3
    assert len([statement for statement in seen if "FROM asked" in statement]) == 1
    assert len(seen) <= 3
    assert not [statement for statement in seen if statement.split()[0] in ("INSERT", "UPDATE", "DELETE", "BEGIN")]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE samples SET content = NULL WHERE number = 1",
        "UPDATE samples SET content = x'ff00' WHERE number = 1",
        "UPDATE samples SET content = CAST(x'ff41' AS TEXT) WHERE number = 1",
        "UPDATE samples SET rest = '{broken' WHERE number = 1",
        "UPDATE samples SET rest = '[]' WHERE number = 1",
        "UPDATE samples SET rest = '{\"content\": 5}' WHERE number = 1",
        "UPDATE samples SET finish_reason = 5 WHERE number = 1",
        "UPDATE samples SET completed_reasoning = 2 WHERE number = 1",
        "UPDATE samples SET cost = 'cheap' WHERE number = 1",
        "UPDATE samples SET latency = x'00' WHERE number = 1",
        "UPDATE samples SET rest = '{\"pin\": [1]}' WHERE number = 1",
    ],
)
def test_a_damaged_row_is_told_asked_again_and_kept(cache, path, damage):
    edit(path, damage)
    with pytest.warns(RolloutsWarning, match=r"Sample 1 .*rollouts\.sqlite is damaged"):
        assert list(get(cache, 0, 1, 2)) == [0, 2]
    cache.store(SampleKey(REQUEST, 1), sample_response(1, "again"))
    assert get(cache, 0, 1, 2)[1] == "again (1)"
    cache.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT number FROM damaged").fetchall() == [(1,)]
    connection.close()


def test_a_row_of_another_request_is_a_miss_and_stays(cache, path):
    edit(path, "UPDATE requests SET document = '{}'")
    assert get(cache, 0, 1, 2) == {}
    cache.store(SampleKey(REQUEST, 0), sample_response(0, "new"))
    assert get(cache, 0, 1, 2) == {0: "new (0)"}
    cache.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM samples").fetchone() == (4,)
    connection.close()


def refuses(cache, match):
    with pytest.raises(CacheError, match=match):
        get(cache, 0)
    with pytest.raises(CacheError, match=match):
        cache.store(SampleKey(REQUEST, 0), sample_response(0))


def test_a_database_of_a_later_version_is_told_and_left(cache, path):
    edit(path, "PRAGMA user_version = 3")
    before = path.read_bytes()
    refuses(cache, "later version of rollouts .format 3")
    cache.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "junk", [b"not a database, and longer than a header of SQLite" * 100, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_damaged_database_is_told_and_left(cache, tmp_path, junk):
    (tmp_path / "rollouts.sqlite").write_bytes(junk)
    refuses(cache, "rollouts.sqlite")
    assert (tmp_path / "rollouts.sqlite").read_bytes() == junk


def test_a_truncated_database_is_told_and_left(cache, path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refuses(cache, "damaged")
    assert path.read_bytes() == whole[: len(whole) // 2]


def test_another_programs_database_is_told_and_left(cache, tmp_path):
    edit(tmp_path / "rollouts.sqlite", "CREATE TABLE mine (x)")
    before = (tmp_path / "rollouts.sqlite").read_bytes()
    refuses(cache, "another program")
    assert (tmp_path / "rollouts.sqlite").read_bytes() == before


def test_an_empty_file_is_an_empty_cache(cache, tmp_path):
    (tmp_path / "rollouts.sqlite").touch()
    assert get(cache, 0) == {}
    assert (tmp_path / "rollouts.sqlite").read_bytes() == b""
    cache.store(SampleKey(REQUEST, 0), sample_response(0))
    assert get(cache, 0) == {0: "Four. (0)"}


def test_threads_that_store_together_share_transactions(cache):
    cache.store(SampleKey(REQUEST, 1000), sample_response(0))
    commits = []
    barrier = threading.Barrier(16)

    def work(number):
        barrier.wait()
        for i in range(10):
            cache.store(SampleKey(REQUEST, number * 10 + i), sample_response(0))

    cache._database._writer.set_trace_callback(
        lambda statement: commits.append(statement) if statement == "COMMIT" else None
    )
    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    with cache._database.write_lock:  # all have brought their first sample before anybody may write
        for thread in threads:
            thread.start()
        while len(cache._waiting) < 16:
            pass
    for thread in threads:
        thread.join()
    assert len(get(cache, *range(160))) == 160
    assert len(commits) <= 160 - 15


def test_a_child_uses_no_connection_of_its_parent(cache):
    # SQLite forbids it (https://sqlite.org/howtocorrupt.html, section 2.6), and it goes well most of the time.
    cache.store(SampleKey(REQUEST, 0), sample_response(0))
    assert get(cache, 0)
    writer, readers = cache._database._writer, list(cache._database._idle)

    def work(say):
        cache.store(SampleKey(REQUEST, 1), sample_response(1))
        say(len(get(cache, 0, 1)))
        say(cache._database._writer is not writer and not any(r in readers for r in cache._database._idle))

    child = Child(work)
    assert (child.hear(), child.hear()) == (2, 1)
    child.wait()


def test_a_number_too_large_for_sqlite_is_told_and_missed(cache):
    with pytest.raises(CacheError, match="too large"):
        cache.store(SampleKey(REQUEST, 2**63), sample_response(0))
    assert get(cache, 2**63, 2**80) == {}


def test_a_network_file_system_is_told_once(cache, tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {tmp_path} rw shared:1 - nfs4 host:/x rw\n")
    found = folders.network_file_system
    monkeypatch.setattr(sqlite_files, "network_file_system", lambda path: found(path, str(mounts)))
    with pytest.warns(RolloutsWarning, match=r'nfs4.*use_cache="json"') as told:
        cache.store(SampleKey(REQUEST, 0), sample_response(0))
    assert get(cache, 0) == {0: "Four. (0)"}
    assert len(told) == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/x", "lustre"),
        ("/data", "lustre"),
        ("/database", None),
        ("/data/local/x", None),
        ("/with space/x", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path, path, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /data rw - lustre x rw\n3 2 0:3 / /data/local rw - xfs x rw\n"
        "4 1 0:4 / /with\\040space rw master:3 - fuse.sshfs x rw\nbroken line\n"
    )
    assert folders.network_file_system(path, str(mounts)) == kind
    assert folders.network_file_system(path, str(tmp_path / "none")) is None
