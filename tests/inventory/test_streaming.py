"""Export, copies and checks hold a few entries in memory, however many there are."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest

from rollouts.identity import SampleKey
from rollouts.inventory import COLUMNS, copy, rows, verify, write
from rollouts.testing.contracts.cache import sample_request, sample_response
from rollouts.typing import StoredEntry


def entries(n):
    """`n` entries of about 5 KB, made as they are read; ten samples of each prompt."""
    for prompt in itertools.count():
        request = sample_request(f"{prompt}")
        for number in range(10):
            if prompt * 10 + number >= n:
                return
            yield StoredEntry(f"{prompt}/{number}", 5000, request, number, sample_response(number, full=True))


class Sink:
    """A cache that remembers the last chunk alone."""

    def __init__(self):
        self.last = {}

    def load_many(self, keys):
        return ((key, self.last[key]) for key in list(keys) if key in self.last)

    def store(self, key, response):
        raise AssertionError

    def store_many(self, pairs):
        self.last = dict(pairs)


@pytest.mark.parametrize(
    "work",
    [
        lambda stream, folder: copy(stream, Sink()),
        lambda stream, folder: sum(1 for _ in verify(stream)),
        lambda stream, folder: write(rows(stream), folder / "a.jsonl", "jsonl"),
        lambda stream, folder: write(rows(stream), folder / "a.csv", "csv"),
    ],
    ids=["copy", "verify", "jsonl", "csv"],
)
def test_five_times_the_entries_take_no_more_memory(work, tmp_path):
    peaks = []
    for n in (500, 2500):
        (tmp_path / str(n)).mkdir()
        tracemalloc.start()
        work(entries(n), tmp_path / str(n))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2 + 200_000


def test_the_columns_are_documented_and_those_of_the_rows():
    [row] = rows(itertools.islice(entries(10), 1))
    assert list(row) == list(COLUMNS)
    assert all(COLUMNS.values())


def test_a_million_numbers_of_one_request_are_checked_in_little_memory(open_cache, tmp_path):
    request, response = sample_request(), sample_response()
    stream = (StoredEntry("x", 1, request, n, response) for n in itertools.chain(range(30_000), [5]))
    tracemalloc.start()
    found = [finding.kind for finding in verify(stream)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["duplicate"]
    assert peak < 200_000
    assert SampleKey(request, 0).number == 0
