"""What the cache tests share."""

import os
import subprocess

import pytest

from rollouts.testing.contracts.processes import Child, bound_by_rights, let_others_pass


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a file system of 256 KB."""
    yield from _mounted(tmp_path, ["-t", "tmpfs", "-o", "size=256k", "tmpfs"])


@pytest.fixture
def read_only():
    """Makes a directory read-only, for root too; undone at the end."""
    mounted = []

    def make(directory):
        for options in (["--bind", str(directory)], ["-o", "remount,ro,bind"]):
            _mount([*options, str(directory)])
        mounted.append(directory)

    yield make
    for directory in mounted:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def _mounted(tmp_path, options):
    directory = tmp_path / "mounted"
    directory.mkdir()
    _mount([*options, str(directory)])
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def _mount(arguments):
    if os.name != "posix" or subprocess.run(["mount", *arguments], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")


@pytest.fixture
def as_another_user(tmp_path):
    """Runs work in a child process, as a user whom rights bind; gives what it says."""
    let_others_pass(tmp_path)

    def run(work):
        child = Child(bound_by_rights(work))
        said = list(iter(child.hear, None))
        child.wait()
        return said

    return run
