"""Results by the thousands: their raw bodies are all there, wherever they are kept."""

from __future__ import annotations

import copy
import json
import os
import pickle

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
