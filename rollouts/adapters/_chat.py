"""The adapter for every service that speaks the OpenAI chat API; a `Dialect` says how this one differs.

Knows no service by name and sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollouts.adapters._dialect import Dialect, Way
from rollouts.adapters._errors import classify_prefill
from rollouts.adapters._families import OPENS_THOUGHT, REFUSED, family, matches
from rollouts.adapters._parameters import check_agreement, parameters
from rollouts.adapters._prices import read_prices
from rollouts.adapters._reading import opens_thought
from rollouts.adapters._render import render_for
from rollouts.adapters._reply import read_reply
from rollouts.exceptions import ConfigError, PrefillUnsupported
from rollouts.results import Response
from rollouts.typing import AdapterOptions, Conversation, Outcome, Settings, WireReply, WireRequest

OPTIONS = ("continuation", "chat_template", "think_tag", "allow_prefill")
"""`adapter_options`: the way of continuing; the name of the layout that `completion` renders; `keep` or `strip` the
opening tag of a prefill (strip it where the server's chat template writes one itself); and True to try a prefill on a
family that is known to refuse it."""

_OWN_FIELDS = {
    "messages": "the prompt is the first argument of the call",
    "prompt": "the prompt is the first argument of the call",
    "model": "set `model=`",
    "n": "set `n_samples=`: each sample is a request of its own",
    "stream": "answers are read whole",
}


class ChatAdapter:
    """Speaks the OpenAI chat API in one dialect. Immutable, used by many threads."""

    service: str | None = None

    def __init__(self, dialect: Dialect, options: AdapterOptions) -> None:
        """Take the dialect and the client's `adapter_options`.

        Raises:
            ConfigError: An unknown option, or a way of continuing that the service does not offer.
        """
        self.dialect = dialect
        self.base_url = options.base_url.rstrip("/")
        for name in options.options:
            if name not in OPTIONS:
                raise ConfigError(f"{dialect.title} has no adapter option {name!r}; it has {', '.join(OPTIONS)}.")
        self._forced: Way | None = options.options.get("continuation")
        self._layout: str | None = options.options.get("chat_template")
        self._think_tag: str | None = options.options.get("think_tag")
        if self._think_tag not in (None, "keep", "strip"):
            raise ConfigError(f"adapter_options['think_tag'] is {self._think_tag!r}: it is 'keep' or 'strip'.")
        self._allow_prefill = bool(options.options.get("allow_prefill", False))
        if self._forced is not None and self._forced not in dialect.ways:
            offered = ", ".join(dialect.ways) or "none"
            raise ConfigError(f"{dialect.title} has no way of continuing named {self._forced!r}; it offers: {offered}.")

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways of continuing a partial assistant turn that this service offers, the default first."""
        return self.dialect.ways

    @property
    def supports_logprobs(self) -> bool:
        """True where the service gives log-probabilities that can be relied on."""
        return self.dialect.logprobs != "no"

    @property
    def prices_url(self) -> str | None:
        """Where the service states its prices (`GET`, no key needed at OpenRouter); None where it states none."""
        return None if self.dialect.prices_path is None else f"{self.base_url}/{self.dialect.prices_path}"

    def read_prices(self, catalogue: Any) -> dict[str, tuple[float, float]]:
        """US dollars per prompt token and per completion token, by model, out of what `prices_url` answers."""
        return read_prices(catalogue)

    def encode(self, conversation: Conversation, settings: Settings) -> WireRequest:
        """Build the wire request.

        Raises:
            PrefillUnsupported: The model or the service cannot continue the prefill.
            ConfigError: A setting that this service does not take, or two that contradict each other.
        """
        for name, instead in _OWN_FIELDS.items():
            if name in settings.extra_body:
                raise ConfigError(f"extra_body may not hold {name!r}: {instead}.")
        way = None if conversation.prefill is None else self._way(conversation, settings)
        raw = way == "completion" or (conversation.prefill is None and self._forced == "completion")
        body: dict[str, Any] = {"model": settings.model}
        if raw:
            body["prompt"] = render_for(conversation, settings.template, self._layout, self.dialect.title)
        else:
            body["messages"] = [*conversation.messages, *self._partial(conversation, way, settings)]
        body |= parameters(self.dialect, settings, raw=raw)
        body |= self._flags(way)
        body |= settings.extra_body
        if opens_thought(conversation, settings.template) and family(settings.model) != "claude-old":
            check_agreement(body, switch_allowed=self.dialect.switch_allowed)
        self.adjust(body, conversation, settings)
        endpoint = "completions" if raw else "chat/completions"
        return WireRequest(
            url=f"{self.base_url}/{endpoint}",
            endpoint=endpoint,
            body=body,
            seed_field=self.dialect.seed_field,
            conversation=conversation,
            template=settings.template,
            headers=self.headers(),
        )

    def decode(self, request: WireRequest, reply: WireReply) -> Response:
        """Read an answer.

        Raises:
            MalformedResponse: The body has not the documented shape.
        """
        return read_reply(request, reply, echoes=self.dialect.echoes, inline=self._is_inline(request))

    def classify(self, reply: WireReply) -> Outcome | None:
        """A refused prefill; everything else is left to the common rules."""
        return classify_prefill(reply, self.dialect.title)

    # ── What a subclass may change ──────────────────────────────────────────────────────────────────────

    def adjust(self, body: dict[str, Any], conversation: Conversation, settings: Settings) -> None:
        """Change the finished body where data does not say enough."""

    def headers(self) -> Mapping[str, str]:
        """The adapter's own headers, never a key."""
        return {}

    def refusal(self, conversation: Conversation, model: str) -> str | None:
        """Why this model cannot go on from the prefill; None where it may."""
        pattern = matches(model, self.dialect.refused_models)
        return REFUSED.get(family(model)) if pattern is None else self.dialect.refused_models[pattern]

    # ── Continuing ──────────────────────────────────────────────────────────────────────────────────────

    def _way(self, conversation: Conversation, settings: Settings) -> Way:
        if not self.dialect.ways:
            raise PrefillUnsupported(f"{self.dialect.title} cannot go on from a prefill: {self.dialect.no_prefill}")
        way = self._forced or self.dialect.ways[0]
        inside = opens_thought(conversation, settings.template)
        if way == "reasoning" and not inside:
            # Plain text is no reasoning: it goes the other way.
            way = next(other for other in self.dialect.ways if other != "reasoning")
        elif self.dialect.renders_gpt_oss and inside and family(settings.model) == "gpt-oss":
            return way if way == "completion" else "reasoning"
        if way != "completion" and not self._allow_prefill:
            reason = self.refusal(conversation, settings.model)
            if reason is not None:
                raise PrefillUnsupported(
                    f"{settings.model} on {self.dialect.title} cannot go on from a prefill: {reason}"
                )
        return way

    def _partial(self, conversation: Conversation, way: Way | None, settings: Settings) -> list[Mapping[str, Any]]:
        """The trailing assistant message; none without a prefill."""
        if way is None:
            return []
        if way == "reasoning" and self.dialect.partial_reasoning is not None:
            return [{**conversation.partial, **self.dialect.partial_reasoning(conversation.thought or "")}]
        content = conversation.prefill or ""
        if self._strips(settings.model):
            content = content.removeprefix(settings.template.open(""))
        message = {"role": "assistant", "content": content, **conversation.partial}
        if way == "prefix":
            message["prefix"] = True
        return [message]

    def _flags(self, way: Way | None) -> Mapping[str, Any]:
        if way == "continue":
            return self.dialect.continue_flags
        return self.dialect.reasoning_flags if way == "reasoning" else {}

    def _strips(self, model: str) -> bool:
        """True where the opening tag is left to the server's chat template."""
        if self._think_tag is not None:
            return self._think_tag == "strip"
        return self.dialect.drops_opening_tag and matches(model, OPENS_THOUGHT) is not None

    def _is_inline(self, request: WireRequest) -> bool:
        """True where text that follows an open thought and closes nothing is thought, whatever ended it."""
        return self.dialect.inline or request.endpoint == "completions" or bool(request.body.get("stop"))
