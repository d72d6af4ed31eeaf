"""The rules that every adapter keeps.

class TestMine(AdapterContract):
    def make(self, options):
        return Mine(options)

One whose service answers otherwise than the OpenAI chat API says so in `answer`. Nothing is sent.
"""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from rollouts.exceptions import ConfigError, PrefillUnsupported, ProviderError
from rollouts.identity import SampleRequest, canonical
from rollouts.results import Response
from rollouts.testing.contracts.cache import PlainTemplate
from rollouts.testing.replies import chat_reply
from rollouts.typing import (
    AdapterOptions,
    Conversation,
    Outcome,
    ProviderAdapter,
    ThinkTemplate,
    WireReply,
    WireRequest,
)

__all__ = ["AdapterContract", "ContractSettings"]

_TEXT = 'What is "2 + 2"? 四 🙂 \\ \n\t</think>'

_STRANGE = (
    *(b"", b"{", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff"),
    *(b'{"choices": []}', b'{"choices": [null]}', b'{"choices": {"a": 1}}', b'{"choices": [{"message": {}}]}'),
    b'{"content": 5}',
)


@dataclass(frozen=True, slots=True)
class ContractSettings:
    """The `Settings` that an adapter is given in its contract."""

    model: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    template: ThinkTemplate = field(default_factory=PlainTemplate)
    require_prefill: bool = False


class AdapterContract:
    """Subclass with `make`."""

    base_url: ClassVar[str] = "http://127.0.0.1:9/v1"
    model: ClassVar[str] = "test/model"
    options: ClassVar[Mapping[str, Any]] = {}
    """The `adapter_options` to test with."""
    sampling: ClassVar[Mapping[str, Any]] = {}
    """Settings without which this service takes no request."""

    def make(self, options: AdapterOptions) -> ProviderAdapter:
        """The adapter under test."""
        raise NotImplementedError

    def answer(self, text: str) -> WireReply:
        """How the service says `text`."""
        return _reply(chat_reply(text, reasoning=None))

    def _make(self) -> ProviderAdapter:
        return self.make(AdapterOptions(self.base_url, self.options))

    def _settings(self, **changes: Any) -> ContractSettings:
        return replace(ContractSettings(self.model, self.sampling), **changes)

    def _encode(self, adapter: ProviderAdapter, text: str = "2 + 2?", **changes: Any) -> WireRequest:
        return adapter.encode(Conversation(({"role": "user", "content": text},)), self._settings(**changes))

    def _fingerprint(self, wire: WireRequest) -> str:
        return SampleRequest(adapter="contract", service="contract", model=self.model, wire=wire).fingerprint

    # ── Encoding ──

    def test_fits_the_protocol(self) -> None:
        """It has `encode` and `decode`; what it has of the optional methods can be called."""
        adapter = self._make()
        assert isinstance(adapter, ProviderAdapter)
        for name in ("classify", "open", "close", "url", "send"):
            assert callable(getattr(adapter, name, len)), name
        assert isinstance(getattr(adapter, "service", None), str | None)

    def test_encodes_json_without_seed_and_key(self) -> None:
        """The body is the identity: only what decides the answer, and the number goes in later."""
        wire = self._encode(self._make())
        assert isinstance(wire, WireRequest)
        canonical(wire.body)
        assert wire.seed_field is None or (wire.seed_field and wire.seed_field not in wire.body)
        assert not any(name.lower() in ("authorization", "x-api-key", "api-key") for name in wire.headers)
        assert wire.endpoint
        assert "?" not in wire.url

    def test_what_is_encoded_is_the_same_each_time(self) -> None:
        """Also by another adapter with the same options, and for other models in between."""
        adapter = self._make()
        first = self._fingerprint(self._encode(adapter))
        self._encode(adapter, "another question")
        assert self._fingerprint(self._encode(adapter)) == first
        assert self._fingerprint(self._encode(self._make())) == first

    def test_the_prompt_is_sent_to_the_byte(self) -> None:
        """Nothing is trimmed or escaped twice."""
        assert _TEXT in _texts(self._encode(self._make(), _TEXT).body)

    def test_whatever_differs_is_another_request(self) -> None:
        """Prompt, model and each setting that the service takes."""
        adapter = self._make()
        wires = [self._encode(adapter), self._encode(adapter, "2 + 2 ?"), self._encode(adapter, model="test/other")]
        for setting in ({"temperature": 0.5}, {"max_tokens": 7}, {"top_p": 0.5}, {"stop": ["."]}):
            try:
                wires.append(self._encode(adapter, sampling={**self.sampling, **setting}))
            except ConfigError:
                continue  # a setting that this service does not take is refused, never dropped
        wires.append(self._encode(adapter, extra_body={"a_field_of_tomorrow": [1]}))
        assert len({self._fingerprint(wire) for wire in wires}) == len(wires)

    def test_what_nobody_thought_of_is_passed_through(self) -> None:
        """`extra_body` reaches the service as it is."""
        wire = self._encode(self._make(), extra_body={"a_field_of_tomorrow": {"x": [1, None]}})
        assert wire.body["a_field_of_tomorrow"] == {"x": [1, None]}

    def test_what_is_not_given_is_not_sent(self) -> None:
        """The service's own defaults hold."""
        body = self._encode(self._make()).body
        for name in ("temperature", "top_p", "top_k", "max_tokens", "stop", "reasoning", "provider", "logprobs"):
            assert name in self.sampling or name not in body, name

    def test_leaves_what_it_is_given_as_it_is(self) -> None:
        """Messages and settings are the caller's."""
        conversation = Conversation(({"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]},))
        settings = self._settings(extra_body={"a": {"b": 1}})
        before = copy.deepcopy((conversation, settings.extra_body, dict(settings.sampling)))
        self._make().encode(conversation, settings)
        assert (conversation, settings.extra_body, dict(settings.sampling)) == before

    def test_a_prefill_is_sent_or_refused_and_never_dropped(self) -> None:
        """A service that cannot go on from it raises `PrefillUnsupported` (or `ConfigError`), and nothing is sent."""
        adapter = self._make()
        for prefill, thought in (("The answer is", None), ("<think>\nTwo and", "Two and")):
            conversation = Conversation(({"role": "user", "content": "2 + 2?"},), prefill, thought)
            try:
                wire = adapter.encode(conversation, self._settings())
            except (PrefillUnsupported, ConfigError):
                continue
            assert (thought or prefill) in _texts(wire.body)
            assert wire.conversation.prefill == prefill

    def test_many_threads_may_encode_at_once(self) -> None:
        """One adapter serves all calls of a client."""
        adapter = self._make()
        expected = [self._fingerprint(self._encode(adapter, f"{n} + 2?")) for n in range(8)]
        seen: dict[int, str] = {}

        def work(n: int) -> None:
            for _ in range(10):
                seen[n] = self._fingerprint(self._encode(adapter, f"{n} + 2?"))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [seen[n] for n in range(8)] == expected

    # ── Decoding ──

    def test_reads_an_answer_to_the_byte(self) -> None:
        """Content, and no reasoning where there was none; unknown usage is None."""
        adapter = self._make()
        for text in ("Four.", " \n四 🙂 <b> \\ ", "x" * 50_000):
            response = adapter.decode(self._encode(adapter), self.answer(text))
            assert isinstance(response, Response)
            assert response.content == text
            assert response.reasoning is None
            assert isinstance(response.usage.cost, float | int | None)

    def test_an_answer_is_no_error(self) -> None:
        """`classify` leaves an answer to the common rules, or calls it one."""
        adapter = self._make()
        outcome = _classified(adapter, self.answer("Four."))
        assert outcome is None or outcome.is_answer

    def test_errors_are_not_taken_for_answers(self) -> None:
        """Whatever a gateway says with an error's status."""
        adapter = self._make()
        for status in (400, 401, 402, 403, 404, 408, 429, 500, 502, 503, 529):
            for body in (b"", b"null", b"[]", b"<html>", b'{"error": {"message": "no", "code": %d}}' % status):
                outcome = _classified(adapter, WireReply(status, {}, body))
                assert outcome is None or not outcome.is_answer, (status, body)

    def test_a_body_of_another_shape_is_malformed_and_never_a_crash(self) -> None:
        """A `ProviderError` is asked again or told; any other exception would end the run."""
        adapter = self._make()
        wire = self._encode(adapter)
        for body in _STRANGE:
            reply = WireReply(200, {}, body)
            outcome = _classified(adapter, reply)
            if outcome is not None and not outcome.is_answer:
                continue
            try:
                response = adapter.decode(wire, reply)
            except ProviderError:
                continue
            assert isinstance(response, Response), body

    # ── Life ──

    def test_shows_no_secret_and_can_be_closed_twice(self) -> None:
        """A user and password in a base URL stay out of its repr; closing what was not opened is fine."""
        adapter = self._make()
        assert isinstance(repr(adapter), str)
        close = getattr(adapter, "close", None)
        if close is not None:
            close()
            close()


def _classified(adapter: ProviderAdapter, reply: WireReply) -> Outcome | None:
    classify = getattr(adapter, "classify", None)
    outcome = None if classify is None else classify(reply)
    assert outcome is None or isinstance(outcome, Outcome)
    if outcome is not None:
        pickle.dumps(outcome)  # verdicts cross processes
    return outcome


def _reply(body: Any) -> WireReply:
    return WireReply(200, {"content-type": "application/json"}, json.dumps(body).encode())


def _texts(value: Any) -> str:
    """Every text in a JSON value, in order."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\0".join(_texts(item) for item in value.values())
    if isinstance(value, list | tuple):
        return "\0".join(_texts(item) for item in value)
    return ""
