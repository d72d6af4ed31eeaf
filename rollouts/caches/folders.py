"""Directories and whole files, for the caches that keep files. Knows nothing of requests and answers."""

from __future__ import annotations

import errno
import os
import secrets
import stat

from rollouts.exceptions import ConfigError

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
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_CANNOT_LINK = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
_MOUNTS = "/proc/self/mountinfo"


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
        raise ConfigError(f"cache_dir {path!r} cannot be used: {error.strerror}.") from error
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


def remove(path: str) -> None:
    """Remove a file if it can be."""
    try:
        os.unlink(path)
    except OSError:
        return
