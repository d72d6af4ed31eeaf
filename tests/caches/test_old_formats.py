"""A sample of every format ever released, written by the release itself, is read for ever."""

import json
import os
import shutil
from pathlib import Path

import pytest

from rollouts.caches import json_files, sql
from rollouts.exceptions import RolloutsWarning
from rollouts.identity import SampleKey, SampleRequest
from rollouts.testing.contracts.cache import PlainTemplate, sample_request, sample_response
from rollouts.typing import CacheOptions, Conversation, WireRequest

DATA = Path(__file__).parents[1] / "sample_data"
MODEL = "qwen/qwen3-30b-a3b"
GIVEN = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 4096}
PROMPT = "What is 2 + 2?"


def asked(prompt=PROMPT, messages=None, adapter="openrouter", service="openrouter", headers=None, **body):
    """A request of today, through OpenRouter."""
    if messages is None:
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    wire = WireRequest(
        url="https://openrouter.ai/api/v1/chat/completions",
        endpoint="chat/completions",
        body={"model": MODEL, "messages": messages, **body},
        seed_field="seed",
        conversation=Conversation(messages=tuple(messages)),
        template=PlainTemplate(),
    )
    return SampleRequest(adapter=adapter, service=service, model=MODEL, wire=wire, extra_headers=headers, prompt=prompt)


@pytest.fixture
def cache(tmp_path):
    shutil.copytree(DATA / "rollouts-0.1", tmp_path / "cache")
    return json_files.make(CacheOptions(tmp_path / "cache"))


def get(cache, request, *numbers):
    return {
        key.number: response for key, response in cache.load_many(SampleKey(request, n) for n in numbers or range(10))
    }


def test_0_1_answers_a_plain_request_with_equal_settings_and_says_so_once(cache):
    with pytest.warns(RolloutsWarning, match=r"0\.1\.x.*stop, reasoning") as told:
        found = get(cache, asked(**GIVEN))
    assert len(told) == 1
    assert list(found) == [0, 1, 2, 4]  # 3 is an error, 5 is empty
    one = found[1]
    assert (one.content, one.reasoning, one.finish_reason) == ("The answer is 4.", "Two and two.", "stop")
    assert (one.origin, one.cached, one.seed, one.response_id) == ("0.1.x", True, 1, "gen-1")
    assert (one.provider, one.model, one.usage.total_tokens, one.raw) == ("DeepInfra", MODEL, 444, None)
    assert (one.completed_reasoning, found[4].completed_reasoning, found[4].content) == (True, False, "")


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
@pytest.mark.parametrize(
    ("request_", "content"),
    [
        (asked(**GIVEN, provider={"allow_fallbacks": False, "order": ["x"]}), "provider"),
        (asked(**{**GIVEN, "temperature": 1}, top_k=20, presence_penalty=0.5), "one"),
        (asked(**{**GIVEN, "temperature": 1.0}, top_k=20, presence_penalty=0.5), "one"),
        (asked([{"role": "user", "content": "Hé"}], **GIVEN), "The answer is 4."),
        (asked(**GIVEN, presence_penalty=0, frequency_penalty=0.0), "The answer is 4."),
        (
            asked(
                PROMPT + "<think>Let me see: ",
                [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "<think>Let me see: "}],
                **GIVEN,
            ),
            "The answer is 4.",
        ),
    ],
)
def test_0_1_answers_what_it_was_asked(cache, request_, content):
    assert get(cache, request_, 0)[0].content == content


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked(temperature=0.7, top_p=0.95),
        asked(**{**GIVEN, "temperature": 0.8}),
        asked(**GIVEN, stop=["a"]),
        asked(**GIVEN, reasoning={"effort": "high"}),
        asked(**GIVEN, top_k=40),
        asked(**GIVEN, min_p=0.1),
        asked(**GIVEN, headers={"X-A": "1"}),
        asked(**GIVEN, provider={"order": ["y"]}),
        asked(**GIVEN, adapter="openai-compatible"),
        asked(**GIVEN, service="https://openrouter.example/v1"),
        asked(PROMPT, [{"role": "system", "content": "Be short."}, {"role": "user", "content": PROMPT}], **GIVEN),
    ],
)
def test_0_1_does_not_answer_what_it_may_not_have_been_asked(cache, request_):
    assert get(cache, request_) == {}


def test_a_new_answer_goes_to_the_new_place_and_comes_first(cache, tmp_path):
    request = asked(**GIVEN)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    for number in (0, 3):
        cache.store(SampleKey(request, number), sample_response(number, "new"))
    with pytest.warns(RolloutsWarning):
        found = get(cache, request)
    assert [(n, r.origin) for n, r in found.items()] == [(0, None), (1, "0.1.x"), (2, "0.1.x"), (3, None), (4, "0.1.x")]
    assert {path: path.read_bytes() for path in before} == before


def test_a_damaged_file_of_0_1_is_told_and_asked_again(cache, tmp_path):
    for path in tmp_path.rglob("seed_00001.json"):
        path.write_text("{")
    with pytest.warns(RolloutsWarning) as told:
        assert 1 not in get(cache, asked(**GIVEN))
    assert [str(one.message) for one in told if "seed_00001.json" in str(one.message)]


def test_another_prompts_file_in_the_place_of_0_1_is_a_miss(cache, tmp_path):
    for path in tmp_path.rglob("seed_0000*.json"):
        entry = json.loads(path.read_text())
        path.write_text(json.dumps({**entry, "prompt": "another"}))
    assert get(cache, asked(**GIVEN)) == {}


@pytest.mark.parametrize(("name", "module"), [("json-2", json_files), ("sql-2", sql)])
def test_format_2_is_read(tmp_path, name, module):
    shutil.copytree(DATA / name, tmp_path / "cache")
    cache = module.make(CacheOptions(tmp_path / "cache"))
    request = sample_request("Hé \ud83d", prefill="<think>\nI", thought="I", body={"temperature": 1.0})
    found = get(cache, request)
    assert list(found) == [0, 1]
    assert found[1] == sample_response(1, full=True).__class__(
        **{
            name: getattr(sample_response(1, full=True), name)
            for name in sample_response().__dataclass_fields__
            if name not in ("prefill", "injected")
        },
        prefill="<think>\nI",
        injected="I",
    )
    assert found[0].raw == {"id": "gen-0"}
    cache.close()


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
@pytest.mark.parametrize("level", ["file", "folder"])
def test_no_answer_of_0_1_is_read_from_out_of_the_directory(cache, tmp_path, level):
    root = tmp_path / "cache"
    places = [path for path in root.rglob("seed_00001.json") if "tok4096" in str(path)]
    for number, file in enumerate(places):
        place = file if level == "file" else file.parents[1]
        if not place.is_symlink():
            place.rename(tmp_path / f"out-{number}")
            place.symlink_to(tmp_path / f"out-{number}")
    assert 1 not in get(json_files.make(CacheOptions(root)), asked(**GIVEN))
    if level == "file":
        assert 0 in get(cache, asked(**GIVEN))


@pytest.mark.filterwarnings("ignore::rollouts.exceptions.RolloutsWarning")
def test_a_pipe_among_the_files_of_0_1_makes_nobody_wait(cache, tmp_path):
    for file in (tmp_path / "cache").rglob("seed_00001.json"):
        file.unlink()
        os.mkfifo(file)
    assert list(get(cache, asked(**GIVEN))) == [0, 2, 4]
