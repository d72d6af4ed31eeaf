"""Speaks to the llama.cpp server on this machine. Knows nothing of HTTP: rollouts sends what is encoded here."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rollouts.exceptions import ConfigError, MalformedResponse, UnknownSetting
from rollouts.results import Response, Usage
from rollouts.typing import AdapterOptions, Conversation, Outcome, Parts, Settings, WireReply, WireRequest
from rollouts_local import weights
from rollouts_local.server import Lease, ServerConfig

WAYS = ("assistant", "reasoning", "completion")
"""Ways of continuing a begun turn that llama.cpp offers: a trailing assistant message; the thought in that message's
own reasoning field; a prompt that is rendered here, for the shipped model alone, whose layout is known."""

_FLAGS = {"continue_final_message": "reasoning_content", "add_generation_prompt": False}
_SYSTEM = {"role": "system", "content": "You are a helpful AI assistant named SmolLM, trained by Hugging Face"}
"""What SmolLM2's own chat template puts first where no system message is given."""

_FIELDS = {
    name: name
    for name in (
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "presence_penalty",
        "frequency_penalty", "stop", "logit_bias", "logprobs", "top_logprobs", "response_format",
    )
} | {"repetition_penalty": "repeat_penalty"}  # fmt: skip
"""Sampling settings that llama.cpp heeds, and its names for them. It ignores silently what it does not know."""

_NUMBERS = ("slots", "context", "threads")


class LocalAdapter:
    """One local model: the shipped one, or a GGUF file of the user's (`adapter_options={"path": …}`)."""

    supports_logprobs = True
    ways = WAYS
    direct = True

    def __init__(self, options: AdapterOptions) -> None:
        """Check the options; touches no weights and starts nothing.

        Args:
            options: `adapter_options` may hold `path`, `slots` (8), `context` (2048 tokens per slot), `threads` (1),
                and `continuation`, one of `ways`.

        Raises:
            UnknownSetting: An option that there is not.
            ConfigError: A value that cannot be, or a base URL.
        """
        if options.base_url:
            raise ConfigError(
                f"adapter='local' starts its own server and has no base_url (got {options.base_url}). "
                "For a server that runs already use adapter='openai-compatible'."
            )
        self._path, self._numbers = _checked(options.options)
        self._way: str = options.options.get("continuation", WAYS[0])
        if self._way not in WAYS:
            raise ConfigError(f"adapter_options['continuation'] is {self._way!r}: it is one of {', '.join(WAYS)}.")
        self._service: str | None = None
        self._alias = weights.SMOLLM2.model
        self._lease: Lease | None = None
        self._lock = threading.Lock()

    @property
    def service(self) -> str:
        """`local:` and the SHA-256 of the weights: the same file is the same service, whatever the port.

        Not asked for where the client is given `service=`: a study is replayed so on a machine without the file.

        Raises:
            ConfigError: The file of one's own is not there.
        """
        if self._service is None:
            path = self._own_file()
            digest = weights.SMOLLM2.sha256 if path is None else weights.file_sha256(path)
            self._service = f"local:{digest}"
        return self._service

    def _own_file(self) -> Path | None:
        if self._path is not None and not self._path.is_file():
            raise ConfigError(
                f"adapter_options['path']: there is no file {self._path}. To replay from a cache without it give the "
                "service= that stands with the samples (`rollouts cache show`), and offline=True."
            )
        return self._path

    def encode(self, conversation: Conversation, settings: Settings) -> WireRequest:
        """Build the chat request; a prefill is a trailing assistant message, which llama.cpp continues.

        Raises:
            ConfigError: An unknown model, or a setting that llama.cpp would ignore.
        """
        model = settings.model.removeprefix("local/")
        if self._path is None:
            weights.known(model)
        body: dict[str, Any] = {"model": model, **self._turns(conversation)}
        for name, value in settings.sampling.items():
            if name not in _FIELDS:
                raise ConfigError(
                    f"{name} has no meaning for a local model: leave it out. llama.cpp takes {', '.join(_FIELDS)}; "
                    "what else it knows can be given in extra_body."
                )
            body[_FIELDS[name]] = value
        for name in ("n", "stream"):
            if settings.extra_body.get(name):
                raise ConfigError(f"extra_body has {name!r}: one request is one whole answer. Use n_samples.")
        body.update(settings.extra_body)
        return WireRequest(
            url="",
            endpoint="completions" if "prompt" in body else "chat/completions",
            body=body,
            seed_field="seed",
            conversation=conversation,
            template=settings.template,
        )

    def _turns(self, conversation: Conversation) -> dict[str, Any]:
        """The messages, or the rendered prompt, and what the way of continuing needs."""
        messages = [dict(message) for message in conversation.messages]
        prefill, thought = conversation.prefill, conversation.thought
        if not prefill:
            return {"messages": messages}
        if self._way == "completion":
            return {"prompt": self._rendered(messages) + prefill}
        turn = {**conversation.partial, "role": "assistant", "content": prefill}
        # A prefill that goes beyond the thought, or has none, is no reasoning.
        if self._way == "reasoning" and thought is not None and prefill.endswith(thought):
            return {"messages": [*messages, turn | {"content": "", "reasoning_content": thought}], **_FLAGS}
        return {"messages": [*messages, turn]}

    def _rendered(self, messages: list[dict[str, Any]]) -> str:
        """The turns in the shipped model's layout (ChatML).

        Raises:
            ConfigError: Another model, or a message that holds more than text.
        """
        if self._path is not None:
            raise ConfigError(
                f"how the model in {self._path.name} lays out its prompt is not known: continue by 'assistant'."
            )
        if not all(isinstance(message.get("content"), str) for message in messages):
            raise ConfigError("a message without plain text cannot be rendered: continue by 'assistant'.")
        first = [] if messages[0]["role"] == "system" else [_SYSTEM]
        turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in [*first, *messages])
        return "".join(turns) + "<|im_start|>assistant\n"

    def open(self) -> None:
        """Fetch the weights where they are missing, and start the server or join the one that runs.

        Raises:
            ConfigError: The file of one's own is not there.
            PluginError: The weights cannot be had, or the server does not start.
        """
        with self._lock:
            if self._lease is None:
                path = self._own_file() or weights.ensure(weights.SMOLLM2)
                alias = self._path.stem if self._path else self._alias
                self._lease = Lease(ServerConfig(str(path), alias, **self._numbers))

    def url(self, request: WireRequest) -> str:
        """Where `request` goes; the port is known once the server runs."""
        self.open()
        with self._lock:
            assert self._lease is not None
            return f"{self._lease.url()}/v1/{request.endpoint}"

    def close(self) -> None:
        """Give the server back; the last client stops it. May be called twice."""
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def classify(self, reply: WireReply) -> Outcome | None:
        """An answer that the model ended at once is an answer here: the same seed would give it again."""
        if reply.status != 200:
            return None
        try:
            choice = reply.json()["choices"][0]
            ended_at_once = _text(choice) == "" and choice["finish_reason"] == "stop"
        except (ValueError, LookupError, TypeError):
            return None
        return Outcome("ok", status=200) if ended_at_once else None

    def decode(self, request: WireRequest, reply: WireReply) -> Response:
        """Read an answer, without the prefill that llama.cpp repeats before it.

        Raises:
            MalformedResponse: The body is not a chat completion.
        """
        try:
            body = reply.json()
            choice = body["choices"][0]
            text = _text(choice)
            usage = body.get("usage") or {}
            if not isinstance(text, str):
                raise TypeError("content is not a text")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedResponse(
                f"The local server's answer is no chat completion ({type(error).__name__}: {error}).",
                status=reply.status,
            ) from None
        prefill = request.conversation.prefill or None
        echoed = prefill is not None and text.startswith(prefill)
        if prefill is not None and echoed:
            text = text[len(prefill) :]
        parts = request.template.split(text, prefill)
        apart = (choice.get("message") or {}).get("reasoning_content")
        if apart and parts.reasoning is None:
            parts = Parts(apart.removeprefix(request.conversation.thought or ""), text, bool(text))
        return Response(
            content=parts.content,
            reasoning=parts.reasoning,
            completed_reasoning=None if parts.reasoning is None else parts.completed,
            reasoning_kind=None if parts.reasoning is None else "text",
            finish_reason=choice.get("finish_reason"),
            native_finish_reason=choice.get("finish_reason"),
            provider="local",
            model=body.get("model"),
            response_id=body.get("id"),
            created=body.get("created"),
            usage=_usage(usage),
            logprobs=choice.get("logprobs"),
            tool_calls=(choice.get("message") or {}).get("tool_calls"),
            system_fingerprint=body.get("system_fingerprint"),
            continued="yes" if echoed else None,
            continued_reason="the server repeated the prefill and went on from it" if echoed else None,
            latency=reply.latency,
            prefill=request.conversation.prefill,
            injected=request.conversation.thought,
            raw_source=reply.body,
        )


def _text(choice: Mapping[str, Any]) -> Any:
    """What was written: by the chat endpoint, or by the one for rendered prompts."""
    return choice["message"]["content"] if "message" in choice else choice["text"]


def _usage(stated: Mapping[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=stated.get("prompt_tokens"),
        completion_tokens=stated.get("completion_tokens"),
        total_tokens=stated.get("total_tokens"),
        cached_tokens=(stated.get("prompt_tokens_details") or {}).get("cached_tokens"),
    )


def _checked(options: Mapping[str, Any]) -> tuple[Path | None, dict[str, int]]:
    known = ("path", "continuation", *_NUMBERS)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
            raise UnknownSetting(f"adapter_options of 'local' has no {name!r}.{hint}")
    numbers = {name: options[name] for name in _NUMBERS if name in options}
    for name, value in numbers.items():
        if type(value) is not int or value < 1:
            raise ConfigError(f"adapter_options[{name!r}] is {value!r}: give a whole number of at least 1.")
    if options.get("path") is None:
        return None, numbers
    return Path(options["path"]).expanduser().absolute(), numbers
