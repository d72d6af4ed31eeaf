"""The cache `postgresql` on a real server."""

from __future__ import annotations

import json
import pickle
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rollouts_shared.addresses import Address
from rollouts_shared.plugin import make_cache
from rollouts_shared.postgresql import PostgresqlCache
from sqlalchemy import event

from rollouts import RolloutsClient
from rollouts.cli import main
from rollouts.exceptions import CacheError, ConfigError, RolloutsWarning
from rollouts.identity import SampleKey
from rollouts.results import Response
from rollouts.testing import LoopbackServer, Reply, chat_reply
from rollouts.testing.contracts.cache import CacheContract, sample_request, sample_response
from rollouts.typing import CacheBackend, CacheInventory, CacheOptions, CacheUpkeep, StoredEntry

Schema = Callable[[object], str]
PASSWORD = "p4ss/w0rd canary"


def cache_at(url: str) -> PostgresqlCache:
    return make_cache(CacheOptions(Path(), {"url": url}))


class TestContract(CacheContract):
    @pytest.fixture(autouse=True)
    def _schemas(self, postgres_schema: Schema, tmp_path: Path) -> None:
        self._url_of = postgres_schema
        postgres_schema(tmp_path)  # before children ask for it

    def make(self, directory: Path) -> CacheBackend:
        return cache_at(self._url_of(directory))


@pytest.fixture
def url(postgres_schema: Schema) -> str:
    return postgres_schema("one")


@pytest.fixture
def cache(url: str) -> Iterator[PostgresqlCache]:
    cache = cache_at(url)
    yield cache
    cache.close()


def run(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def numbers(cache: PostgresqlCache, n: int = 10) -> list[int]:
    return sorted(key.number for key, _ in cache.load_many(SampleKey(sample_request(), i) for i in range(n)))


# ── Round trips and transactions ────────────────────────────────────────────────────────────────────────


def test_a_chunk_of_keys_is_one_statement(cache: PostgresqlCache) -> None:
    requests = [sample_request(f"prompt {i}") for i in range(50)]
    keys = [SampleKey(request, number) for request in requests for number in range(20)]
    cache.store_many((key, sample_response(key.number)) for key in keys)
    statements: list[str] = []
    listen = cache._database._connected()
    event.listen(listen, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert len(list(cache.load_many(keys))) == 1000
    assert len(statements) == 1


def test_a_batch_is_one_transaction_and_all_or_nothing(cache: PostgresqlCache, url: str) -> None:
    request = sample_request()
    cache.store_many((SampleKey(request, n), sample_response(n)) for n in range(100))
    assert run(url, "SELECT count(*), count(DISTINCT xmin::text) FROM rollouts_samples") == [(100, 1)]
    with pytest.raises(CacheError, match=r"too large.*2\*\*63"):
        cache.store_many((SampleKey(request, n), sample_response(n)) for n in (200, 2**63))
    assert run(url, "SELECT count(*) FROM rollouts_samples") == [(100,)]


def test_threads_that_store_the_same_samples_crosswise_do_not_wait_for_each_other(cache: PostgresqlCache) -> None:
    requests = [sample_request(f"prompt {i}") for i in range(10)]
    keys = [SampleKey(request, number) for request in requests for number in range(10)]
    errors: list[BaseException] = []

    def work(order: int) -> None:
        try:
            for _ in range(5):
                cache.store_many((key, sample_response(order)) for key in keys[::order])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in (1, -1) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(cache.load_many(keys))) == 100


def test_reading_needs_no_right_to_write(cache: PostgresqlCache, url: str) -> None:
    readers = f"{url}%20-cdefault_transaction_read_only%3Don"
    reader = cache_at(readers)
    assert numbers(reader) == []
    cache.store(SampleKey(sample_request(), 3), sample_response(3))
    assert numbers(reader) == [3]
    with pytest.raises(CacheError, match=r"cannot be written.*read-only"):
        reader.store(SampleKey(sample_request(), 4), sample_response(4))
    assert numbers(reader) == [3]
    reader.close()


def test_a_cache_outlives_its_connections(cache: PostgresqlCache, url: str) -> None:
    cache.store(SampleKey(sample_request(), 0), sample_response(0))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rollouts'"
    run(url, kill)
    cache.store(SampleKey(sample_request(), 1), sample_response(1))
    run(url, kill)
    assert numbers(cache) == [0, 1]


def test_tables_that_are_gone_come_again(cache: PostgresqlCache, url: str) -> None:
    cache.store(SampleKey(sample_request(), 0), sample_response(0))
    run(url, "DROP TABLE rollouts_format, rollouts_requests, rollouts_samples, rollouts_damaged")
    assert numbers(cache) == []
    cache.store(SampleKey(sample_request(), 1), sample_response(1))
    assert numbers(cache) == [1]


# ── What is not an answer ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("record", ["{", "[]", '{"content": 4}', "null", '{"content": "4", "created": "today"}'])
def test_a_damaged_row_is_a_miss_and_is_kept_aside(cache: PostgresqlCache, url: str, record: str) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, sample_response(0, "first"))
    run(url, f"UPDATE rollouts_samples SET record = '{record}'")
    with pytest.warns(RolloutsWarning, match="Sample 0 of request .* is damaged"):
        assert list(cache.load_many([key])) == []
    assert list(cache.load_many([key])) == []  # told once
    cache.store(key, sample_response(0, "second"))
    assert [response.content for _, response in cache.load_many([key])] == ["second (0)"]
    assert run(url, "SELECT number, record FROM rollouts_damaged") == [(0, record)]


def test_who_stores_second_is_given_the_answer_that_stays(cache: PostgresqlCache) -> None:
    key = SampleKey(sample_request(), 0)
    assert cache.store(key, sample_response(0, "first")) is None
    there = cache.store(key, sample_response(0, "second"))
    assert there is not None
    assert (there.content, there.raw) == ("first (0)", {"id": "gen-0"})


def test_a_stored_error_is_asked_again_and_gives_way_to_the_answer(cache: PostgresqlCache, url: str) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, replace(sample_response(0, "overloaded"), finish_reason="error"))
    with pytest.warns(RolloutsWarning, match="an error and no answer"):
        assert list(cache.load_many([key])) == []
    assert [entry.problem for entry in cache.entries()] == ["error"]
    cache.store(key, sample_response(0, "ours"))
    assert [response.content for _, response in cache.load_many([key])] == ["ours (0)"]


def test_a_row_of_another_request_is_no_answer_and_stays(cache: PostgresqlCache, url: str) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, sample_response(0, "of another"))
    run(url, """UPDATE rollouts_requests SET document = replace(document, '2 + 2', '2 + 3')""")
    assert list(cache.load_many([key])) == []
    cache.store(key, sample_response(0, "ours"))
    assert [response.content for _, response in cache.load_many([key])] == ["ours (0)"]
    assert run(url, "SELECT count(*) FROM rollouts_samples") == [(2,)]
    problems = sorted((entry.problem or "", entry.number) for entry in cache.entries())
    assert problems == [("", 0), ("foreign", 0)]


def test_a_database_of_a_later_version_is_left_alone(cache: PostgresqlCache, url: str) -> None:
    cache.store(SampleKey(sample_request(), 0), sample_response(0))
    run(url, "INSERT INTO rollouts_format VALUES (99)")
    again = cache_at(url)
    for use in (lambda: numbers(again), lambda: again.store(SampleKey(sample_request(), 1), sample_response(1))):
        with pytest.raises(CacheError, match=r"later version .*99"):
            use()
    again.close()
    assert run(url, "SELECT count(*) FROM rollouts_samples") == [(1,)]


# ── Listing ─────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_stored_is_listed_and_can_be_stored_elsewhere(
    cache: PostgresqlCache, postgres_schema: Schema
) -> None:
    assert isinstance(cache, CacheInventory)
    assert list(cache.entries()) == []
    requests = [sample_request(f"prompt {i} \x00 \ud83d", prefill="<think>\nI", thought="I") for i in range(3)]
    stored = {SampleKey(request, n): sample_response(n, full=True) for request in requests for n in (-1, 0, 7, 600)}
    cache.store_many(stored.items())
    entries = list(cache.entries())
    assert [(e.request.fingerprint, e.number) for e in entries if e.request] == sorted(
        (key.request.fingerprint, key.number) for key in stored
    )
    other = cache_at(postgres_schema("another"))
    for entry in entries:
        assert entry.request is not None
        assert entry.number is not None
        assert entry.response is not None
        other.store(SampleKey(entry.request, entry.number), entry.response)
    found = dict(other.load_many(stored))
    raws = {key: response.raw_body for key, response in found.items()}
    other.close()
    assert {key: (r.content, r.usage, r.prefill) for key, r in found.items()} == {
        key: (r.content, r.usage, "<think>\nI") for key, r in stored.items()
    }
    assert raws == {key: r.raw_body for key, r in stored.items()}


# ── Upkeep ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_wrong_is_moved_aside_and_nothing_else(cache: PostgresqlCache, url: str) -> None:
    assert isinstance(cache, CacheUpkeep)
    request, other = sample_request(), sample_request("another prompt")
    cache.store_many((SampleKey(request, n), sample_response(n)) for n in range(700))
    cache.store(SampleKey(other, 0), sample_response(0))
    run(url, "UPDATE rollouts_samples SET record = '{' WHERE number IN (3, 600)")
    run(url, "UPDATE rollouts_requests SET document = replace(document, 'another', 'a third') WHERE id = "
             "(SELECT max(id) FROM rollouts_requests)")  # fmt: skip
    wrong = [entry for entry in cache.entries() if entry.problem is not None]
    assert sorted((entry.problem, entry.number) for entry in wrong) == [
        ("damaged", 3),
        ("damaged", 600),
        ("foreign", 0),
    ]

    moved = list(cache.set_aside(wrong))

    assert [entry for entry, _ in moved] == wrong
    assert {place for _, place in moved} == {
        f"rollouts_damaged, request {row}, number {n}"
        for row, n in run(url, "SELECT request, number FROM rollouts_damaged")
    }
    assert run(url, "SELECT count(*), count(raw) FROM rollouts_damaged") == [(3, 3)]
    assert numbers(cache, 700) == [n for n in range(700) if n not in (3, 600)]
    assert [entry for entry in cache.entries() if entry.problem is not None] == []
    assert list(cache.set_aside(wrong)) == []


def test_a_sound_answer_that_came_meanwhile_stays(cache: PostgresqlCache, url: str) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, sample_response(0))
    run(url, "UPDATE rollouts_samples SET record = '{'")
    [wrong] = cache.entries()
    cache.store(key, sample_response(0, "asked again"))

    assert list(cache.set_aside([wrong])) == []
    assert [response.content for _, response in cache.load_many([key])] == ["asked again (0)"]


def test_what_is_removed_is_gone_with_its_request_and_can_be_stored_again(cache: PostgresqlCache, url: str) -> None:
    mine, other = sample_request(), sample_request("another prompt")
    cache.store_many((SampleKey(request, n), sample_response(n)) for request in (mine, other) for n in range(3))
    whole = [entry for entry in cache.entries() if entry.request == mine]

    assert cache.remove(whole[:1]) == 1
    assert run(url, "SELECT count(*) FROM rollouts_requests") == [(2,)]
    assert cache.remove(whole) == 2
    assert cache.remove(whole) == cache.remove([]) == 0
    assert run(url, "SELECT count(*) FROM rollouts_samples") == [(3,)]
    assert run(url, "SELECT count(*) FROM rollouts_requests") == [(1,)]
    cache.store(SampleKey(mine, 1), sample_response(1))
    assert numbers(cache) == [1]


def test_a_request_that_is_deleted_while_a_sample_of_it_is_stored_comes_again(
    cache: PostgresqlCache, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, sample_response(0))
    find = cache._request_rows
    other = cache_at(url)
    late = [lambda: other.remove(other.entries())]

    def found(*arguments: Any) -> Any:
        rows = find(*arguments)
        for remove in [late.pop()] if late else []:
            remove()
        return rows

    monkeypatch.setattr(cache, "_request_rows", found)
    cache.store(SampleKey(sample_request(), 1), sample_response(1))
    other.close()
    assert numbers(cache) == [1]


def test_only_rows_of_samples_are_moved_or_deleted(cache: PostgresqlCache) -> None:
    stray = StoredEntry("somewhere else", 1)
    with pytest.raises(CacheError, match="somewhere else"):
        list(cache.set_aside([stray]))
    with pytest.raises(CacheError, match="somewhere else"):
        cache.remove([stray])


def test_the_commands_repair_clear_and_pack_it(
    cache: PostgresqlCache, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.store_many((SampleKey(sample_request(), n), sample_response(n)) for n in range(4))
    cache.close()
    run(url, "UPDATE rollouts_samples SET record = '{' WHERE number = 2")
    here = ["--use-cache", "postgresql", "--cache-options", json.dumps({"url": url})]
    assert main(["cache", "verify", *here]) == 1
    assert main(["cache", "verify", "--repair", *here]) == 0
    assert "→ rollouts_damaged, request 1, number 2" in capsys.readouterr().out
    pack = str(tmp_path / "study.zip")
    assert main(["pack", pack, *here]) == 0
    assert main(["cache", "clear", "--all", "--yes", *here]) == 0
    assert "3 samples deleted" in capsys.readouterr().out
    assert main(["unpack", pack, *here]) == 0
    assert numbers(cache) == [0, 1, 3]


# ── No secret ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_password_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_at("postgresql://canary-user:p4ss%2Fw0rd%20canary@127.0.0.1:1/database?password=p4ss&sslmode=disable")
    key = SampleKey(sample_request(), 0)
    said = [repr(cache), str(cache), cache.location, cache.place(key), repr(vars(cache))]
    with pytest.raises(CacheError, match=r"postgresql://127\.0\.0\.1:1/database cannot be read") as read:
        list(cache.load_many([key]))
    with pytest.raises(CacheError, match="cannot be written") as written:
        cache.store(key, sample_response(0))
    for caught in (read.value, written.value):
        assert caught.__cause__ is None
        assert caught.__context__ is None
        said.append(str(caught))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(cache._address)
    with pytest.raises(TypeError):
        pickle.dumps(cache)
    cache.close()
    text = "\n".join([*said, caplog.text])
    assert "p4ss" not in text
    assert "canary" not in text


def test_what_a_driver_says_is_shown_without_user_and_password() -> None:
    address = Address("postgresql://ca%40nary:p4ss%2Fword@host/db?sslpassword=s3cret")
    said = address.scrubbed(Exception('role "ca@nary" (p4ss/word, p4ss%2Fword, s3cret) may not\nenter'))
    assert said == 'role "…" (…, …, …) may not'


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"url": ""},
        {"url": 5},
        {"url_from": "ROLLOUTS_TEST_NOT_SET"},
        {"url_from": 5},
        {"url": f"postgresql://user:{PASSWORD}@host/db"},
        {"url": "postgresql://user:p4ss#word@host/db"},
        {"url": "postgresql://user:p4ss?word@host/db"},
        {"url": "postgresql://host:p4ss/db"},
        {"url": "mysql://user:p4ss@host/db"},
        {"url": "postgresql://[p4ss/db"},
        {"url": "postgresql://host/db", "schema": "x"},
    ],
)
def test_options_that_cannot_work_are_refused_without_the_password(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        make_cache(CacheOptions(Path(), options))
    assert "p4ss" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_url_from_the_environment_is_in_no_setting(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_OF_ALL", url)
    options = {"url_from": "DATABASE_OF_ALL"}
    cache = make_cache(CacheOptions(Path(), options))
    assert cache.location == cache_at(url).location
    with LoopbackServer() as server:
        client = RolloutsClient(
            "test/model", base_url=server.url, adapter="openai-compatible", api_key="x", progress_bar=False,
            use_cache="postgresql", cache_options=options, requests_per_minute=60, limiter="shared",
            limiter_options=options,
        )  # fmt: skip
        with client:
            client.generate("What is 2 + 2?")
            assert "127.0.0.1" in repr(client.settings)
            assert url not in repr(client.settings)
        assert len(server.requests) == 1


def test_the_settings_of_a_client_show_no_password() -> None:
    url = "postgresql://user:p4ss@127.0.0.1:1/db?sslpassword=p4ss"
    options = {"url": url}
    client = RolloutsClient(
        "test/model", use_cache="postgresql", cache_options=options, limiter="shared", limiter_options=options
    )
    with client:
        assert "127.0.0.1:1/db" in repr(client.settings)
        assert "p4ss" not in repr(client) + repr(client.settings)


def test_location_tells_storages_apart_and_not_who_logs_in() -> None:
    def location(url: str) -> str:
        return cache_at(url).location

    assert location("postgresql://a:b@Host/db") == location("postgres://c@host/db") == location("postgresql://host/db")
    schemas = {location(f"postgresql://host/db?options=-csearch_path%3D{name}") for name in "ab"}
    assert len({location("postgresql://host/db"), location("postgresql://host/other"), *schemas}) == 4


def test_a_pickled_answer_holds_its_body_and_not_the_url(cache: PostgresqlCache) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, sample_response(0))
    [(_, found)] = cache.load_many([key])
    pickled = pickle.dumps(found)
    assert b"postgres" not in pickled
    assert pickle.loads(pickled).raw_body == sample_response(0).raw_body


def test_a_raw_body_is_read_after_closing_and_leaves_nothing_open(cache: PostgresqlCache, url: str) -> None:
    key = SampleKey(sample_request(), 0)
    cache.store(key, sample_response(0))
    [(_, found)] = cache.load_many([key])
    cache.close()
    assert found.raw_body == sample_response(0).raw_body
    run(url, "DELETE FROM rollouts_samples")
    with pytest.raises(CacheError, match="raw answer of sample 0 is no longer"):
        found.raw_body  # noqa: B018


# ── With the client ─────────────────────────────────────────────────────────────────────────────────────


def test_clients_share_answers_and_store_no_key(url: str) -> None:
    key = "sk-canary-of-the-shared-cache"
    with LoopbackServer() as server:
        made = {
            "base_url": server.url, "adapter": "openai-compatible", "api_key": key,
            "use_cache": "postgresql", "cache_options": {"url": url}, "progress_bar": False,
        }  # fmt: skip
        answers: list[list[Response]] = []
        for _ in range(2):
            with RolloutsClient("test/model", **made) as client:
                answers.append(list(client.generate("What is 2 + 2?", n_samples=20)))
        assert len(server.requests) == 20
    assert answers[0] == answers[1]
    assert all(response.cached for response in answers[1])
    everything = repr([run(url, f"SELECT * FROM rollouts_{name}") for name in ("requests", "samples", "format")])
    assert "What is 2 + 2?" in everything
    assert "canary" not in everything


def test_no_row_pack_or_export_holds_a_key_that_the_service_repeats(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "sk-canary-0f1e2d3c-of-the-shared-cache"

    def repeat(request: Any) -> Reply:
        said = chat_reply(f"You said {request.headers['authorization']}.", seed=request.json()["seed"])
        return Reply(json={**said, "you": dict(request.headers)})

    made = {"use_cache": "postgresql", "cache_options": {"url": url}, "cache_dir": tmp_path, "progress_bar": False}
    with LoopbackServer(repeat) as server:
        asking = RolloutsClient("test/model", adapter="openrouter", base_url=server.url, api_key=key, **made)
        with asking as client:
            fresh, again = (client.generate("Who am I?", n_samples=3) for _ in range(2))
        assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert [response.cached for response in again] == [True] * 3
    shown = [repr([response.raw, response]) for response in (*fresh, *again)]
    shown += [pickle.dumps(again).decode("latin-1"), repr(client), repr(client.settings)]
    here = ["--use-cache", "postgresql", "--cache-options", json.dumps({"url": url})]
    assert main(["pack", str(tmp_path / "study.zip"), *here]) == 0
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        shown += [archive.read(name).decode() for name in archive.namelist()]
    for command in (["export", "-", "--raw"], ["export", "-", "--format", "csv", "--raw"], ["ls", "--json"]):
        assert main(["cache", *command, *here]) == 0
    tables = run(url, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    assert len(tables) == 4
    for (table,) in tables:
        shown += [repr(row) for row in run(url, f"SELECT * FROM {table}")]
    shown += capsys.readouterr()
    assert [text for text in shown if "Who am I?" in text]
    assert [text for text in shown if "0f1e2d3c" in text] == []
