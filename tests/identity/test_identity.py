"""Identity: whatever decides the answer changes the fingerprint, and nothing else does."""

import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollouts.exceptions import ConfigError
from rollouts.identity import SampleKey, canonical
from rollouts.testing.contracts.cache import sample_request

# Any text at all, lone surrogates included.
texts = st.text(st.characters(), max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
bodies = st.dictionaries(texts.filter(lambda name: name not in ("model", "messages")), values, max_size=5)
images = st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": texts})})
tools = st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": texts, "content": texts})
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system"]), "content": texts | st.lists(images, max_size=2)}
    )
    | tools,
    max_size=4,
)


def shuffled(value):
    """Equal JSON, spelt otherwise: keys in the opposite order, whole numbers as floats, lists as tuples."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return tuple(map(shuffled, value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53:
        return float(value)
    return value


def places(value, path=()):
    """The path of every value inside `value`."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed_at(value, path, new):
    value = copy.deepcopy(value)
    if not path:
        return new
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return value


@given(bodies, messages)
def test_spelling_makes_no_difference(body, talk):
    body = {**body, "messages": talk}
    one, two = sample_request(body=body), sample_request(body=shuffled(body))
    assert (one.fingerprint, one.prompt_digest, one.parameters_digest) == (
        two.fingerprint,
        two.prompt_digest,
        two.parameters_digest,
    )
    assert one == two
    assert hash(one) == hash(two)


@settings(max_examples=300)
@given(st.data(), bodies, messages, values)
def test_a_change_anywhere_in_the_body_changes_the_fingerprint(data, body, talk, new):
    body = {**body, "messages": talk}
    path = data.draw(st.sampled_from([path for path in places(body) if path]))
    other = changed_at(body, path, new)
    same = canonical(other) == canonical(body)
    assert (sample_request(body=other) == sample_request(body=body)) is same
    # What is a change is told without our own canonical form, too.
    if json.dumps(other) == json.dumps(body):
        assert same
    if not same:
        part = "prompt_digest" if path[0] == "messages" else "parameters_digest"
        assert getattr(sample_request(body=other), part) != getattr(sample_request(body=body), part)


@given(bodies, texts.filter(lambda name: name not in ("model", "messages")), values)
def test_a_field_nobody_thought_of_changes_the_fingerprint(body, name, value):
    without = {key: item for key, item in body.items() if key != name}
    assert sample_request(body=without) != sample_request(body={**without, name: value})


@pytest.mark.parametrize(
    "other",
    [
        {"adapter": "x"},
        {"service": "https://x.invalid"},
        {"model": "maker/MODEL"},
        {"headers": {"x": "y"}},
        {"prompt": ""},
        {"prefill": ""},
    ],
    ids=lambda other: next(iter(other)),
)
def test_everything_beside_the_body_decides_too(other):
    assert sample_request(**other).fingerprint != sample_request().fingerprint


def test_the_case_of_a_header_name_makes_no_difference_and_that_of_its_value_does():
    assert sample_request(headers={"X-A": "v"}) == sample_request(headers={"x-a": "v"})
    assert sample_request(headers={"X-A": "v"}) != sample_request(headers={"X-A": "V"})


@pytest.mark.parametrize(
    ("one", "two"), [(0, False), (1, True), (0, None), ("1", 1), (0.1 + 0.2, 0.3), (2**53 + 1, 2.0**53)]
)
def test_values_that_python_or_json_mix_up_are_kept_apart(one, two):
    assert sample_request(body={"x": one}) != sample_request(body={"x": two})


def test_negative_zero_is_zero():
    assert sample_request(body={"x": -0.0}) == sample_request(body={"x": 0})


@pytest.mark.parametrize("prompt", ["", " ", "é", "e\u0301", "\ud83d", "x" * 1_000_000, "\x00", "\u2028"])
def test_prompts_of_every_kind_have_a_fingerprint_of_their_own(prompt):
    others = {
        sample_request(p).fingerprint
        for p in ("", " ", "é", "e\u0301", "\ud83d", "\ude42", "\x00", "\u2028")
        if p != prompt
    }
    assert sample_request(prompt).fingerprint not in others
    assert len(sample_request(prompt).fingerprint) == 64


@pytest.mark.parametrize("bad", [math.nan, math.inf, b"bytes", {1: 2}, {"set"}])
def test_what_json_has_not_is_refused_with_its_place(bad):
    with pytest.raises(ConfigError, match=r"\$\.body\.outer\[1\]"):
        sample_request(body={"outer": [0, bad]})


def test_the_fingerprint_is_the_same_for_ever():
    # A change here makes every cache that exists miss: raise IDENTITY_VERSION and read both.
    request = sample_request("Hé \ud83d", body={"temperature": 1.0, "stop": ["a"]}, headers={"X-A": "1"})
    assert request.fingerprint == "b0678979986e596c51e38a97d1d2aadabcf1a5c05527f17c239ceb85bec449d0"


def test_a_sample_is_its_request_and_its_number():
    request = sample_request()
    assert len({SampleKey(request, 0), SampleKey(sample_request(), 0), SampleKey(request, 1)}) == 2


def test_the_document_is_not_shared_with_the_caller():
    body = {"temperature": 1, "stop": ["a"]}
    request = sample_request(body=body)
    before = request.canonical
    body["stop"].append("b")
    assert canonical(request.document) == before
