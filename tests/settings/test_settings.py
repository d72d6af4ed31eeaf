"""Settings: what is accepted, what is refused and how it is said, how a call overrides a client."""

from __future__ import annotations

import contextlib
import copy
import math
import pickle
import re
from fractions import Fraction
from pathlib import Path
from typing import get_type_hints

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rollouts
from rollouts.exceptions import ConfigError, UnknownSetting
from rollouts.settings import SAMPLING_NAMES, SETTINGS, Secret, Settings, make_settings
from rollouts.typing import CacheOptions

MODEL = "qwen/qwen3-30b-a3b"


def settings(**given):
    return make_settings(model=MODEL, **given)


def test_what_is_not_given_is_not_sent():
    assert dict(settings().given_sampling) == {}
    assert dict(settings(temperature=0.7, stop=["\n"]).given_sampling) == {"temperature": 0.7, "stop": ["\n"]}


def test_the_defaults_are_those_that_the_design_names():
    s = settings()
    assert (s.max_concurrency, s.timeout, s.max_retries) == (64, 1200, 10)
    assert (s.use_cache, s.cache_dir, s.progress_bar, s.on_error) == ("json", Path(".rollouts"), True, "raise")
    assert (s.verbose, s.limiter, s.progress, s.seed, s.offline) == (False, "adaptive", "tqdm", 0, False)


def test_all_settings_of_rollouts_0_1_11_are_taken():
    s = settings(
        temperature=0.7, top_p=0.95, max_tokens=4096, top_k=40, presence_penalty=0.0, frequency_penalty=0.0,
        provider={"order": ["deepinfra"], "allow_fallbacks": False}, reasoning={"max_tokens": 2000},
        include_reasoning=True, api_key="k", max_retries=100, timeout=300, verbose=False, use_cache="json",
        cache_dir=".rollouts", requests_per_minute=60, progress_bar=True, min_p=0.1, top_a=0.1,
        repetition_penalty=1.1, stop="x", logit_bias={1: 2}, response_format={"type": "json_object"},
    )  # fmt: skip
    assert s.top_k == 40
    assert s.provider == {"order": ["deepinfra"], "allow_fallbacks": False}


def test_progress_bar_and_other_client_settings_never_go_over_the_wire():
    assert "progress_bar" not in settings(progress_bar=False, temperature=1).given_sampling
    assert all(SETTINGS[name].kind == "sampling" for name in SAMPLING_NAMES)
    assert "seed" not in settings(seed=7).given_sampling


def test_annotated_attributes_and_table_name_the_same_client_settings():
    annotated = set(get_type_hints(Settings)) - {"given", "given_sampling"}
    assert annotated == {name for name, setting in SETTINGS.items() if setting.kind == "client"}


def test_no_client_setting_is_accepted_and_then_ignored():
    package = Path(rollouts.__file__).parent
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
        if "settings" not in path.relative_to(package).parts
    )
    unread = [
        name for name, s in SETTINGS.items() if s.kind == "client" and not re.search(rf"settings\.{name}\b", code)
    ]
    assert unread == []


def test_every_default_passes_its_own_check():
    for name, setting in SETTINGS.items():
        if setting.default is not None:
            assert setting.check(name, setting.default) == setting.default


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_setting_has_one_line_of_documentation(name):
    assert SETTINGS[name].doc.endswith((".", "…"))
    assert "\n" not in SETTINGS[name].doc


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("temprature", "temperature="),
        ("top_P", "top_p="),
        ("max_token", "max_tokens="),
        ("n", "n_samples="),
        ("rpm", "requests_per_minute="),
        ("max_new_tokens", "max_tokens="),
    ],
)
def test_an_unknown_setting_names_the_nearest(name, nearest):
    with pytest.raises(UnknownSetting, match=nearest) as caught:
        settings(**{name: 1})
    assert isinstance(caught.value, TypeError)
    assert "extra_body" in str(caught.value)


def test_an_unknown_setting_near_nothing_points_to_extra_body():
    with pytest.raises(UnknownSetting, match="extra_body") as caught:
        settings(zzqqxx=1)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("temperature", [0, 2, 0.5], [-0.01, 2.01, math.nan, math.inf, True, "0.5", [1]]),
        ("top_p", [1, 0.01], [0, 0.0, 1.01, -1]),
        ("min_p", [0, 1], [-0.1, 1.1]),
        ("top_a", [0, 1], [1.1]),
        ("top_k", [0, 40], [-1, 1.5, 40.0, True]),
        ("max_tokens", [1, 10**6], [0, -1, 1.0, "1", False]),
        ("presence_penalty", [-2, 2], [-2.1, 2.1]),
        ("frequency_penalty", [-2, 2], [-2.1, 2.1]),
        ("repetition_penalty", [0.1, 2], [0, 2.1]),
        ("logprobs", [True, False], [1, 0, "true"]),
        ("stop", ["a", ["a", "b"]], ["", [], ["a", ""], [1], 5]),
        ("logit_bias", [{"5": 100}], [{"5": 101}, {"5": math.nan}, {-1: 0}, [5]]),
        ("provider", [{"order": ["a"]}], ["a", ["a"], {1: 2}, {"x": math.nan}, {"x": object()}]),
        ("tools", [[{"type": "function"}]], [{}, "x", ["x"]]),
        ("session_id", ["a" * 256], ["a" * 257, ""]),
        ("seed", [0, 2**63 - 1], [-1, 0.0, True, 2**63]),
        ("max_concurrency", [1, 512], [0, -1, 1.5, 10_001]),
        ("max_retries", [0, 100], [-1, 1.5]),
        ("timeout", [0.1, 1200], [0, -1, math.inf, math.nan, True]),
        ("requests_per_minute", [60, 0.5], [0, -1, math.nan, "60"]),
        ("tokens_per_minute", [1000], [0, -5]),
        ("max_cost", [0, 1.5], [-1, math.inf, math.nan]),
        ("max_total_tokens", [0, 5], [-1, 1.5]),
        ("on_error", ["raise", "keep"], ["ignore", True]),
        ("worker_affinity", ["one-cpu"], ["two-cpu", True]),
        ("use_cache", [True, False, "sql"], ["", 1, 0, object(), dict]),
        ("cache_dir", ["x", Path("y")], ["", " ", 5, b"x", "a\0b"]),
        ("limiter", ["adaptive"], ["", 5, object()]),
        ("executor", ["threads"], [object(), 5]),
        ("template", ["think-tags"], [object(), 5, ""]),
        ("progress", ["tqdm", print], [5, ""]),
        ("transforms", [[], ["a", ("b", {"k": 1}), len]], ["a", len, [5], [("a", 5)], 5]),
        ("plugins", [[], [math]], [math, "web", [None], ["web"], [dict], [{"id": "web"}]]),
        ("model", ["a/b:free", "x"], ["", " ", "a\nb", "../x", "a/../b", "a\\..\\b", "a\ud800", 5, " a"]),
        ("service", ["lab"], ["", "a\nb"]),
        ("system", ["be short"], ["", 5]),
        ("progress_bar", [True, False], [1, "no"]),
    ],
)
def test_ranges_and_types(name, good, bad):
    for value in good:
        make_settings(**{"model": MODEL, name: value})
    for value in bad:
        with pytest.raises(ConfigError, match=name) as caught:
            make_settings(**{"model": MODEL, name: value})
        assert isinstance(caught.value, ValueError)


def test_numpy_numbers_become_plain_ones():
    s = settings(temperature=numpy.float64(0.5), max_tokens=numpy.int64(7), reasoning={"max_tokens": numpy.int32(9)})
    assert type(s.temperature) is float
    assert type(s.max_tokens) is int
    assert type(s.reasoning["max_tokens"]) is int
    assert settings(temperature=Fraction(1, 2)).temperature == 0.5


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.binary()))
def test_any_value_of_any_setting_is_taken_or_refused_with_our_own_error(value):
    for name in SETTINGS:
        with contextlib.suppress(ConfigError):
            make_settings(**{"model": MODEL, name: value})


def test_a_model_must_be_given():
    with pytest.raises(ConfigError, match="model="):
        make_settings(temperature=1)


# ── One call ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_override_takes_effect_and_leaves_the_client_alone():
    client = settings(temperature=0.7, use_cache="json")
    call = client.override(temperature=1, use_cache="sql", api_key="other", requests_per_minute=6)
    assert (call.temperature, call.use_cache, call.api_key.reveal(), call.requests_per_minute) == (1, "sql", "other", 6)
    assert (client.temperature, client.use_cache, client.api_key) == (0.7, "json", None)


def test_none_takes_back_what_the_client_has():
    call = settings(top_p=0.9, requests_per_minute=5, use_cache=False).override(
        top_p=None, requests_per_minute=None, use_cache=None
    )
    assert dict(call.given_sampling) == {}
    assert call.requests_per_minute is None
    assert call.use_cache == "json"


def test_an_override_without_settings_is_the_same_object():
    client = settings()
    assert client.override() is client


def test_the_model_cannot_be_taken_back():
    with pytest.raises(ConfigError, match="model="):
        settings().override(model=None)


@pytest.mark.parametrize("given", [{"plugins": [math]}, {"executor": "threads"}, {"executor_options": {}}])
def test_what_belongs_to_the_client_cannot_be_given_to_a_call(given):
    with pytest.raises(ConfigError, match="RolloutsClient"):
        settings().override(**given)


def test_an_override_is_checked_like_a_client():
    with pytest.raises(ConfigError, match="temperature"):
        settings().override(temperature=9)
    with pytest.raises(UnknownSetting, match="temperature"):
        settings().override(temprature=1)


def test_use_cache_true_is_json():
    assert settings(use_cache=True).use_cache == "json"


def test_later_changes_of_a_given_dictionary_change_nothing():
    provider = {"order": ["a"]}
    s = settings(provider=provider)
    provider["order"].append("b")
    assert s.provider == {"order": ["a"]}


def test_settings_are_frozen_and_their_defaults_cannot_be_spoilt():
    s = settings()
    with pytest.raises(AttributeError, match="frozen"):
        s.temperature = 1
    s.cache_options["backend"] = "redis"
    assert settings().cache_options == {}


def test_an_attribute_that_is_no_setting_is_an_attribute_error():
    with pytest.raises(AttributeError, match="temprature"):
        _ = settings().temprature


def test_a_home_directory_is_expanded():
    assert settings(cache_dir="~/x").cache_dir == Path.home() / "x"


# ── Contradictions ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 1, "extra_body": {"temperature": 0.5}},
        {"top_logprobs": 5},
        {"top_logprobs": 5, "logprobs": False},
        {"reasoning": {"effort": "low"}, "reasoning_effort": "high"},
        {"max_tokens": 5, "max_completion_tokens": 6},
    ],
)
def test_contradictions_are_refused(given):
    with pytest.raises(ConfigError):
        settings(**given)


def test_a_contradiction_between_client_and_call_is_refused():
    with pytest.raises(ConfigError, match="extra_body"):
        settings(extra_body={"temperature": 0.5}).override(temperature=1)


def test_agreement_said_twice_is_taken():
    settings(temperature=1, extra_body={"temperature": 1.0})
    settings(reasoning={"effort": "low"}, reasoning_effort="low")


# ── What passes through ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("field", ["seed", "n", "stream", "messages", "model", "prompt", "api_key", "Authorization"])
def test_fields_that_are_ours_or_secret_are_refused_in_extra_body(field):
    with pytest.raises(ConfigError, match=field) as caught:
        settings(extra_body={field: "sk-very-secret"})
    assert "sk-very-secret" not in str(caught.value)


def test_what_we_do_not_know_passes_in_extra_body():
    body = {"plugins": [{"id": "context-compression", "enabled": False}], "typical_p": 0.9}
    assert settings(extra_body=body).extra_body == body


@pytest.mark.parametrize(
    "header",
    ["Authorization", "x-api-key", "API-Key", "api_key", "Proxy-Authorization", "Cookie", "x-goog-api-key",
     "X-Auth-Token", "CF-Access-Client-Secret"],
)  # fmt: skip
def test_credentials_are_refused_in_extra_headers(header):
    with pytest.raises(ConfigError, match="api_key=") as caught:
        settings(extra_headers={header: "sk-very-secret"})
    assert "sk-very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b\r\nX-C: d"}, {"X-A": "b\n"}, {"X A": "b"}, {"": "b"}, {"X-A:": "b"}, {"X-A": 5}, {5: "x"}, {"X-A": "Ω"},
     {"Content-Length": "5"}, {"Host": "x"}, {"X-A": "1", "x-a": "2"}, ["X-A"], {"X-A\n": "b"}, {"X-A": "\ud800"}],
)  # fmt: skip
def test_headers_that_cannot_be_sent_are_refused(headers):
    with pytest.raises(ConfigError):
        settings(extra_headers=headers)


def test_ordinary_headers_pass():
    headers = {"HTTP-Referer": "https://example.org", "X-Title": "naïve study", "X-Author": "me"}
    assert settings(extra_headers=headers).extra_headers == headers


# ── Secrets and URLs ────────────────────────────────────────────────────────────────────────────────────


def test_no_key_in_repr_str_format_pickle_or_error():
    s = settings(api_key="sk-very-secret", base_url="http://127.0.0.1:1/v1/")
    assert "sk-very-secret" not in f"{s!r} {s} {s.api_key} {s.api_key!r} {s.api_key!s}"
    assert "http://127.0.0.1:1/v1" in repr(s)
    assert b"sk-very-secret" not in pickle.dumps(settings(api_key="sk-very-secret"))
    assert pickle.loads(pickle.dumps(settings(api_key="k", temperature=1))) == settings(temperature=1)
    assert s.api_key.reveal() == "sk-very-secret"


HELD = "hunter2"
SECRET_OPTIONS = [
    {"password": HELD},
    {"auth_token": HELD, "port": 7},
    {"aws_secret_access_key": HELD},
    {"apiKey": HELD},
    {"credentials": {"user": "me", "pass": HELD}},
    {"url": f"postgresql://me:{HELD}@host/db"},
    {"url": f"postgresql://host/db?sslpassword={HELD}"},
    {"nodes": [f"redis://:{HELD}@one", "redis://two"]},
    {"url": f"redis://:a/{HELD}@host"},
    {"authtoken": HELD, "dbpassword": HELD, "secretkey": HELD},
    {"keys": [HELD], "api_keys": [HELD], "tokens": HELD},
    {"password": {"value": HELD}, "passwords": {"author": HELD}},
    {"headers": [("Authorization", HELD), ("Accept", "json")]},
    {"dsn": f"host=db password={HELD}"},
]


@pytest.mark.parametrize("options", SECRET_OPTIONS, ids=str)
@pytest.mark.parametrize("setting", ["cache_options", "limiter_options", "adapter_options", "executor_options"])
def test_secrets_among_options_reach_the_plugin_and_stand_in_no_repr_and_no_pickle(setting, options):
    s = settings(**{setting: options})
    kept = getattr(s, setting)

    assert kept == options == copy.deepcopy(kept) == copy.copy(kept)
    for shown in (repr(s), repr(CacheOptions(Path("x"), kept)), repr({"values": dict(s.given)})):
        assert HELD not in shown
    assert HELD.encode() not in pickle.dumps(s)
    assert pickle.loads(pickle.dumps(kept)).with_secrets(kept.secrets()) == options


def test_options_that_are_no_secrets_are_shown_and_pickled():
    options = {
        "url": "postgresql://me@host/db",
        "max_tokens": 5,
        "tokenizer": "x",
        "key": 7,
        "author": "me",
        "key_prefix": "p",
        "depth": {"a": [1, None]},
    }
    kept = settings(cache_options=options).cache_options

    assert repr(kept) == repr({**options, "url": "postgresql://host/db"})
    assert pickle.loads(pickle.dumps(kept)) == options
    assert kept.secrets() == {}


def test_a_key_itself_is_never_pickled_but_copied():
    key = Secret("sk-very-secret")
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)
    assert copy.deepcopy(key) == key == copy.copy(key)
    assert key != Secret("other")


@pytest.mark.parametrize("key", ["", "  ", "\n", "sk very-secret", "sk-very-secret\nX: y", "sk-very-secret–", 5, b"k"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key):
    with pytest.raises(ConfigError, match="api_key") as caught:
        settings(api_key=key)
    assert "very-secret" not in str(caught.value)


def test_the_line_break_of_a_key_file_is_dropped():
    assert settings(api_key="sk-1\n").api_key.reveal() == "sk-1"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "https://api.example.org/v1/", "http://[::1]:80/v1"])
def test_base_urls_lose_only_their_last_slash(url):
    assert settings(base_url=url).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "api.example.org/v1", "ftp://x/v1", "http://", "http://x:99999/v1", "http://x:y/v1", "http://a b/v1", 5,
     "http://[::1/v1", "file:///etc/passwd", "http://user:sk-very-secret@:80/v1", "user:sk-very-secret@host"],
)  # fmt: skip
def test_what_is_no_http_url_is_refused_without_showing_a_password(url):
    with pytest.raises(ConfigError, match="base_url") as caught:
        settings(base_url=url)
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("http://user:sk-very-secret@127.0.0.1:1/v1", "api_key"),
        ("https://sk-very-secret@api.example.org/v1", "api_key"),
        ("https://@api.example.org/v1", "api_key"),
        ("https://api.example.org/v1?key=sk-very-secret", "extra_body"),
        ("https://api.example.org/v1#sk-very-secret", "extra_body"),
    ],
)
def test_a_base_url_with_more_than_an_address_is_refused_and_told_where_that_belongs(url, instead):
    with pytest.raises(ConfigError, match="base_url") as caught:
        settings(base_url=url)
    assert "very-secret" not in str(caught.value)
    assert instead in str(caught.value)


def test_an_adapter_sees_what_was_given():
    template = object()
    seen = settings(temperature=1, extra_headers={"X-A": "b"}).for_adapter(model="m", template=template)
    assert (seen.model, dict(seen.sampling), seen.template) == ("m", {"temperature": 1}, template)
    assert (seen.extra_body, seen.extra_headers, seen.require_prefill) == ({}, {"X-A": "b"}, False)
