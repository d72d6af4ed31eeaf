"""Results by the thousands: their raw bodies are all there, wherever they are kept."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import subprocess
import sys

import pytest

from rollouts.spilling import FIRST, Spill, SpilledBody


def test_each_of_many_answers_has_its_own_raw_body(server, make_client):
    n = FIRST + 200
    rollouts = make_client(use_cache=False).generate("Hello", n_samples=n)

    assert isinstance(rollouts[-1].raw_source, SpilledBody) or os.name != "posix"
    for response in rollouts:
        assert response.raw["choices"][0]["message"]["content"].startswith(f"Sample {response.seed}:")


def test_a_body_travels_as_bytes():
    spill = Spill()
    bodies = [json.dumps(i).encode() for i in range(FIRST + 3)]
    taken = [spill.take(body) for body in bodies]
    last = taken[-1]
    del spill, taken[:-1]

    assert last() == bodies[-1]
    assert pickle.loads(pickle.dumps(last)) == bodies[-1]
    assert copy.deepcopy(last) == bodies[-1]


def test_what_is_no_bytes_stays_as_it_is():
    spill = Spill()
    assert spill.take(None) is None
    assert spill.take(len) is len


@pytest.mark.skipif(os.name != "posix", reason="descriptors are counted on POSIX alone")
def test_the_file_goes_with_its_last_body():
    before = len(os.listdir("/proc/self/fd"))
    spill = Spill()
    kept = [spill.take(b"x") for _ in range(FIRST + 1)][-1]
    del spill
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del kept
    assert len(os.listdir("/proc/self/fd")) == before


forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

READERS = """
import os
from rollouts.spilling import FIRST, Spill
spill = Spill()
bodies = [b"%05d" % i * 600 for i in range(FIRST + 300)]
taken = [spill.take(body) for body in bodies]

def wrong():
    return sum(kept() != body for _ in range(20) for kept, body in zip(taken[FIRST:], bodies[FIRST:]))

children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(1 if wrong() else 0)
    children.append(child)
here = wrong()
print(here, [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""

WRITERS = """
import os
from rollouts.spilling import FIRST, Spill
spill = Spill()
for _ in range(FIRST):
    spill.take(b"in memory")
before = spill.take(b"before the fork")
child = os.fork()
taken = [spill.take(b"%d %d" % (child == 0, i)) for i in range(50)]
if child:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
right = before() == b"before the fork" and all(kept() == b"%d %d" % (child == 0, i) for i, kept in enumerate(taken))
if not child:
    os._exit(0 if right else 1)
print(right, code)
"""


def run(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


@forking
def test_a_process_and_its_forked_children_read_the_bodies_at_once():
    done = run(READERS)
    assert (done.stdout, done.stderr) == ("0 [0, 0, 0]\n", "")


@forking
def test_what_a_forked_child_adds_does_not_touch_its_parents_bodies():
    done = run(WRITERS)
    assert (done.stdout, done.stderr) == ("True 0\n", "")


@pytest.mark.skipif(os.name != "posix", reason="bodies spill on POSIX alone")
def test_a_body_that_finds_no_room_stays_in_memory(monkeypatch):
    spill = Spill()
    kept = [spill.take(b"x%d" % i) for i in range(FIRST + 1)]
    parts = iter([3])

    def full(*_):
        for part in parts:
            return part  # a part fits, as on a disk that fills up
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert spill.take(b"no room") == b"no room"
    monkeypatch.undo()
    assert spill.take(b"nor for this") == b"nor for this"
    assert kept[-1]() == b"x%d" % FIRST
