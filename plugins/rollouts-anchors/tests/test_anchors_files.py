"""Files appear whole, hold any text, and leave an old one alone where they cannot be made."""

from __future__ import annotations

import json

import pytest
from rollouts_anchors import html_page, importance, plot_sentences, sentence_effects, site_files, write_html
from rollouts_anchors.exports import write_site_files
from rollouts_anchors.files import write_text
from rollouts_anchors.similarity import count_words
from rollouts_anchors.wordpiece import token_ids

from rollouts.resampling import Resampling, Trace

LONE = "\ud800"
TRACE = Trace.from_text(f"What is {LONE}?", f"Start {LONE} here. Use it now. So three.")


@pytest.fixture
def resampling():
    text = f"Start {LONE} here. Else {LONE} now.</think>\\boxed{{{LONE}3}}"
    return Resampling.from_texts(TRACE, {i: [text] * 6 for i in range(4)}, truth=f"{LONE}3")


def test_a_lone_surrogate_is_written_as_an_escape(resampling, tmp_path):
    table = importance(resampling, "counterfactual", similarity="words", min_different=1)
    lines = table.write_jsonl(tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1])["sentence"] == TRACE.sentence(0), "in JSON the escape is the character"
    effects = sentence_effects(resampling, "words")
    page = write_html(tmp_path / "a.html", resampling, table, effects=effects).read_text(encoding="utf-8")
    assert "Start \\ud800 here." in page
    assert page == html_page(resampling, table, effects=effects)
    for path in write_site_files(tmp_path / "site", files := site_files(resampling, "words", effects=effects)):
        assert json.loads(path.read_text(encoding="utf-8")) == files[path.name]


def test_a_lone_surrogate_can_be_printed_drawn_and_compared(resampling, tmp_path):
    table = importance(resampling)
    assert "Start \\ud800 here." in str(table).encode().decode()
    plot_sentences(table).savefig(tmp_path / "a.png")
    assert count_words([LONE, f"{LONE} b"])[0].sum() == 1
    assert token_ids(f"a{LONE}") == token_ids("a")


def test_a_file_that_cannot_be_made_leaves_the_old_one_and_nothing_else(resampling, tmp_path, monkeypatch):
    table = importance(resampling)
    old = table.write_jsonl(tmp_path / "a.jsonl").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        table.write_jsonl(tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_what_cannot_be_json_leaves_no_file_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_site_files(tmp_path / "site", {"a.json": 1, "b.json": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
