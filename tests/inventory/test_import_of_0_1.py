"""What the last release of rollouts 0.1.x wrote, by its own code, becomes samples that today's client finds."""

from __future__ import annotations

import json
import shutil
import sqlite3
import warnings
from pathlib import Path

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import OfflineMiss
from rollouts.inventory import copy, prompt_text

DATA = Path(__file__).parents[1] / "sample_data"
MODEL = "qwen/qwen3-30b-a3b"
GIVEN = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 100}


def found(cache):
    return {(prompt_text(e.request), e.number): e for e in cache.old_entries() if e.request is not None}


@pytest.fixture
def old(tmp_path):
    shutil.copytree(DATA / "rollouts-0.1-ambiguous", tmp_path / "old")
    return tmp_path / "old"


@pytest.fixture(params=["json", "sql"])
def source(request, open_cache, old):
    return open_cache(request.param, old)


def offline(cache_dir, kind="json", **settings):
    return RolloutsClient(
        MODEL, offline=True, cache_dir=cache_dir, use_cache=kind, progress_bar=False, provider=None, **settings
    )


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")  # no provider is pinned
@pytest.mark.parametrize("kind", ["json", "sql"])
def test_imported_answers_are_found_by_the_client_under_the_settings_of_old(source, open_cache, tmp_path, kind):
    target = open_cache(kind, tmp_path / "new")
    copy(source.old_entries(), target)
    with offline(tmp_path / "new", kind, **GIVEN) as client:
        answers = client.generate("plain", n_samples=2)
        assert [a.content for a in answers] == ["Four.", "Four."]
        assert [a.origin for a in answers] == ["0.1.x", "0.1.x"]
        assert [a.response_id for a in answers] == ["gen-0", "gen-1"]
        [thought] = client.generate("Q\n<think>\nLet me")
        assert (thought.prefill, thought.injected, thought.reasoning) == ("<think>\nLet me", "Let me", "Two and two.")
        [listed] = client.generate([{"role": "user", "content": "Hé"}, {"role": "assistant", "content": "<think>\nI"}])
        assert listed.thought == "ITwo and two."
        assert client.generate("pp", presence_penalty=-0.5, frequency_penalty=1)[0].content == "Four."
        with pytest.raises(OfflineMiss):
            client.generate("pp")
        with pytest.raises(OfflineMiss):
            client.generate("plain", stop=["x"])
        with pytest.raises(OfflineMiss):
            client.generate("stopped")
        assert client.generate("routed", provider={"order": ["x"]})[0].content == "Four."
    with offline(tmp_path / "new", kind) as client:
        assert client.generate("none given")[0].content == "Four."


def test_answers_that_betray_a_forgotten_setting_are_ambiguous_and_say_why(source):
    entries = found(source)
    ambiguous = {name: e.detail for name, e in entries.items() if e.problem == "ambiguous"}
    assert {name: [word for word in ("stop", "budget", "tools", "include_reasoning") if word in detail]
            for name, detail in ambiguous.items()} == {
        ("stopped", 0): ["stop"],
        ("long", 0): ["budget"],
        ("tools", 0): ["tools"],
        ("mixed", 0): ["include_reasoning"],
        ("mixed", 1): ["include_reasoning"],
    }  # fmt: skip
    assert entries["cut", 0].problem is None
    assert all(entries[name].response is not None for name in ambiguous)


def test_ambiguous_answers_are_copied_only_where_that_is_asked(source, open_cache, tmp_path):
    plain = copy(source.old_entries(), open_cache("json", tmp_path / "a"))
    taken = copy(source.old_entries(), open_cache("json", tmp_path / "b"), take=("ambiguous",))
    assert plain.skipped["ambiguous"] == 5
    assert (taken.copied, taken.skipped["ambiguous"]) == (plain.copied + 5, 0)


def test_the_databases_hashes_give_back_what_they_hide(open_cache, old):
    entries = found(open_cache("sql", old))
    body = {name: e.request.document["body"] for name, e in entries.items()}
    assert body["top_k 40", 0]["top_k"] == 40
    assert body["penalties", 0]["top_k"] == 77
    assert "top_k" not in body["plain", 0]
    [hidden] = [e for e in open_cache("sql", old).old_entries() if e.request is None]
    assert (hidden.problem, hidden.number) == ("0.1.x", 0)
    assert "hash alone" in hidden.detail


def test_what_is_there_is_not_changed(source, open_cache, old, tmp_path):
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    copy(source.old_entries(), open_cache("json", tmp_path / "new"))
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


def test_into_its_own_folder(open_cache, old):
    cache = open_cache("json", old)
    first = copy(cache.old_entries(), cache)
    again = copy(cache.old_entries(), cache)
    assert first.copied > 5
    assert (again.copied, again.there, again.different) == (0, first.copied, 0)
    assert sum(e.problem is None for e in cache.entries()) == first.copied


def test_damaged_files_of_old_are_told_by_what_is_wrong(open_cache, old):
    shutil.rmtree(old)
    shutil.copytree(DATA / "rollouts-0.1", old)
    folder = next(path.parent for path in old.rglob("seed_00005.json"))
    text = (folder / "seed_00000.json").read_text()
    entry = json.loads(text)
    wrong = {
        10: text[:50],
        11: "[]",
        12: json.dumps({**entry, "seed": 3}),
        13: json.dumps({**entry, "seed": 13, "prompt": "another"}),
        14: json.dumps({**entry, "seed": 14, "model": "another"}),
        15: json.dumps({**entry, "seed": 15, "temperature": 0.9}),
        16: json.dumps({**entry, "seed": 16, "provider": {"order": ["z"]}}),
        17: json.dumps({**entry, "seed": 17, "response": {**entry["response"], "content": 5}}),
        18: json.dumps({**entry, "seed": 18, "response": "x"}),
        19: "",
        20: "\x00" * 100,
        21: json.dumps({**entry, "seed": 21, "response": {**entry["response"], "usage": 3, "created": "x"}}),
    }
    for number, data in wrong.items():
        (folder / f"seed_{number:05d}.json").write_text(data)
    (folder / "seed_00022.json").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = {e.place[-10:-5]: e.problem for e in open_cache("json", old).old_entries() if folder.name in e.place
                and "tok4096/" in e.place}  # fmt: skip
    assert {int(name): problem for name, problem in told.items() if int(name) >= 10} == {
        10: "damaged", 11: "foreign", 12: "other", 13: "other", 14: "other", 15: "other", 16: "other",
        17: "0.1.x", 18: "foreign", 19: "damaged", 20: "damaged", 21: None, 22: "foreign",
    }  # fmt: skip


def test_damaged_databases_of_old_are_told(open_cache, old):
    (old / "a-text.db").write_text("no database" * 1000)
    (old / "b-empty.db").write_bytes(b"")
    path = old / "qwen-qwen3-30b-a3b.db"
    (old / "c-half.db").write_bytes(path.read_bytes()[:5000])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE responses SET response_json = '{' WHERE rowid = 1")
        connection.execute("UPDATE responses SET response_json = x'ff' WHERE rowid = 2")
        connection.execute("UPDATE responses SET prompt_hash = 'x' WHERE rowid = 3")
        connection.execute("UPDATE responses SET seed = 'x' WHERE rowid = 4")
    connection.close()
    problems = {e.place: e.problem for e in open_cache("sql", old).old_entries()}
    assert [problems[name] for name in ("a-text.db", "b-empty.db", "c-half.db")] == ["foreign"] * 3
    rows = [problems[f"qwen-qwen3-30b-a3b.db, row {n}"] for n in range(1, 6)]
    assert rows == ["damaged", "damaged", "other", "other", "ambiguous"]
