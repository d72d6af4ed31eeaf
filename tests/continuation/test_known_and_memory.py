"""What is known of services, and what probes found, kept on disk."""

from __future__ import annotations

import json
import multiprocessing
import re
from dataclasses import replace

import pytest

from rollouts.continuation import KNOWN, Memory, Remembered, known_verdict
from rollouts.continuation.memory import state_dir

FOUND = Remembered("openrouter", "qwen/qwen3-32b", "deepinfra", "assistant", "yes", "2026-11-20", reason="3 of 3")


@pytest.mark.parametrize(
    ("adapter", "model", "provider", "expected"),
    [
        ("openrouter", "qwen/qwen3-32b", "cerebras", "yes"),
        ("openrouter", "qwen/qwen3-32b", "deepinfra/turbo", "yes"),
        ("openrouter", "qwen/qwen3-32b", "groq", "no"),
        ("openrouter", "deepseek/deepseek-chat-v3.1", "deepinfra", "no"),
        ("openrouter", "deepseek/deepseek-chat-v3.1", "deepseek", "yes"),
        ("openrouter", "anthropic/claude-opus-4.6", "anthropic", "no"),
        ("openrouter", "anthropic/claude-sonnet-5", "anthropic", "no"),
        ("openrouter", "anthropic/claude-3.5-sonnet", "anthropic", "yes"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "anthropic", "yes"),
        ("openrouter", "qwen/qwen3-32b", "alibaba", "no"),
        ("openrouter", "acme/new", "nobody", None),
        ("groq", "qwen/qwen3-32b", None, "no"),
        ("local", "smollm2-135m-instruct", None, "yes"),
    ],
)
def test_the_shipped_table_answers_for_models_and_providers(adapter, model, provider, expected):
    found = known_verdict(adapter, model, provider)
    assert (found and found.verdict) == expected


def test_every_line_of_the_table_has_a_date_and_a_source():
    assert all(re.fullmatch(r"20\d\d-\d\d", line.date) and line.source for line in KNOWN)
    assert all(line.model == line.model.lower() for line in KNOWN)


def test_a_verdict_survives_and_a_later_one_replaces_it(tmp_path):
    memory = Memory(tmp_path / "new")
    assert memory.verdicts() == []
    assert not (tmp_path / "new").exists()
    memory.remember([FOUND, replace(FOUND, provider="groq", verdict="no")])
    memory.remember([replace(FOUND, date="2026-11-22")])
    first, second = Memory(tmp_path / "new").verdicts()
    assert (first.provider, first.verdict) == ("groq", "no")
    assert (second.date, second.since) == ("2026-11-22", "2026-11-20")
    memory.remember([replace(FOUND, date="2026-11-23", verdict="no")])
    assert memory.verdicts()[-1].since == "2026-11-23"
    assert memory.forget("other") == 0
    assert memory.forget() == 2
    assert memory.verdicts() == []


def test_the_directory_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLOUTS_STATE_DIR", str(tmp_path))
    Memory().remember([FOUND])
    assert [path.name for path in state_dir().iterdir()] == ["prefill.json"]
    monkeypatch.delenv("ROLLOUTS_STATE_DIR")
    assert state_dir().name == "rollouts"


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"format": 99, "verdicts": [{}]}', '{"format": 1, "verdicts": [3, {}]}', ""]
)
def test_a_damaged_file_counts_as_empty_and_is_not_lost(tmp_path, damage):
    memory = Memory(tmp_path)
    memory.path.write_text(damage)
    assert memory.verdicts() == []
    memory.remember([FOUND])
    assert len(memory.verdicts()) == 1
    if damage in ("{", "[]", ""):
        assert (tmp_path / "prefill.damaged.json").read_text() == damage


def _remember(directory, number):
    Memory(directory).remember([replace(FOUND, model=f"m{number}")])


def test_writers_at_the_same_time_leave_a_whole_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_remember, args=(tmp_path, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert json.loads((tmp_path / "prefill.json").read_bytes())["format"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["prefill.json"]
