"""The rules that every transform keeps: one suite for those of prompts, one for those of answers.

class TestMine(PromptTransformContract):
    def make(self):
        return my_transform
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace

from rollouts.exceptions import ConfigError
from rollouts.identity import canonical
from rollouts.results import Response
from rollouts.testing.contracts.cache import sample_response
from rollouts.typing import Conversation, PromptTransform, ResponseTransform

__all__ = ["PromptTransformContract", "ResponseTransformContract"]

CONVERSATIONS = (
    Conversation(({"role": "user", "content": "What is 2 + 2?"},)),
    Conversation(({"role": "user", "content": "What is 2 + 2?"},), "<think>\nSo 2", "So 2"),
    Conversation(({"role": "user", "content": "2 + 2?"},), "It is", None, {"name": "solver"}),
    Conversation(({"role": "system", "content": "Be brief."}, {"role": "user", "content": "四 🙂 {x} \\ \r\n"})),
    Conversation(
        (
            {"role": "user", "content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": "A cat.", "tool_calls": [{"id": "1", "type": "function"}]},
            {"role": "user", "content": "Sure?"},
        )
    ),
)


class PromptTransformContract:
    """Subclass with `make`."""

    def make(self) -> PromptTransform:
        """The transform under test."""
        raise NotImplementedError

    def _changed(self) -> Iterator[tuple[Conversation, Conversation]]:
        """Conversations before and after; those that the transform refuses by `ConfigError` are left out."""
        transform, refused = self.make(), 0
        for conversation in CONVERSATIONS:
            try:
                yield conversation, transform(conversation)
            except ConfigError:
                refused += 1
        assert refused < len(CONVERSATIONS), "it refuses every conversation"

    def test_gives_a_conversation_that_can_be_sent(self) -> None:
        """Messages are JSON objects with a role, in a tuple; there is at least one."""
        for _, after in self._changed():
            assert isinstance(after, Conversation)
            assert isinstance(after.messages, tuple)
            assert after.messages
            for message in after.messages:
                assert isinstance(message["role"], str)
            canonical([*after.messages, after.partial, after.prefill])

    def test_leaves_what_it_is_given_as_it_is(self) -> None:
        """The caller's own lists and dictionaries are among it."""
        before = copy.deepcopy(CONVERSATIONS)
        for _ in self._changed():
            pass
        assert before == CONVERSATIONS

    def test_the_same_prompt_is_changed_the_same_way(self) -> None:
        """Or an equal call would not find its samples in the cache."""
        first = [json.dumps(after.messages) for _, after in self._changed()]
        assert [json.dumps(after.messages) for _, after in self._changed()] == first

    def test_a_prompt_without_prefill_gets_none_and_one_with_keeps_one(self) -> None:
        """Whether the model must go on from a text is the caller's to say."""
        for before, after in self._changed():
            assert (after.prefill is None) == (before.prefill is None)
            assert (after.thought is None) == (before.thought is None)


class ResponseTransformContract:
    """Subclass with `make`."""

    def make(self) -> ResponseTransform:
        """The transform under test."""
        raise NotImplementedError

    def _responses(self) -> list[Response]:
        cut = Response(content="", reasoning="So 2", completed_reasoning=False, finish_reason="length", seed=7)
        full = sample_response(3, full=True)
        return [sample_response(1), cut, Response(content=""), full, replace(full, cached=True, index=3, prompt="2+2?")]

    def test_gives_a_response(self) -> None:
        """Whatever is in it: no reasoning, no content, any text."""
        transform = self.make()
        for response in self._responses():
            changed = transform(response)
            assert isinstance(changed, Response)
            assert isinstance(changed.content, str)

    def test_leaves_what_it_is_given_as_it_is(self) -> None:
        """An answer may be shared with another call, and its frozen fields are no reason to reach around."""
        transform = self.make()
        for response, same in zip(self._responses(), self._responses(), strict=True):
            transform(response)
            assert response.to_dict() == same.to_dict()

    def test_a_sample_stays_the_sample_that_it_is(self) -> None:
        """Its number, its place and whether it was asked just now are not the transform's."""
        transform = self.make()
        for response in self._responses():
            changed = transform(response)
            for name in ("seed", "index", "prompt_index", "cached"):
                assert getattr(changed, name) == getattr(response, name), name

    def test_the_same_answer_is_changed_the_same_way(self) -> None:
        """A cached answer looks like the fresh one did."""
        transform = self.make()
        for response in self._responses():
            assert transform(response).to_dict() == transform(response).to_dict()
