"""The files of the cache `json`: their places, their bytes, and what else may lie there."""

import json
import os

import pytest

from rollouts.caches import folders, json_files
from rollouts.exceptions import CacheError, RolloutsWarning
from rollouts.identity import SampleKey
from rollouts.results import Response
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheOptions

REQUEST = sample_request(body={"temperature": 0.7, "top_p": 0.95, "max_tokens": 1000})


@pytest.fixture
def cache(tmp_path):
    return json_files.make(CacheOptions(tmp_path))


def put(cache, number=0, request=REQUEST, text="Four."):
    cache.store(SampleKey(request, number), sample_response(number, text))


def get(cache, *numbers, request=REQUEST):
    return {
        key.number: response.content for key, response in cache.load_many(SampleKey(request, n) for n in numbers or [0])
    }


def files(tmp_path):
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


@pytest.fixture
def path(cache, tmp_path):
    """The file of sample 0, which is stored."""
    put(cache)
    [path] = files(tmp_path)
    return path


def test_a_file_lies_where_the_documentation_says(path, tmp_path):
    model, parameters, digits, prompt, name = path.relative_to(tmp_path).parts
    assert (model, name) == ("maker-model", "seed_00000.json")
    assert parameters == f"t0.7_p0.95_tok1000-{REQUEST.parameters_digest[:16]}"
    assert (digits, prompt) == (REQUEST.prompt_digest[:3], REQUEST.prompt_digest)


def test_what_was_not_given_is_named_def(cache, tmp_path):
    put(cache, request=sample_request())
    assert files(tmp_path)[0].relative_to(tmp_path).parts[1].startswith("tdef_pdef_tokdef-")


def test_a_file_is_json_and_holds_its_whole_request(path):
    entry = json.loads(path.read_text(encoding="utf-8"))
    assert entry["request"] == REQUEST.document
    assert (entry["format"], entry["number"], entry["raw"]) == (2, 0, {"id": "gen-0"})
    assert entry["response"]["content"] == "Four. (0)"


@pytest.mark.parametrize(
    "body", [b'{"a":\n1}', b"\xff", b"", b"null", b'"x"', b'{"a": 1} trailing', "é\u2028".encode()]
)
def test_a_file_is_json_whatever_the_body_was(cache, tmp_path, body):
    cache.store(SampleKey(REQUEST, 0), Response(content="\ud83d", raw_source=body))
    json.loads(files(tmp_path)[0].read_bytes())


@pytest.mark.parametrize(
    "one",
    [b"", b"{", b"\x00" * 100, b"[1, 2", "cut", "flipped", "grown", "no response", "no content", "odd", "null", "list"],
)
def test_a_damaged_file_is_told_asked_again_and_kept_aside(cache, path, one):
    whole = path.read_bytes()
    entry = json.loads(whole)
    damaged = {
        "cut": whole[:-10],
        "flipped": whole.replace(b"Four", b"F\xffur"),
        "grown": whole.replace(b',\n"raw', b'},\n"raw'),
        "no response": json.dumps({**entry, "response": None}).encode(),
        "null": whole.replace(whole[whole.index(b'"response": ') + 12 : whole.index(b',\n"raw')], b"null"),
        "list": whole.replace(whole[whole.index(b'"response": ') + 12 : whole.index(b',\n"raw')], b"[]"),
        "odd": json.dumps({**entry, "response": {**entry["response"], "usage": {"cost": "cheap"}}}).encode(),
        "no content": json.dumps({**entry, "response": {}}).encode(),
    }.get(one, one)
    path.write_bytes(damaged)
    with pytest.warns(RolloutsWarning, match=r"seed_00000\.json is damaged") as told:
        assert [get(cache), get(cache)] == [{}, {}]
    assert len(told) == 1
    assert path.read_bytes() == damaged  # reading never writes
    put(cache, text="again")
    assert get(cache) == {0: "again (0)"}
    assert path.with_name("seed_00000.json.damaged").read_bytes() == damaged


def test_every_damaged_file_is_kept(cache, path):
    for count in range(3):
        path.write_bytes(b"%d" % count + b"{")
        put(cache)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "seed_00000.json",
        "seed_00000.json.damaged",
        "seed_00000.json.damaged1",
        "seed_00000.json.damaged2",
    ]


def others(entry):
    yield "another request", {**entry, "request": {**entry["request"], "service": "elsewhere"}}
    yield "another number", {**entry, "number": 7}
    yield "a later format", {**entry, "format": 3}
    yield "no sample", [1, 2, 3]
    yield "of another program", {"hello": 1}


@pytest.mark.parametrize("index", range(5))
def test_a_file_that_is_not_the_sample_is_a_miss_and_stays(cache, path, index):
    what, other = list(others(json.loads(path.read_bytes())))[index]
    path.write_text(json.dumps(other))
    with pytest.warns(RolloutsWarning, match="later version" if what == "a later format" else "seed_00000.json"):
        assert get(cache) == {}
    put(cache, text="new")
    with pytest.warns(RolloutsWarning):
        assert get(json_files.JsonCache(cache._root)) == {0: "new (0)"}
    assert json.loads(path.read_bytes()) == other
    assert path.with_name("seed_00000_1.json").exists()
    put(cache, text="newer")
    assert get(cache) == {0: "new (0)"}


def test_a_copy_under_another_number_is_no_answer(cache, path):
    path.with_name("seed_00001.json").write_bytes(path.read_bytes())
    with pytest.warns(RolloutsWarning, match=r"seed_00001\.json holds another request"):
        assert get(cache, 0, 1) == {0: "Four. (0)"}


def test_a_file_that_somebody_formatted_anew_is_still_the_sample(cache, path):
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=4, sort_keys=True))
    [(_, found)] = cache.load_many([SampleKey(REQUEST, 0)])
    assert (found.content, found.raw) == ("Four. (0)", {"id": "gen-0"})


def test_a_link_out_of_the_directory_is_not_followed(cache, path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    path.rename(outside / "file.json")
    path.symlink_to(outside / "file.json")
    before = (outside / "file.json").read_bytes()
    with pytest.warns(RolloutsWarning, match="seed_00000.json"):
        assert get(cache) == {}
    put(cache, text="new")
    assert get(cache) == {0: "new (0)"}
    assert (outside / "file.json").read_bytes() == before


def test_a_link_within_the_directory_is_followed(cache, path):
    path.rename(path.with_name("moved.json"))
    path.symlink_to(path.with_name("moved.json"))
    assert get(cache) == {0: "Four. (0)"}


@pytest.mark.parametrize("depth", [0, 2])
def test_nothing_is_read_or_written_through_a_folder_that_leads_out(cache, path, tmp_path, tmp_path_factory, depth):
    outside = tmp_path_factory.mktemp("outside") / "there"
    folder = path.parents[depth]
    folder.rename(outside)
    folder.symlink_to(outside)
    late = json_files.JsonCache(str(tmp_path))
    before = files(outside)
    with pytest.warns(RolloutsWarning, match="leads out"):
        assert get(late) == {}
    with pytest.raises(CacheError, match="leads out"):
        put(late, 1)
    assert files(outside) == before


def test_the_directory_itself_may_be_a_link(tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "big")
    cache = json_files.make(CacheOptions(tmp_path / "link"))
    put(cache)
    assert get(cache) == {0: "Four. (0)"}


def test_a_folder_in_a_files_place_is_left_there(cache, path):
    path.unlink()
    path.mkdir()
    with pytest.warns(RolloutsWarning, match="seed_00000"):
        assert get(cache) == {}
    put(cache)
    assert get(cache) == {0: "Four. (0)"}
    assert path.is_dir()


def test_a_pipe_in_a_files_place_makes_nobody_wait(cache, path):
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(RolloutsWarning, match="seed_00000"):
        assert get(cache) == {}
    put(cache)
    assert get(cache) == {0: "Four. (0)"}


def test_names_that_differ_in_case_alone_never_share_a_folder(cache, tmp_path):
    for model in ("maker/model", "Maker/Model", "maker-model", "maker/mod:el"):
        put(cache, request=sample_request(model=model), text=model)
    for model in ("maker/model", "Maker/Model", "maker-model", "maker/mod:el"):
        assert get(cache, request=sample_request(model=model)) == {0: f"{model} (0)"}
    assert len({path.relative_to(tmp_path).parts[1].lower() for path in files(tmp_path)}) == 4


def test_a_file_system_without_hard_links_serves(cache, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(folders.os, "link", refuse)
    put(cache)
    put(cache, text="second")
    assert get(cache) == {0: "Four. (0)"}
    assert [path.name for path in files(tmp_path)] == ["seed_00000.json"]


def test_a_raw_body_that_is_gone_is_told(cache, path):
    [(_, found)] = cache.load_many([SampleKey(REQUEST, 0)])
    path.unlink()
    with pytest.raises(CacheError, match=r"seed_00000\.json"):
        _ = found.raw


@pytest.mark.parametrize("depth", [0, 3])
def test_a_directory_without_rights_is_told(cache, path, tmp_path, as_another_user, depth):
    path.parents[depth].chmod(0)

    def work(say):
        try:
            get(json_files.JsonCache(str(tmp_path)))
        except CacheError as error:
            say("cannot be read: Permission denied. See to your rights" in str(error))

    assert as_another_user(work) == [1]
    path.parents[depth].chmod(0o755)


def test_a_store_that_meets_a_deletion_makes_the_folder_again(cache, tmp_path, monkeypatch):
    write, met = json_files.write_draft, []

    def met_by_clear(folder, data):
        if len(met) < 3:
            met.append(folder)
            os.removedirs(folder)
        return write(folder, data)

    monkeypatch.setattr(json_files, "write_draft", met_by_clear)
    put(json_files.make(CacheOptions(tmp_path / "cache")))
    assert len(met) == 3
    assert get(json_files.make(CacheOptions(tmp_path / "cache"))) == {0: "Four. (0)"}


def test_a_miss_is_one_look(cache, path, monkeypatch):
    opened, real = [], os.open

    def count(name, *arguments):
        opened.append(name)
        return real(name, *arguments)

    monkeypatch.setattr(folders.os, "open", count)
    assert get(cache, 1, 2, 3) == {}
    assert len(opened) == 3


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
def test_a_sample_is_found_while_a_repair_moves_names_up(cache, path):
    whole = path.read_bytes()
    path.write_text("[1]")
    path.with_name("seed_00000_2.json").write_bytes(whole)
    assert get(cache) == {0: "Four. (0)"}
    path.unlink()
    assert get(cache) == {}


def test_links_in_a_circle_are_no_sample(cache, path):
    path.unlink()
    path.symlink_to(path.name)
    with pytest.warns(RolloutsWarning, match="is no sample"):
        assert get(cache) == {}
    put(cache)
    assert get(cache) == {0: "Four. (0)"}


def test_an_answer_that_took_the_name_meanwhile_is_given_back(cache, path, tmp_path, monkeypatch):
    sound = path.read_bytes()
    path.write_bytes(sound[:-30])
    move = json_files.move_aside

    def met_by_another_process(name, names):
        json_files.move_aside = move
        put(json_files.make(CacheOptions(tmp_path)), text="reported")
        return move(name, names)

    monkeypatch.setattr(json_files, "move_aside", met_by_another_process)
    put(cache, text="late")
    assert get(cache) == {0: "reported (0)"}
    assert path.with_name("seed_00000.json.damaged").read_bytes() == sound[:-30]


def test_two_that_move_aside_overwrite_nothing(tmp_path):
    for text in ("one", "two"):
        (tmp_path / "file").write_text(text)
        assert folders.move_aside(str(tmp_path / "file"), [f"{tmp_path}/a", f"{tmp_path}/b"])
    assert [(tmp_path / name).read_text() for name in "ab"] == ["one", "two"]
    assert folders.move_aside(str(tmp_path / "file"), [f"{tmp_path}/c"]) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
