"""`rollouts cache` as a shell sees it: output, exit codes, files, pipes, terminals."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rollouts
from rollouts.caches import json_files, requests_cache, sql
from rollouts.cli import main
from rollouts.identity import SampleKey
from rollouts.inventory import COLUMNS
from rollouts.results import Response, Usage
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheOptions

ROOT = Path(rollouts.__file__).parents[1]
DATA = Path(__file__).parents[1] / "sample_data"
NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m \u202egnp.exe\u2066 \r over \x7f\x08 \ud83d \x00end"
MAKERS = {"json": json_files.make, "sql": sql.make, "requests-cache": requests_cache.make}


def answer(number=0, text="Four.", cost=0.25, **fields):
    return Response(content=text, finish_reason="stop", provider="Deep", usage=Usage(10, 5, 15, None, None, cost),
                    received=1_760_000_000.0 + number, raw_source=b'{"id": 1}', **fields)  # fmt: skip


def fill(folder=".rollouts", kind="json", requests=None, numbers=range(2), **fields):
    cache = MAKERS[kind](CacheOptions(Path(folder)))
    for request in requests or [sample_request("One?", body={"temperature": 0.5}), sample_request("Two?", model="b/m")]:
        for number in numbers:
            cache.store(SampleKey(request, number), answer(number, **fields))
    cache.close()


@pytest.fixture
def run(capsysbinary):
    """Runs `rollouts cache …` in this process: exit code, standard output, standard error."""

    def run(*arguments):
        code = main(["cache", *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def shell(*arguments, **options):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("environ", {})}
    command = [sys.executable, "-m", "rollouts", "cache", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, timeout=120, check=False, **options)


# ── stats ──


def test_stats_count_by_model_and_settings(run):
    fill()
    code, out, err = run("stats")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["MODEL", "PARAMETERS", "SAMPLES", "TOKENS", "COST", "BYTES", "ERRORS"]
    assert ["b/m", "(none)", "2", "30", "$0.5000"] in [line[:5] for line in lines]
    assert ["maker/model", "temperature=0.5", "2", "30", "$0.5000"] in [line[:5] for line in lines]
    assert lines[-1][:4] == ["total", "4", "60", "$1.0000"]


def test_a_cost_that_is_not_known_of_all_says_of_how_many(run):
    fill(numbers=range(2))
    fill(numbers=[2], cost=None)
    total = json.loads(run("stats", "--json")[1])["total"]
    assert (total["samples"], total["cost"], total["cost_known"], total["errors"]) == (6, 1.0, 4, 0)
    assert "$1.0000 (4 of 6)" in run("stats")[1]


def test_a_cost_that_nobody_stated_is_unknown_not_zero(run):
    fill(cost=None)
    assert json.loads(run("stats", "--json")[1])["total"]["cost"] is None
    assert "$" not in run("stats")[1]


def test_stats_by_prompt_and_by_model(run):
    fill(requests=[sample_request("One?"), sample_request("Two?")])
    assert [g["prompt"] for g in json.loads(run("stats", "--by", "prompt", "--json")[1])["groups"]] == ["One?", "Two?"]
    [group] = json.loads(run("stats", "--by", "model", "--json")[1])["groups"]
    assert (group["samples"], group["parameters"], group["prompt"]) == (4, None, None)


def test_stats_tell_of_entries_that_cannot_be_read(run):
    fill()
    next(Path(".rollouts").rglob("seed_00001.json")).write_text("{")
    code, out, err = run("stats")
    assert code == 0
    assert out.splitlines()[-1].split()[-1] == "1"
    assert "1 damaged" in err


def test_another_kind_of_cache_in_the_folder_is_pointed_to(run):
    fill(kind="sql")
    assert "--use-cache sql" in run("stats")[2]
    assert "--use-cache sql" in run("ls")[2]
    assert run("stats", "--use-cache", "sql")[2] == ""


def test_no_folder_is_wrong_use_and_none_is_made(run):
    for command in (["stats"], ["ls"], ["verify"], ["export", "x.csv"], ["clear", "--all", "--yes"]):
        code, out, err = run(*command)
        assert (code, out) == (2, "")
        assert "no cache directory .rollouts" in err
    assert not Path(".rollouts").exists()


def test_the_configured_cache_is_the_default(run, monkeypatch):
    fill("elsewhere", "sql")
    monkeypatch.setenv("ROLLOUTS_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("ROLLOUTS_USE_CACHE", "sql")
    assert json.loads(run("stats", "--json")[1])["total"]["samples"] == 4


# ── ls and show ──


@pytest.mark.parametrize("kind", MAKERS)
def test_what_ls_names_is_shown(run, kind):
    fill(kind=kind)
    _, out, _ = run("ls", "--use-cache", kind, "--model", "b/*")
    lines = [line.split() for line in out.splitlines()[1:]]
    assert [line[1:5] for line in lines] == [["b/m", "stop", "5", "$0.250000"]] * 2
    code, out, _ = run("show", lines[1][0], "--use-cache", kind)
    assert code == 0
    assert "content:\n  Four.\n" in out
    assert "prompt:\n  Two?\n" in out
    assert "number: 1\n" in out
    shown = json.loads(run("show", lines[1][0], "--use-cache", kind, "--json")[1])
    assert shown["response"]["content"] == "Four."
    assert shown["request"]["model"] == "b/m"
    assert run("show", lines[1][0], "--use-cache", kind, "--raw")[1] == '{"id": 1}'


def test_ls_filters_and_limits(run):
    fill()
    ids = [json.loads(line)["id"] for line in run("ls", "--json")[1].splitlines()]
    assert len(set(ids)) == 4
    for options, n in [
        (["--limit", "3"], 3), (["--prompt", "ONE"], 2), (["--provider", "deep"], 4), (["--provider", "x"], 0),
        (["--finish-reason", "length"], 0), (["--older-than", "1d"], 4), (["--older-than", "2001-01-01"], 0),
        (["--model", "maker/*", "--prompt", "two"], 0),
    ]:  # fmt: skip
        assert len(run("ls", "--json", *options)[1].splitlines()) == n, options


def test_an_id_that_means_several_or_none_is_refused(run):
    fill()
    first = json.loads(run("ls", "--json")[1].splitlines()[0])["id"]
    code, _, err = run("show", first.partition(":")[0])
    assert code == 2
    assert "several samples" in err
    code, _, err = run("show", "ffffffff:9")
    assert code == 1
    assert "no sample" in err


def test_escape_sequences_of_a_model_never_reach_the_terminal(run, tmp_path):
    request = sample_request(NASTY, model=NASTY, prefill=NASTY, thought=NASTY, body={"stop": [NASTY]},
                             headers={"X-A": "b"})  # fmt: skip
    cache = json_files.make(CacheOptions(tmp_path / ".rollouts"))
    hard = replace(sample_response(0, NASTY, full=True), reasoning=NASTY, finish_reason=NASTY, provider=NASTY,
                   model=NASTY, refusal=NASTY, response_id=NASTY, native_finish_reason=NASTY)  # fmt: skip
    cache.store(SampleKey(request, 0), hard)
    folder = next((tmp_path / ".rollouts").iterdir())
    odd = folder / "t\x1b[31m" / "abc" / "x\ny"
    odd.mkdir(parents=True)
    (odd / "seed_00000.json").write_text("{")
    entries = [json.loads(line) for line in run("ls", "--json")[1].splitlines()]
    sound = next(entry["id"] for entry in entries if entry["problem"] is None)
    outputs = [run("ls"), run("ls", "--json"), run("show", sound), run("show", sound, "--json"), run("stats"),
               run("stats", "--by", "prompt", "--json"), run("verify"), run("verify", "--json"),
               run("show", "\x1b[31m"), run("convert", "--to", "sql")]  # fmt: skip
    for code, out, err in outputs:
        assert code in (0, 1)
        for character in out + err:
            assert character == "\n" or character.isprintable() or character == "\u2028", repr(character)
            assert character not in "\u202e\u2066\u2028"
    assert "\\x1b[2J" in outputs[2][1]
    assert "  " + "\\x1b]0;owned" in outputs[2][1]


def test_a_models_text_cannot_pose_as_ours(run):
    fill(requests=[sample_request("One?")], numbers=[0], text="Four.\ncost: 99\nprovider: Other")
    shown = run("show", json.loads(run("ls", "--json")[1])["id"])[1]
    assert "\ncost: 99" not in shown
    assert "\n  cost: 99" in shown
    assert "\ncost: 0.25" in shown


# ── export ──


@pytest.mark.parametrize("kind", MAKERS)
def test_jsonl_and_csv_hold_all_columns(run, kind):
    fill(kind=kind, text='=Hé, "四"\n\ud83d')
    assert run("export", "a.jsonl", "--use-cache", kind)[0] == 0
    assert run("export", "a.csv", "--use-cache", kind)[0] == 0
    lines = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    table = list(csv.DictReader(io.StringIO(Path("a.csv").read_bytes().decode(), newline="")))
    assert len(lines) == len(table) == 4
    for line, row in zip(lines, table, strict=True):
        assert list(line) == list(row) == list(COLUMNS)
        assert line["content"] == '=Hé, "四"\n\ud83d'
        assert row["content"] == '=Hé, "四"\n\\ud83d'
        assert row["cost"] == "0.25"
        assert row["reasoning"] == ""
        assert line["index"] == line["seed"] == int(row["index"])
        assert line["asked_model"] in ("maker/model", "b/m")
        assert json.loads(line["messages"])["messages"][0]["content"] == line["prompt"]
    assert sorted({(line["prompt_index"], line["prompt"]) for line in lines}, key=str)[0][0] == 0
    assert {json.dumps(json.loads(line["parameters"])) for line in lines} == {"{}", '{"temperature": 0.5}'}


def test_export_to_standard_output_with_raw_answers(run):
    fill()
    code, out, err = run("export", "-", "--raw", "--format", "csv", "--prompt", "one")
    assert (code, err) == (0, "2 samples exported.\n")
    assert [row["raw"] for row in csv.DictReader(io.StringIO(out))] == ['{"id": 1}'] * 2


def test_parquet_has_the_columns_in_their_types(run):
    parquet = pytest.importorskip("pyarrow.parquet")
    fill(numbers=range(600), text="四 \ud83d")
    assert run("export", "a.parquet")[0] == 0
    table = parquet.read_table("a.parquet")
    assert (table.num_rows, table.column_names) == (1200, list(COLUMNS))
    assert {str(table.schema.field(name).type) for name in ("seed", "cost", "cached", "content", "reasoning")} == {
        "int64", "double", "bool", "string"
    }  # fmt: skip
    assert table.column("content")[0].as_py() == "四 \\ud83d"


def test_parquet_without_pyarrow_says_what_to_install(run, monkeypatch):
    fill()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = run("export", "a.parquet")
    assert code == 2
    assert "pip install pyarrow" in err
    assert not Path("a.parquet").exists()


def test_a_file_that_is_there_is_not_overwritten(run):
    fill()
    Path("a.csv").write_text("mine")
    code, _, err = run("export", "a.csv")
    assert code == 2
    assert "not overwritten" in err
    assert Path("a.csv").read_text() == "mine"
    assert run("export", "a.xls")[0] == 2
    assert run("export", "nowhere/a.csv")[0] == 1
    assert sorted(os.listdir()) == [".rollouts", "a.csv"]


def test_entries_that_could_not_be_exported_are_told(run):
    fill()
    next(Path(".rollouts").rglob("seed_00001.json")).write_text("{")
    code, _, err = run("export", "a.jsonl")
    assert code == 1
    assert "1 entries hold no answer" in err
    assert len(Path("a.jsonl").read_text().splitlines()) == 3


# ── convert, import, verify, clear ──


def test_convert_all_round_and_back(run):
    fill()
    steps = [
        ("json", ".rollouts", "{}", "sql", "b", "{}"),
        ("sql", "b", "{}", "requests-cache", "c", '{"backend": "sqlite"}'),
        ("requests-cache", "c", '{"backend": "sqlite"}', "requests-cache", "c", '{"backend": "filesystem"}'),
        ("requests-cache", "c", '{"backend": "filesystem"}', "json", "d", "{}"),
    ]
    for kind, folder, options, to, to_folder, to_options in steps:
        code, out, _ = run("convert", "--use-cache", kind, "--cache-dir", folder, "--cache-options", options,
                           "--to", to, "--to-dir", to_folder, "--to-options", to_options)  # fmt: skip
        assert code == 0
        assert out == "4 samples converted, each read back equal; 0 were there already.\n"
    left, right = ({p.relative_to(d).as_posix(): p.read_bytes() for p in Path(d).rglob("*.json")}
                   for d in (".rollouts", "d"))  # fmt: skip
    assert left == right
    assert json.loads(run("convert", "--to", "sql", "--to-dir", "b", "--json")[1])["there"] == 4
    assert run("convert", "--to", "json")[0] == 2


def test_a_conversion_that_leaves_something_out_fails_and_names_it(run):
    fill()
    fill("b", "sql", numbers=[0], text="Five.")
    next(Path(".rollouts").rglob("seed_00001.json")).write_text("{")
    code, out, err = run("convert", "--to", "sql", "--to-dir", "b")
    assert code == 1
    assert "1 samples converted" in out
    assert "2 were there with another answer, which stays." in out
    assert "1 left out: 1 damaged." in out
    assert err.count("left out ") == 3


def test_import_tells_what_it_left_out(run):
    source = DATA / "rollouts-0.1-ambiguous"
    code, out, err = run("import", source)
    assert code == 1
    assert "10 ambiguous" in out
    assert "stop sequence" in err
    code, out, _ = run("import", source, "--ambiguous", "--json", "--cache-dir", "all")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["copied"] > 15
    assert all("why" in line for line in lines[:-1])
    assert json.loads(run("stats", "--json")[1])["total"]["errors"] == 0


def test_import_of_one_database_with_the_settings_that_were_forgotten(run):
    code, _, _ = run("import", DATA / "rollouts-0.1-ambiguous" / "qwen-qwen3-30b-a3b.db", "--ambiguous",
                     "--with", 'stop=["END"]', "--with", "reasoning={}")  # fmt: skip
    assert code == 1  # one row's settings are not to be found
    rows = [json.loads(line) for line in run("ls", "--json")[1].splitlines()]
    assert len(rows) > 8
    assert all((row["parameters"]["stop"], row["parameters"]["reasoning"]) == (["END"], {}) for row in rows)
    assert run("import", "nothing")[0] == 2


def test_import_says_by_its_exit_code_whether_all_was_taken_in(run, tmp_path):
    source = tmp_path / "old"
    shutil.copytree(DATA / "rollouts-0.1", source)
    for entry in source.rglob("seed_*.json"):
        answer = json.loads(entry.read_text())["response"]
        if answer["finish_reason"] == "error" or not answer["content"]:
            entry.unlink()
    assert run("import", source)[0] == run("import", source)[0] == 0
    (source / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    code, _, err = run("import", source)
    assert code == 1
    assert "left out broken.db" in err
    (tmp_path / "empty").mkdir()
    code, out, err = run("import", tmp_path / "empty")
    assert (code, out) == (2, "")
    assert "nothing of rollouts 0.1.x" in err


def test_verify_finds_repairs_and_is_content_then(run):
    fill()
    assert run("verify")[:2] == (0, "4 entries checked: all in order.\n")
    next(Path(".rollouts").rglob("seed_00001.json")).write_text("{")
    code, out, _ = run("verify")
    assert code == 1
    assert "1 damaged" in out
    code, out, _ = run("verify", "--repair", "--json")
    finding, counts = map(json.loads, out.splitlines())
    assert code == 0
    assert finding["moved_to"] == f"set-aside/{finding['place']}"
    assert counts == {"entries": 4, "found": {"damaged": 1}, "moved": 1}
    assert Path(".rollouts", finding["moved_to"]).read_text() == "{"
    assert run("verify")[0] == 0


def test_entries_of_other_versions_are_told_and_stay(run):
    shutil.copytree(DATA / "rollouts-0.1", ".rollouts")
    code, out, _ = run("verify", "--repair")
    assert code == 0
    assert "10 0.1.x" in out
    assert "rollouts cache import" in out
    shutil.rmtree(".rollouts")
    fill()
    path = next(Path(".rollouts").rglob("seed_00001.json"))
    path.write_text(path.read_text().replace('"format": 2', '"format": 8'))
    code, out, _ = run("verify", "--repair")
    assert code == 1
    assert "later version" in out
    assert path.exists()


def test_a_database_of_a_later_version_is_told_and_not_touched(run):
    import sqlite3

    fill(kind="sql")
    with sqlite3.connect(".rollouts/rollouts.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = Path(".rollouts/rollouts.sqlite").read_bytes()
    for command in (["verify", "--repair"], ["stats"], ["clear", "--all", "--yes"], ["convert", "--to", "json"]):
        code, _, err = run(*command, "--use-cache", "sql")
        assert code == 1
        assert "later version" in err
    assert Path(".rollouts/rollouts.sqlite").read_bytes() == before


@pytest.mark.parametrize("kind", MAKERS)
def test_clear_deletes_only_with_yes_and_only_what_is_meant(run, kind):
    fill(kind=kind)
    assert run("clear", "--use-cache", kind, "--yes")[0] == 2
    code, out, _ = run("clear", "--use-cache", kind, "--model", "b/*")
    assert code == 0
    assert out.startswith("Would delete 2 samples")
    assert "$0.5000" in out
    assert run("clear", "--use-cache", kind, "--all", "--yes", "--dry-run")[1].startswith("Would delete 4 samples")
    assert len(run("ls", "--json", "--use-cache", kind)[1].splitlines()) == 4
    assert run("clear", "--use-cache", kind, "--model", "b/*", "--yes")[1].startswith("2 samples deleted")
    left = [json.loads(line)["model"] for line in run("ls", "--json", "--use-cache", kind)[1].splitlines()]
    assert left == ["maker/model"] * 2
    cleared = json.loads(run("clear", "--use-cache", kind, "--older-than", "1m", "--yes", "--json")[1])
    assert (cleared["deleted"], cleared["dry_run"]) == (2, False)


def test_clear_keeps_what_cannot_be_read_and_what_is_no_sample(run):
    fill()
    damaged = next(Path(".rollouts").rglob("seed_00001.json"))
    damaged.write_text("{")
    Path(".rollouts/notes.txt").write_text("mine")
    assert run("clear", "--all", "--yes")[1].startswith("3 samples deleted")
    assert {p for p in Path(".rollouts").rglob("*") if p.is_file()} == {damaged, Path(".rollouts/notes.txt")}


# ── Shells, terminals, rights, neighbours ──


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX shells")
@pytest.mark.parametrize("command", [["ls"], ["export", "-"], ["stats"], ["ls", "--json"]])
def test_a_reader_that_goes_away_is_no_error(command):
    fill(numbers=range(300))
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        f"{sys.executable} -m rollouts cache {' '.join(command)} | head -c 10; echo ${{PIPESTATUS[0]}} >&2",
        shell=True, executable="/bin/bash", capture_output=True, text=True, env=env, timeout=60,
    )  # fmt: skip
    assert done.stderr.strip() == "0"


def test_a_terminal_without_unicode_and_no_terminal_at_all():
    fill(text="四", requests=[sample_request("四?")])
    for environ in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}):
        done = shell("ls", environ=environ, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\u56db?" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_progress_is_shown_on_a_terminal_alone():
    import pty

    fill(numbers=range(50))
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "rollouts", "cache", "verify"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "entries checked" in shown
    assert shown.endswith("\r\x1b[K")
    assert done.stdout == b"100 entries checked: all in order.\n"
    assert shell("verify").stderr == b""


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can put rights down")
def test_a_folder_without_rights_is_told(tmp_path):
    fill()
    secret = next(Path(".rollouts").glob("b-m/*"))
    secret.chmod(0)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and path not in (Path("/"), Path("/tmp")):
            path.chmod(path.stat().st_mode | 0o055)
    code = (
        "import os, sys, rollouts.cli, rollouts.plugins; rollouts.plugins.plugin_manager().specs('cache');"
        "os.setgid(65534); os.setuid(65534); sys.exit(rollouts.cli.main(sys.argv[1:]))"
    )
    for command in (["verify"], ["stats"], ["export", "-"], ["clear", "--all", "--yes"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "cache", *command],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "cannot be read: Permission denied" in done.stderr or "cannot be deleted" in done.stderr
        assert "Traceback" not in done.stderr
    secret.chmod(0o755)
    assert len(list(Path(".rollouts").rglob("*.json"))) == 4


@pytest.mark.parametrize("kind", MAKERS)
def test_a_cache_that_is_being_written_meanwhile_is_listed(run, kind):
    fill(kind=kind)
    writer = """
import sys
from pathlib import Path
from rollouts.caches import json_files, requests_cache, sql
from rollouts.identity import SampleKey
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import CacheOptions
make = {"json": json_files, "sql": sql, "requests-cache": requests_cache}[sys.argv[1]].make
cache = make(CacheOptions(Path(".rollouts")))
print("begun", flush=True)
for n in range(400):
    cache.store(SampleKey(sample_request(f"prompt {n % 50}"), n), sample_response(n, full=True))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", writer, kind], stdout=subprocess.PIPE, env=env) as process:
        try:
            process.stdout.readline()
            counts = []
            while not counts or process.poll() is None:
                code, out, _ = run("verify", "--json", "--use-cache", kind)
                counts.append(json.loads(out.splitlines()[-1])["entries"])
                assert code == 0, out
        finally:
            process.kill()
    code, out, _ = run("convert", "--use-cache", kind, "--to", "json", "--to-dir", "copy")
    assert code == 0, out
    assert counts == sorted(counts)
    assert len(list(Path("copy").rglob("seed_*.json"))) == 404


def test_links_out_of_the_cache_are_not_followed(run, tmp_path):
    fill("other")
    fill()
    theirs = next(Path("other").rglob("seed_00000.json")).resolve()
    ours = next(Path(".rollouts").rglob("seed_00001.json"))
    ours.unlink()
    ours.symlink_to(theirs)
    (Path(".rollouts") / "linked-model").symlink_to(Path("other").resolve())
    code, out, _ = run("verify")
    assert code == 1
    assert out.splitlines()[-2].startswith("4 entries checked: 1 foreign")
    assert run("verify", "--repair")[0] == 0
    assert theirs.exists()
    assert not ours.is_symlink()


def test_help_of_each_sub_command(capsys):
    for command in ("stats", "ls", "show", "export", "import", "convert", "verify", "clear"):
        with pytest.raises(SystemExit) as ended:
            main(["cache", command, "--help"])
        assert ended.value.code == 0
    assert main(["cache"]) == 0
    assert "convert" in capsys.readouterr().out


def test_without_a_cache_a_bad_option_is_wrong_use(capsys):
    for wrong in (
        ["ls", "--older-than", "soon"],
        ["ls", "--cache-options", "[]"],
        ["ls", "--limit", "-1"],
        ["ls", "--limit", "few"],
        ["import", "x", "--with", "model=1"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["cache", *wrong])
        assert ended.value.code == 2
