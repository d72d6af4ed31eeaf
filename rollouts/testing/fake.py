"""A fake service inside the process: scripted answers, delays and faults. Opens no socket and reads no clock.

    fake = FakeAdapter(["Four.", Reply(status=429), "4"])
    client = RolloutsClient("fake/model", plugins=[fake])

It is a plugin object that offers the adapter `fake`, chosen by models named `fake/…`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from rollouts.exceptions import MalformedResponse
from rollouts.hookspecs import hookimpl
from rollouts.results import Response, Usage
from rollouts.testing.replies import Reply, chat_reply
from rollouts.typing import AdapterOptions, AdapterSpec, Conversation, Settings, Stop, WireReply, WireRequest

__all__ = ["FakeAdapter"]

Answer: TypeAlias = str | Reply | BaseException
"""A text (with thought in the template's tags, if any), a whole reply (`status`, `json`, `delay`), or what to raise."""
Script: TypeAlias = Sequence[Answer] | Mapping[int, Answer | Sequence[Answer]] | Callable[[WireRequest, int], Answer]


class FakeAdapter:
    """Answers from a script. Used by many threads at once.

    Attributes:
        asked: Each request with its sample's number, in order of arrival.
        opened: How often it was opened.
        closed: How often it was closed.
    """

    service = "fake"

    def __init__(self, script: Script = ("Four.",), *, delay: float = 0.0) -> None:
        """Answer by `script`.

        Args:
            script: Answers for the requests in order of arrival, over and over; or from a sample's number to its
                answer, or to one for each attempt (the last one stays); or a function of request and number.
            delay: Seconds before each answer; a stop ends the wait.
        """
        self._script = script
        self._delay = delay
        self._lock = threading.Lock()
        self._in_turn = itertools.cycle(script if isinstance(script, Sequence) else ())
        self._attempts: Counter[tuple[int, int]] = Counter()
        self.asked: list[tuple[WireRequest, int]] = []
        self.opened = self.closed = 0

    @hookimpl
    def rollouts_register_adapters(self) -> list[AdapterSpec]:
        """Offer `fake`: this very object, whatever the options."""
        return [AdapterSpec(name="fake", factory=self._itself, description="scripted answers, for tests",
                            key_required=False, model_prefixes=("fake/",), http=False, states_cost=True)]  # fmt: skip

    def _itself(self, options: AdapterOptions) -> FakeAdapter:
        return self

    def encode(self, conversation: Conversation, settings: Settings) -> WireRequest:
        """Messages, the prefill as a trailing turn, and every setting under its own name."""
        messages = list(conversation.messages)
        if conversation.prefill is not None:
            messages.append({"role": "assistant", "content": conversation.prefill, **conversation.partial})
        body = {"model": settings.model, "messages": messages, **settings.sampling, **settings.extra_body}
        return WireRequest("", "chat/completions", body, "seed", conversation, settings.template)

    def send(self, request: WireRequest, number: int, stop: Stop) -> WireReply:
        """The next answer of the script."""
        with self._lock:
            attempt = self._attempts[id(request), number]
            self._attempts[id(request), number] += 1
            self.asked.append((request, number))
            answer = self._answer(request, number, attempt)
        reply = Reply(json=chat_reply(answer, None, id=f"fake-{number}")) if isinstance(answer, str) else answer
        if isinstance(reply, BaseException):
            raise reply
        began = time.monotonic()
        if self._delay or reply.delay:
            stop.wait(self._delay + reply.delay)
        return WireReply(reply.status, {n.lower(): v for n, v in reply.headers.items()}, reply.content(),
                         time.monotonic() - began)  # fmt: skip

    def _answer(self, request: WireRequest, number: int, attempt: int) -> Answer:
        if callable(self._script):
            return self._script(request, number)
        if isinstance(self._script, Sequence):
            return next(self._in_turn)
        answers = self._script[number]
        return answers if isinstance(answers, str | Reply | BaseException) else answers[min(attempt, len(answers) - 1)]

    def decode(self, request: WireRequest, reply: WireReply) -> Response:
        """Read an OpenAI-shaped answer; thought is split off by the template."""
        try:
            body = reply.json()
            (choice,) = body["choices"]
            text, usage = choice["message"]["content"] or "", body.get("usage") or {}
            known = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cost")}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedResponse(f"the fake answer is not OpenAI-shaped: {error!r}", status=reply.status) from None
        conversation = request.conversation
        parts = request.template.split(text, conversation.prefill)
        return Response(
            content=parts.content, reasoning=parts.reasoning,
            completed_reasoning=None if parts.reasoning is None else parts.completed,
            finish_reason=choice.get("finish_reason"), model=body.get("model"), response_id=body.get("id"),
            usage=Usage(**known), prefill=conversation.prefill, injected=conversation.thought,
        )  # fmt: skip

    def open(self) -> None:
        """Count it."""
        self.opened += 1

    def close(self) -> None:
        """Count it."""
        self.closed += 1
