"""What is counted and how it is put in words, in the time of a clock that the test moves."""

from __future__ import annotations

import logging

import pytest
from rollouts_rich.lines import Lines
from rollouts_rich.tally import Tally, duration

from rollouts.events import SampleEvent
from rollouts.exceptions import ServerError
from rollouts.results import Failure, Response, Usage
from rollouts.testing.clock import FakeClock
from rollouts.typing import ProgressOptions


def answer(
    *, tokens: int | None = None, cost: float | None = None, in_flight: int = 0, waited: float = 0
) -> SampleEvent:
    return SampleEvent("run", Response("4", usage=Usage(completion_tokens=tokens, cost=cost)), in_flight, waited)


def failure(waited: float = 0) -> SampleEvent:
    return SampleEvent("run", Failure("failed", ServerError("503"), seed=0), 0, waited)


CACHED = SampleEvent("run", Response("4", cached=True, usage=Usage(completion_tokens=999, cost=9.0)), 0)


def test_what_the_cache_gave_is_neither_speed_nor_spend() -> None:
    clock = FakeClock()
    tally = Tally("m", clock)
    tally.begin(100, 50)
    clock.advance(10)
    tally.count(CACHED)
    assert tally.rates() == (0, 0)
    assert tally.time_left() is None
    assert list(tally.words()) == ["51 cached"]
    tally.count(answer(tokens=200, cost=0.5))
    assert tally.rates() == (0.1, 20)
    assert tally.time_left() == pytest.approx(480)
    assert (tally.done, tally.counts(), tally.cost) == (52, "52/100", 0.5)


def test_speed_is_that_of_the_last_half_minute() -> None:
    clock = FakeClock()
    tally = Tally("m", clock)
    tally.begin(1000, 0)
    for _ in range(100):
        clock.advance(1)
        tally.count(answer(tokens=10))
    for _ in range(10):
        clock.advance(10)
        tally.count(answer(tokens=10))
    assert tally.rates() == pytest.approx((0.1, 1.0))


def test_everything_that_is_known_is_told_and_nothing_else() -> None:
    clock = FakeClock()
    tally = Tally("m", clock)
    tally.begin(2000, 7)
    assert list(tally.words()) == ["7 cached"]
    clock.advance(2)
    tally.count(answer(tokens=500, cost=0.01, in_flight=12, waited=3.0))
    tally.count(failure(waited=1.0))
    tally.count(answer(tokens=500, cost=0.01, in_flight=12))
    assert list(tally.words()) == [
        "1 failed", "$0.0200", "500 tokens/s", "7 cached", "12 in flight", "waits 1.3 s a sample",
    ]  # fmt: skip


def test_where_no_tokens_are_stated_samples_are_the_speed() -> None:
    clock = FakeClock()
    tally = Tally("m", clock)
    tally.begin(None, 0)
    clock.advance(4)
    tally.count(answer())
    tally.count(answer())
    assert list(tally.words()) == ["0.5 samples/s"]
    assert (tally.counts(), tally.time_left()) == ("2", None)


def test_stragglers_and_silence_are_told() -> None:
    clock = FakeClock()
    tally = Tally("m", clock)
    tally.begin(10, 0)
    for in_flight in (8, 7, 6, 5, 5, 4, 3):
        tally.count(answer(in_flight=in_flight))
    assert "the last 3 in flight" in tally.words()
    assert not any("nothing" in word for word in tally.words())
    clock.advance(34)
    assert "nothing for 34 s" in tally.words()
    for in_flight in (2, 1, 0):
        tally.count(answer(in_flight=in_flight))
    clock.advance(34)
    assert not any("nothing" in word or "flight" in word for word in tally.words())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (99.4, "99 s"),
        (100, "1:40"),
        (3599.6, "1:00:00"),
        (7507, "2:05:07"),
    ],
)
def test_durations_read_well(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_lines_come_every_ten_seconds_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    lines = Lines(ProgressOptions("m", 1), clock)
    with caplog.at_level(logging.INFO, "rollouts.progress"):
        lines.start(4, 0)
        clock.advance(9)
        lines.advance(answer())
        assert caplog.messages == []
        clock.advance(1)
        lines.advance(answer(cost=0.5))
        lines.advance(answer())
        assert caplog.messages == ["m: 2/4 samples, after 10 s, 10 s left, $0.5000, 0.2 samples/s"]
        lines.close()
        assert caplog.messages[1].startswith("m: 3/4 samples")


def test_a_short_run_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines(ProgressOptions("m", 1), FakeClock())
    with caplog.at_level(logging.INFO, "rollouts.progress"):
        lines.start(1, 0)
        lines.advance(answer())
        lines.close()
    assert caplog.messages == []
