"""A key that is looked for in all that is written, printed, logged, raised, pickled or shown, on every path."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
import warnings
import zipfile

import pytest
from pyarrow import parquet

from rollouts import RolloutsClient
from rollouts.cli import main
from rollouts.exceptions import ConfigError, RolloutsError
from rollouts.testing.server import LoopbackServer, Reply, chat_reply

MARK = "canary0f1e2d3c"
"""The middle of the key: half a key is a leak too."""


def key():
    """The key; never in a variable of a test, whose locals are looked through too."""
    return f"sk-or-v1-{MARK}-4b5a69788796a5b4"


@pytest.fixture
def witness(tmp_path, monkeypatch, capfd):
    """Sees all that is logged, warned of, printed and written, and searches it at the end."""
    monkeypatch.setenv("ROLLOUTS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    seen = Witness()
    root = logging.getLogger()
    root.addHandler(seen)
    level, root.level = root.level, logging.DEBUG
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield seen
    root.removeHandler(seen)
    root.level = level
    seen.take("warnings", *(str(warning.message) for warning in caught))
    seen.take("printed", *capfd.readouterr())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            seen.take(str(path), path.read_bytes())
    assert seen.taken, "nothing was looked at"
    assert [where for where, what in seen.taken if MARK.encode() in what] == []


class Witness(logging.Handler):
    def __init__(self):
        super().__init__(0)
        self.taken = []

    def emit(self, record):
        self.take("log", record.getMessage(), repr(record.args), str(record.exc_text or ""))
        if record.exc_info and record.exc_info[1] is not None:
            self.take_error(record.exc_info[1])

    def take(self, where, *what):
        for one in what:
            self.taken.append((where, one if isinstance(one, bytes) else str(one).encode("utf-8", "backslashreplace")))

    def take_shown(self, *objects):
        for one in objects:
            self.take(f"repr of {type(one).__name__}", repr(one), str(one))

    def take_error(self, error):
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        self.take(f"traceback of {type(error).__name__}", "".join(told.format()))
        self.take(f"pickle of {type(error).__name__}", pickle.dumps(error))
        self.take_shown(error, error.args, vars(error))


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


def base(url, tmp_path, **settings):
    """Settings without a key: whose variables may be seen must not be given one."""
    given = {"model": "test/model", "adapter": "openrouter", "cache_dir": tmp_path / "cache", "progress_bar": False}
    return {**given, "max_retries": 0, "base_url": url, "template": "think-tags", **settings}


def with_key(name="api_key", form="{}", here=True):
    """The key as keyword argument, to be unpacked where it is given; nothing unless it is given `here`."""
    return {name: form.format(key(), key())} if here else {}


def said(request, status=200, **error):
    """An error of a service that repeats the key it was given."""
    told = {"message": f"Incorrect API key provided: {request.headers['authorization']}", "code": status, **error}
    return {"error": told}


TROUBLE = {
    400: lambda r: Reply(status=400, json=said(r, 400)),
    401: lambda r: Reply(status=401, json=said(r, 401)),
    402: lambda r: Reply(status=402, json=said(r, 402)),
    403: lambda r: Reply(status=403, json=said(r, 403, metadata={"reasons": [r.headers["authorization"]]})),
    404: lambda r: Reply(status=404, json=said(r, 404)),
    422: lambda r: Reply(status=422, json=said(r, 422)),
    429: lambda r: Reply(status=429, json=said(r, 429), headers={"Retry-After": "0"}),
    500: lambda r: Reply(status=500, body=f"<html>{r.headers['authorization']}</html>".encode()),
    "error in 200": lambda r: Reply(json=said(r, 502)),
    "no json": lambda r: Reply(body=f"what is {r.headers['authorization']}?".encode()),
    "other json": lambda r: Reply(json={"got": dict(r.headers)}),
    "empty": lambda r: Reply(json=chat_reply("", None)),
    "redirect": lambda r: Reply(status=302, headers={"Location": f"http://127.0.0.1:9/{r.headers['authorization']}"}),
    "reset": lambda r: Reply(reset="before"),
    "cut off": lambda r: Reply(json=chat_reply(), truncate=20),
    "too late": lambda r: Reply(hang=True),
}


@pytest.mark.parametrize("given", ["to the client", "to the call", "in the environment"])
@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=map(str, TROUBLE))
def test_no_error_shows_the_key(server, witness, tmp_path, monkeypatch, trouble, given):
    server.reply = trouble
    if given == "in the environment":
        monkeypatch.setenv("OPENROUTER_API_KEY", key())
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    url = None if given == "in the environment" else server.url
    settings = base(url, tmp_path, timeout=0.3, verbose=True)
    client = RolloutsClient(**settings, **with_key(here=given == "to the client"))
    with client, pytest.raises(RolloutsError) as caught:
        client.generate("Hello", n_samples=2, **with_key(here=given == "to the call"))
    assert server.requests[0].headers["authorization"] == f"Bearer {key()}"
    witness.take_error(caught.value)
    witness.take_shown(client, client.settings, caught.value.rollouts)
    for failure in caught.value.rollouts.failures:
        witness.take_shown(failure, failure.to_dict())
        if failure.error is not None:
            witness.take_error(failure.error)
    witness.take("pickle of results", pickle.dumps(caught.value.rollouts), pickle.dumps(client.settings))


def test_no_refused_connection_shows_the_key(witness, tmp_path):
    with LoopbackServer() as gone:
        url = gone.url
    with RolloutsClient(**base(url, tmp_path, verbose=True)) as client, pytest.raises(RolloutsError) as caught:
        client.generate("Hello", api_key=key())
    witness.take_error(caught.value)


WAYS = {
    "agenerate": lambda client: asyncio.run(client.agenerate("Hello", 2, **with_key())),
    "generate_many": lambda client: client.generate_many(["Hello", "You"], 2, **with_key()),
    "as_completed": lambda client: list(client.as_completed(["Hello", "You"], 2, **with_key())),
    "force_answer": lambda client: client.force_answer(
        client.trace("One. Two.", "Why?"), 1, 2, **with_key(), provider={"only": ["p"]}
    ),
    "verify_prefill": lambda client: client.verify_prefill(trials=1, **with_key()),
    "prices": lambda client: client.prices(refresh=True, **with_key()),
}


@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)
def test_no_way_of_asking_shows_the_key_when_it_fails(server, witness, tmp_path, ask):
    server.reply = TROUBLE[401]
    with RolloutsClient(**base(server.url, tmp_path)) as client, pytest.raises(RolloutsError) as caught:
        ask(client)
    assert server.requests[0].headers["authorization"] == f"Bearer {key()}"
    witness.take_error(caught.value)


@pytest.mark.parametrize("cache", ["json", "sql", "requests-cache", {"backend": "filesystem"}], ids=str)
def test_no_answer_cache_pack_or_export_holds_the_key(server, witness, tmp_path, cache):
    def repeat(request):
        return Reply(json=chat_reply(f"You said {request.headers['authorization']}.", seed=request.json()["seed"]))

    server.reply = repeat
    options = (
        {"use_cache": cache} if isinstance(cache, str) else {"use_cache": "requests-cache", "cache_options": cache}
    )
    with RolloutsClient(**base(server.url, tmp_path, verbose=True, **options), **with_key()) as client:
        fresh = client.generate("Hello<think>\nHm", n_samples=3)
        again = client.generate("Hello<think>\nHm", n_samples=3)
        assert [r.cached for r in (*fresh, *again)] == [False] * 3 + [True] * 3
        for rollouts in (fresh, again):
            witness.take_shown(rollouts, rollouts.to_dict(), rollouts.provenance, rollouts.settings)
            witness.take("pickle of rollouts", pickle.dumps(rollouts))
            for response in rollouts:
                witness.take_shown(response, response.raw)
                witness.take("raw body", response.raw_body)
        witness.take_shown(client.plan(["Hello", "You"], 3), client.explain("Hello"), client)
        assert server.requests[0].headers["authorization"] == f"Bearer {key()}"
    kind = ["--use-cache", options["use_cache"], "--cache-options", json.dumps(options.get("cache_options", {}))]
    here = [*kind, "--cache-dir", str(tmp_path / "cache")]
    pack = tmp_path / "study.zip"
    assert main(["pack", str(pack), *here]) == 0
    assert main(["unpack", str(pack), *kind, "--cache-dir", str(tmp_path / "there")]) == 0
    with zipfile.ZipFile(pack) as archive:
        for name in archive.namelist():
            witness.take(f"pack {name}", archive.read(name))
    for ending in ("jsonl", "csv", "parquet"):
        assert main(["cache", "export", str(tmp_path / f"samples.{ending}"), "--raw", *here]) == 0
        assert main(["cache", "export", "-", "--format", ending, "--raw", *here]) == 0
    witness.take("parquet", *map(str, parquet.read_table(tmp_path / "samples.parquet").to_pylist()))  # compressed
    for command in (["stats"], ["ls"], ["ls", "--json"], ["verify"], ["clear", "--all"]):
        assert main(["cache", *command, *here]) == 0


@pytest.mark.parametrize("word", ["k", "EMPTY", "lm-studio", "sk-no-key-required"])
def test_a_stand_in_for_a_key_stays_where_an_answer_has_the_word(server, tmp_path, word):
    server.reply = lambda request: Reply(json=chat_reply(f"Give {word} as key."))
    with RolloutsClient(**base(server.url, tmp_path), api_key=word) as client:
        [answer] = client.generate("Hello")
    assert answer.content == f"Give {word} as key."
    assert answer.usage.completion_tokens == 20


def test_no_price_list_shows_or_keeps_the_key(server, witness, tmp_path):
    models = {"data": [{"id": "test/model", "pricing": {"prompt": "1", "completion": "1"}}]}
    server.routes["/models"] = lambda request: Reply(json={**models, "you": request.headers["authorization"]})
    with RolloutsClient(**base(server.url, tmp_path), **with_key()) as client:
        witness.take_shown(client.prices(refresh=True))
        assert server.requests[0].headers["authorization"] == f"Bearer {key()}"
        server.routes["/models"] = TROUBLE[401]
        with pytest.raises(RolloutsError) as caught:
            client.prices(refresh=True)
    witness.take_error(caught.value)


BAD = {
    "range": {"temperature": 9},
    "unknown": {"temprature": 1},
    "cache": {"use_cache": "nonesuch"},
    "cache options": {"cache_options": {"nonesuch": 1}},
    "limiter": {"limiter": "nonesuch"},
    "limiter options": {"limiter_options": {"nonesuch": 1}},
    "adapter": {"adapter": "nonesuch"},
    "adapter options": {"adapter_options": {"nonesuch": 1}},
    "template": {"template": "nonesuch"},
    "transform": {"transforms": ["nonesuch"]},
    "progress": {"progress": "nonesuch", "progress_bar": True},
    "prompt": {"system": ""},
    "no price": {"adapter": "vllm", "max_cost": 1.0},
}


@pytest.mark.parametrize("given", ["to the client", "to the call", "in the environment"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_no_refusal_of_bad_input_shows_the_key(server, witness, tmp_path, monkeypatch, bad, given):
    if given == "in the environment":
        monkeypatch.setenv("OPENROUTER_API_KEY", key())
        monkeypatch.setenv("VLLM_API_KEY", key())
    settings, own = (bad, {}) if given != "to the call" else ({}, bad)
    with pytest.raises(RolloutsError) as caught:
        RolloutsClient(**base(server.url, tmp_path, **settings), **with_key(here=given == "to the client")).generate(
            " ", 2, **own, **with_key(here=given == "to the call")
        )
    witness.take_error(caught.value)


@pytest.mark.parametrize("spoilt", ["{} ü", "a b {}", "{}\n{}"])
@pytest.mark.parametrize("given", ["to the client", "to the call", "in the environment", "as a setting's variable"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(
    server, witness, tmp_path, monkeypatch, spoilt, given
):
    if given == "in the environment":
        monkeypatch.setenv("OPENROUTER_API_KEY", spoilt.format(key(), key()))
    if given == "as a setting's variable":
        monkeypatch.setenv("ROLLOUTS_API_KEY", spoilt.format(key(), key()))
    first, second = ({"form": spoilt, "here": given == where} for where in ("to the client", "to the call"))
    with pytest.raises(ConfigError) as caught:
        RolloutsClient(**base(server.url, tmp_path), **with_key(**first)).generate("Hello", **with_key(**second))
    witness.take_error(caught.value)
    assert server.connections == 0


@pytest.mark.parametrize("wrong", ["key", "token", "api_keys", "openrouter_api_key"])
def test_a_key_under_a_wrong_name_is_not_shown(server, witness, tmp_path, wrong):
    with pytest.raises(ConfigError) as caught:
        RolloutsClient(**base(server.url, tmp_path), **with_key(wrong))
    witness.take_error(caught.value)
    with RolloutsClient(**base(server.url, tmp_path)) as client, pytest.raises(ConfigError) as caught:
        client.generate("Hello", **with_key(wrong))
    witness.take_error(caught.value)


def test_a_bad_variable_does_not_show_the_others(server, witness, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", key())
    monkeypatch.setenv("ROLLOUTS_TIMEOUT", "never")
    with pytest.raises(ConfigError) as caught:
        RolloutsClient(**base(server.url, tmp_path))
    witness.take_error(caught.value)


def test_the_search_finds_what_leaks(tmp_path):
    """The test of the test."""
    seen = Witness()

    def leak(secret):
        raise RolloutsError("no")

    with pytest.raises(RolloutsError) as caught:
        leak(key())
    seen.take_error(caught.value)
    assert any(MARK.encode() in what for _, what in seen.taken)
