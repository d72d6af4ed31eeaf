"""Directories and whole files, for the caches that keep files. Knows nothing of requests and answers."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable

from rollouts.exceptions import CacheError, ConfigError

# Their locks do not reach other machines, or come too late: https://sqlite.org/faq.html#q5, https://sqlite.org/wal.html.
_NETWORK = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb",
            "smb2",
            "smb3",
            "smbfs",
            "afs",
            "ncpfs",
            "9p",
            "ceph",
            "lustre",
            "beegfs",
            "gpfs",
        ),
        *("pvfs2", "orangefs", "glusterfs", "panfs", "wekafs", "davfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs"),
        *("fuse.gcsfuse", "fuse.rclone", "fuse.juicefs", "fuse.ceph-fuse", "fuse.davfs2"),
    )
)
# A symbolic link is followed only after a look at where it leads; a pipe in a file's place must not make us wait.
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLLOW = _OPEN & ~getattr(os, "O_NOFOLLOW", 0)
_CHUNK = 1 << 14  # bytes; most files are smaller
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_CANNOT_LINK = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
_MOUNTS = "/proc/self/mountinfo"
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
"""Errors that say: there is nothing of this name."""
_NO_FILE = frozenset({errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.EAGAIN})
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

NO_TEXT = b"null"
"""Stands for the bytes of what is no file, or leads out: valid JSON that is no sample, so it stays and is no answer."""
UNREADABLE = b"null\n"
"""The same for a file that we have no right to read. Told apart by `is`."""


def check_directory(path: str) -> bool:
    """True where there is such a directory, False where there is nothing.

    Raises:
        ConfigError: It is a file, or cannot be reached.
    """
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return True
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        pass
    except OSError as error:
        raise ConfigError(f"cache_dir {path!r} cannot be used: {error.strerror}. {advice(error)}") from error
    raise ConfigError(f"cache_dir {path!r} is a file, or lies in one: give a directory, or a name that is free.")


def network_file_system(path: str, mounts: str = _MOUNTS) -> str | None:
    """The type of the network file system that `path` lies on; None on a local one, and where it cannot be told."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    wanted = os.path.join(os.path.realpath(path), "")
    longest, kind = "", None
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        # The kernel writes a space in a path as \040 (man 5 proc_pid_mountinfo).
        point = os.path.join(fields[4].replace("\\040", " ").replace("\\134", "\\"), "")
        if wanted.startswith(point) and len(point) >= len(longest):
            longest, kind = point, right.split(" ")[0]
    return kind if kind in _NETWORK else None


def advice(error: OSError) -> str:
    """What to do about an error of the file system, as a sentence."""
    if error.errno in _NO_ROOM:
        return "Make room or give another cache_dir."
    if error.errno in _NO_RIGHT or error.errno == errno.EROFS:
        return "See to your rights there, or give another cache_dir."
    if error.errno == errno.ENOENT:
        return "It was removed meanwhile: run again."
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "Raise the limit of open files (ulimit -n), or lower max_concurrency."
    return "Look after the disk, or give another cache_dir."


def leads_inside(path: str, root: str) -> bool:
    """Whether `path`, links resolved, lies in the directory `root`."""
    inside = os.path.realpath(root)
    return os.path.commonpath((inside, os.path.realpath(path))) == inside


def read_file(path: str, root: str, flags: int = _OPEN) -> bytes | None:
    """A file's bytes, None where there is none. A link is followed where it leads to a file in `root`.

    `NO_TEXT` for what is no file, leads out or nowhere, `UNREADABLE` for a file that we have no right to read.

    Raises:
        CacheError: The folder cannot be searched, or the disk fails.
    """
    try:
        file = os.open(path, flags)
    except OSError as error:
        if error.errno in ABSENT:
            return NO_TEXT if flags == _FOLLOW else None  # a link that leads nowhere takes the name all the same
        if error.errno == errno.ELOOP and flags != _FOLLOW:
            return read_file(path, root, _FOLLOW) if leads_inside(path, root) else NO_TEXT
        return _not_read(path, error)
    try:
        data = os.read(file, _CHUNK)
        if len(data) == _CHUNK:
            parts = [data]
            while part := os.read(file, _CHUNK * 64):
                parts.append(part)
            return b"".join(parts)
        # A pipe that nobody writes to reads as empty.
        return data if data or stat.S_ISREG(os.fstat(file).st_mode) else NO_TEXT
    except OSError as error:
        return _not_read(path, error)
    finally:
        os.close(file)


def _not_read(path: str, error: OSError) -> bytes:
    if error.errno in _NO_FILE:
        return NO_TEXT
    if error.errno in _NO_RIGHT and _is_to_be_seen(path):
        return UNREADABLE
    raise CacheError(f"{path} cannot be read: {error.strerror}. {advice(error)}") from error


def _is_to_be_seen(path: str) -> bool:
    """False where it is the folder, and not the file, that we have no right to."""
    try:
        os.lstat(path)
        return True
    except OSError:
        return False


def write_draft(folder: str, data: bytes) -> str:
    """Write `data` to a new file in `folder` (which ends in a separator); the file's path.

    Raises:
        OSError: It cannot be written; no part of it is left.
    """
    path = f"{folder}.{secrets.token_hex(8)}.tmp"
    file = os.open(path, _CREATE, 0o666)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)
    except OSError:
        remove(path)
        raise
    return path


def publish(draft: str, path: str) -> bool:
    """Give the finished file its name, whole and at once; False where the name is taken.

    Raises:
        OSError: The folder cannot be written.
    """
    try:
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
    # A file system without hard links. Two writers may both find the name free: then the last one's file stays, whole.
    if os.path.lexists(path):
        return False
    os.replace(draft, path)
    return True


def rename(path: str, free: str) -> bool | None:
    """Give a file another name. False where that is taken, None where there is no such file.

    Raises:
        OSError: The folder cannot be written.
    """
    try:
        if not publish(path, free):
            return False
    except (FileNotFoundError, NotADirectoryError):
        return None
    remove(path)
    return True


def move_aside(path: str, names: Iterable[str]) -> str | None:
    """Rename `path` to the first of `names` that is free; that name, None where there is no `path`.

    Raises:
        OSError: The folder cannot be written.
    """
    for aside in names:
        try:
            os.close(os.open(aside, _CREATE, 0o666))  # taken, so that of two who move neither overwrites
        except FileExistsError:
            continue
        try:
            _rename_over(path, aside)
        except FileNotFoundError:
            remove(aside)
            return None
        except BaseException:
            remove(aside)
            raise
        return aside
    raise ValueError("no name is free")


def _rename_over(path: str, empty: str) -> None:
    try:
        os.replace(path, empty)
    except NotADirectoryError:  # what stands in the file's place is a folder
        remove(empty)
        os.rename(path, empty)


def give_back(aside: str, path: str) -> None:
    """Undo `move_aside`; where the name was taken meanwhile, the file stays aside.

    Raises:
        OSError: The folder cannot be written.
    """
    if publish(aside, path):
        remove(aside)


def remove(path: str) -> None:
    """Remove a file if it can be."""
    try:
        os.unlink(path)
    except OSError:
        return
