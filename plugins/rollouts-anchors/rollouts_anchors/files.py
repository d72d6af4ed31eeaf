"""Writes text files whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from rollouts.exceptions import ConfigError


def printable(text: str) -> str:
    r"""`text` with an escape (`\ud800`) for each lone surrogate, which a model can write and UTF-8 has not.

    In JSON text that is the escape for the same character, so nothing is lost there.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, lone surrogates as `printable` shows them; an old file stays until the new one is whole.

    Raises:
        OSError: It cannot be written; nothing has changed.
    """
    target = Path(path)
    data = text.encode("utf-8", "backslashreplace")
    if _is_special(target):
        target.write_bytes(data)
        return target
    # What a link points to is replaced, and not the link.
    real = Path(os.path.realpath(target))
    draft = real.with_name(f".{real.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(data)
        os.replace(draft, real)
    finally:
        draft.unlink(missing_ok=True)
    return target


def check_file(path: str | Path) -> None:
    """Find out before the work whether a file can be written.

    Raises:
        ConfigError: Its folder is missing or closed, or a folder has its name.
    """
    target = Path(path)
    if _is_special(target):
        return
    if target.is_dir():
        raise ConfigError(f"{target} is a folder: give the name of a file.")
    check_folder(Path(os.path.realpath(target)).parent)


def _is_special(target: Path) -> bool:
    """Whether something is there that is neither a file nor a folder: a pipe, a device."""
    return target.exists() and not target.is_file() and not target.is_dir()


def check_folder(path: str | Path, *, make: bool = False) -> None:
    """Find out whether files can be written into a folder; with `make` it may be one that is still to be made.

    Raises:
        ConfigError: It is missing, or no folder, or nothing may be written there.
    """
    folder = Path(path)
    while make and not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        problem = "is no folder" if os.path.lexists(folder) else "does not exist"
        raise ConfigError(f"{folder} {problem}, so nothing can be written there: make it, or give another path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing may be written into {folder}: give another path.")
