"""Samples as rows, files and HTML: columns, what comes back, and what a model wrote being nothing but text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts import Failure, Response, Rollouts, Usage
from rollouts.exceptions import ConfigError, ServerError
from rollouts.results import tables

EVIL = '<script>alert("x")</script>&amp;'


def example(**fields) -> Rollouts:
    answer = Response(
        **{
            "content": "fifty",
            "reasoning": "0 = 50",
            "injected": "5*1",
            "prefill": "<think>\n5*1",
            "completed_reasoning": True,
            "finish_reason": "stop",
            "provider": "Loopback",
            "model": "a/b",
            "continued": "yes",
            "usage": Usage(10, 20, 30, cost=0.5),
            "latency": 2.0,
            "prompt": "5*10?",
            **fields,
        }
    )
    failed = Failure("failed", ServerError("it broke"), seed=1, index=1, prompt="5*10?", attempts=3)
    return Rollouts((answer, failed), prompt="5*10?", model="a/b", settings={"temperature": 0.5}, cache_dir=".rollouts")


def test_each_slot_is_a_row_with_every_column():
    first, second = example().to_records()

    assert list(first) == list(second) == list(tables.COLUMNS)
    assert (first["thought"], first["full"], first["cost"]) == ("5*10 = 50", "0 = 50</think>fifty", 0.5)
    assert (second["failure"], second["error"], second["content"]) == ("failed", "ServerError: it broke", None)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_the_columns_in_order(library):
    frame = example().to_dataframe(library)
    assert list(frame.columns) == list(tables.COLUMNS)
    assert len(frame) == 2


def test_an_unknown_library_is_told():
    with pytest.raises(ConfigError, match="pandas"):
        example().to_dataframe("excel")


def test_parquet_holds_the_rows(tmp_path):
    import pyarrow.parquet

    example().to_parquet(tmp_path / "rows.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == example().to_records()


texts = st.text(st.characters(codec=None), max_size=50)


@given(content=texts, reasoning=st.none() | texts)
def test_jsonl_gives_back_what_was_written(tmp_path_factory, content, reasoning):
    path = tmp_path_factory.getbasetemp() / "samples.jsonl"
    written = example(content=content, reasoning=reasoning)
    written.to_jsonl(path)
    read = Rollouts.from_jsonl(path)

    assert read.responses == written.responses
    assert read.to_records()[0] == written.to_records()[0]
    assert (read.prompt, read.model, read.settings, read.cache_dir) == (
        "5*10?",
        "a/b",
        {"temperature": 0.5},
        ".rollouts",
    )
    assert (read.failures[0].kind, read.failures[0].attempts) == ("failed", 3)


def test_a_foreign_line_is_told_with_its_number(tmp_path):
    path = tmp_path / "x.jsonl"
    example().to_jsonl(path)
    path.write_text(path.read_text() + '{"prompt": 3}\n')
    with pytest.raises(ConfigError, match="line 3"):
        Rollouts.from_jsonl(path)


def test_what_a_model_wrote_stays_text_in_html():
    shown = example(content=EVIL, reasoning=EVIL, provider=EVIL, injected=EVIL)._repr_html_()
    shown += Response(EVIL, prompt=EVIL)._repr_html_()
    shown += Rollouts((Failure("failed", ServerError(EVIL)),), prompt=[{"role": "user", "content": EVIL}])._repr_html_()

    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_html_of_a_lone_surrogate_can_be_encoded():
    assert example(content="\ud800")._repr_html_().encode()


def test_the_injected_part_is_marked():
    assert '<span class="injected" title="injected">5*1</span>0 = 50' in example()._repr_html_()


def test_the_summary_says_what_it_came_to():
    text = str(example().summary())

    assert text.startswith("1 of 2 samples (0 cached, 1 failed)")
    assert "$0.5 known for 1 of 1" in text
    assert "yes 1" in text


def test_the_summary_of_nothing_known_says_so():
    text = str(Rollouts((Response("x"),)).summary())
    assert "cost:      unknown" in text
    assert json.dumps(Rollouts(()).summary().finish_reasons) == "{}"


@pytest.mark.parametrize("created", [1_760_000_000_000, -(10**18), 10**400])
def test_a_date_that_is_none_in_seconds_is_unknown_and_the_day_of_receipt_stands_in(created):
    moments = {"created": created, "content": "x"}
    rollouts = Rollouts((Response(**moments), Response(**moments, received=1_790_000_000.5)))
    assert rollouts.provenance["date"] == {None: 1, "2026-09-21": 1}
