"""A study goes to another machine: packed, unpacked, and replayed without a key and without a network."""

import json
import zipfile

import pytest

from rollouts import RolloutsClient
from rollouts.cli import main
from rollouts.exceptions import OfflineMiss
from rollouts.testing.server import LoopbackServer


@pytest.fixture
def study(tmp_path):
    """A study of two prompts, and its answers."""
    with LoopbackServer() as server, client(server.url, tmp_path / "here", api_key="sk-or-secret") as asking:
        answers = asking.generate_many(["What is 2+2?", "Go on.<think>\nI"], n_samples=3, provider={"only": ["p"]})
        return server.url, answers


def client(url, cache_dir, **settings):
    given = {
        "adapter": "openrouter",
        "base_url": url,
        "progress_bar": False,
        "cache_dir": cache_dir,
        "template": "think-tags",
        **settings,
    }
    return RolloutsClient("test/model", **given)


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache"])
def test_a_packed_study_replays_offline(study, tmp_path, monkeypatch, capsys, cache):
    url, answers = study
    pack, there = str(tmp_path / "study.zip"), tmp_path / "there"
    monkeypatch.setenv("ROLLOUTS_OFFLINE", "1")
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)

    assert main(["pack", pack, "--cache-dir", str(tmp_path / "here")]) == 0
    assert main(["unpack", pack, "--cache-dir", str(there), "--cache", cache]) == 0
    assert "6 samples stored" in capsys.readouterr().out
    with client(url, there, use_cache=cache) as replaying:
        again = replaying.generate_many(["What is 2+2?", "Go on.<think>\nI"], n_samples=3, provider={"only": ["p"]})
        assert again == answers
        assert [r.raw for rs in again for r in rs] == [r.raw for rs in answers for r in rs]
        with pytest.raises(OfflineMiss, match='sample 3 of "What is 2'):
            replaying.generate("What is 2+2?", n_samples=4, provider={"only": ["p"]})


def test_the_commands_tell_what_is_packed(study, tmp_path, capsys):
    pack = str(tmp_path / "study.zip")
    assert main(["pack", pack, "--cache-dir", str(tmp_path / "here"), "--prompt", "2+2"]) == 0
    told = capsys.readouterr().out
    assert "3 samples of 1 request\n" in told
    assert "providers  Loopback 3" in told
    assert "cost       $0.0003" in told
    assert main(["unpack", pack, "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["requests"][0]["numbers"] == "0-2"
    assert listed["written_by"].startswith("rollouts 0.")


def test_the_cache_is_the_one_that_is_configured_here(study, tmp_path, monkeypatch, capsys):
    (tmp_path / "rollouts.toml").write_text('cache_dir = "here"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["pack", "study.zip"]) == 0
    (tmp_path / "rollouts.toml").write_text('cache_dir = "there"\nuse_cache = "sql"\n')
    assert main(["unpack", "study.zip"]) == 0
    assert f"6 samples stored in sql:{tmp_path}" in capsys.readouterr().out
    assert main(["pack", "again.zip"]) == 0
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "study.zip").read_bytes()


def test_a_cache_that_needs_options_is_packed_and_unpacked(study, tmp_path, capsys):
    pack, again = str(tmp_path / "study.zip"), str(tmp_path / "again.zip")
    files = ["--cache-dir", str(tmp_path / "files"), "--use-cache", "requests-cache"]
    files += ["--cache-options", '{"backend": "filesystem"}']

    assert main(["pack", pack, "--cache-dir", str(tmp_path / "here")]) == 0
    assert main(["unpack", pack, *files]) == 0
    assert main(["pack", again, *files]) == 0
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "study.zip").read_bytes()
    assert main(["pack", again, "--force", "--cache-dir", str(tmp_path / "here"), "--use-cache", "sql"]) == 2
    assert "There are entries for --use-cache json" in capsys.readouterr().err


def test_wrong_use_is_told_with_exit_codes(study, tmp_path, capsys):
    here, pack = str(tmp_path / "here"), str(tmp_path / "study.zip")
    assert main(["pack", pack, "--cache-dir", str(tmp_path / "none")]) == 2
    assert main(["pack", pack, "--cache-dir", here, "--model", "nobody/*"]) == 2
    assert main(["unpack", pack, "--cache-dir", here]) == 1
    assert main(["pack", pack, "--cache-dir", here]) == 0
    assert main(["pack", pack, "--cache-dir", here]) == 2
    assert main(["pack", pack, "--cache-dir", here, "--force"]) == 0
    errors = capsys.readouterr().err
    for words in ("no cache directory", "no sample that is wanted", "cannot be read", "is there already"):
        assert words in errors


def test_a_pack_holds_no_key(study, tmp_path):
    assert main(["pack", str(tmp_path / "study.zip"), "--cache-dir", str(tmp_path / "here")]) == 0
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        assert not any(b"sk-or-secret" in archive.read(name) for name in archive.namelist())
