"""Turns settings into the fields of a body: renamed, translated or refused as a dialect says. Knows no prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollouts.adapters._dialect import Dialect
from rollouts.exceptions import ConfigError
from rollouts.typing import Settings

_CHAT_ONLY = ("tools", "tool_choice", "parallel_tool_calls", "reasoning", "reasoning_effort")


def parameters(dialect: Dialect, settings: Settings, *, raw: bool = False) -> dict[str, Any]:
    """The body's fields for the sampling settings that were given; `raw` for `/completions`.

    Raises:
        ConfigError: A setting that the service does not take.
    """
    given = {name: value for name, value in settings.sampling.items() if value is not None}
    for name in given:
        if name in dialect.refuses:
            raise ConfigError(f"{dialect.title} does not take {name!r}: {dialect.refuses[name]}")
        if dialect.accepts is not None and name not in dialect.accepts:
            raise ConfigError(
                f"{dialect.title} does not take {name!r}. Leave it out, or send it all the same with "
                f"extra_body={{{name!r}: …}}."
            )
        if raw and name in _CHAT_ONLY:
            raise ConfigError(f"{name!r} means nothing to a rendered prompt on /completions. Leave it out.")
    body = {dialect.renames.get(name, name): value for name, value in given.items() if name not in _TRANSLATED}
    body |= _reasoning(dialect, given)
    body |= _logprobs(dialect, given, raw=raw)
    return body


_TRANSLATED = frozenset({"reasoning", "include_reasoning", "logprobs", "top_logprobs"})


def _reasoning(dialect: Dialect, given: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if "reasoning" in given:
        reasoning = given["reasoning"]
        if dialect.reasoning in ("object", "pass"):
            body["reasoning"] = reasoning
        elif dialect.reasoning == "effort" and isinstance(reasoning, Mapping) and set(reasoning) == {"effort"}:
            body["reasoning_effort"] = reasoning["effort"]
        else:
            can = "only reasoning={'effort': …}" if dialect.reasoning == "effort" else "no such setting"
            raise ConfigError(
                f"{dialect.title} takes {can}, not reasoning={reasoning!r}. What it takes beside goes in extra_body."
            )
    if "include_reasoning" in given:
        body |= _include_reasoning(dialect, given["include_reasoning"], body)
    return body


def _include_reasoning(dialect: Dialect, include: bool, body: Mapping[str, Any]) -> dict[str, Any]:
    """OpenRouter's documented meaning: true is `reasoning: {}`, false is `reasoning: {"exclude": true}`."""
    if dialect.include_reasoning_field or dialect.reasoning == "pass":
        return {"include_reasoning": include}
    if dialect.reasoning != "object":
        if include:
            return {}
        raise ConfigError(f"{dialect.title} cannot leave the reasoning out of its answers: take include_reasoning off.")
    reasoning = dict(body.get("reasoning") or {})
    if "exclude" in reasoning and bool(reasoning["exclude"]) == bool(include):
        raise ConfigError(
            f"include_reasoning={include} contradicts reasoning={{'exclude': {reasoning['exclude']}}}: give one of "
            "them."
        )
    if not include:
        reasoning["exclude"] = True
    return {"reasoning": reasoning}


def _logprobs(dialect: Dialect, given: Mapping[str, Any], *, raw: bool) -> dict[str, Any]:
    wanted, top = given.get("logprobs"), given.get("top_logprobs")
    if not wanted:
        if top is not None:
            raise ConfigError("top_logprobs needs logprobs=True.")
        return {} if wanted is None else {"logprobs": False}
    if dialect.logprobs == "no":
        raise ConfigError(f"{dialect.title} gives no log-probabilities that can be relied on: {dialect.no_logprobs}")
    if raw or dialect.logprobs == "integer":
        # The older form: the number of alternatives, where 0 is the chosen tokens alone.
        return {"logprobs": top if top is not None else (0 if raw else 1)}
    return {"logprobs": True} if top is None else {"logprobs": True, "top_logprobs": top}


def check_agreement(body: Mapping[str, Any], *, switch_allowed: bool) -> None:
    """Refuse settings that switch off the thinking that a thought was injected into.

    Raises:
        ConfigError: Naming the setting.
    """
    reasoning = body.get("reasoning")
    chat_template = body.get("chat_template_kwargs")
    reasoning = reasoning if isinstance(reasoning, Mapping) else {}
    switches = chat_template if isinstance(chat_template, Mapping) and not switch_allowed else {}
    thinking = body.get("thinking")
    off = {
        'reasoning={"effort": "none"}': reasoning.get("effort") == "none",
        'reasoning={"enabled": False}': reasoning.get("enabled") is False,
        'reasoning_effort="none"': body.get("reasoning_effort") == "none",
        "enable_thinking=False": body.get("enable_thinking") is False,
        'chat_template_kwargs={"enable_thinking": False}': switches.get("enable_thinking") is False,
        'chat_template_kwargs={"thinking": False}': switches.get("thinking") is False,
        'thinking={"type": "disabled"}': isinstance(thinking, Mapping) and thinking.get("type") == "disabled",
        "think=False": body.get("think") is False,
    }
    for setting, contradicts in off.items():
        if contradicts:
            raise ConfigError(
                f"{setting} switches thinking off, and the prompt injects a thought to be continued: "
                "take one of them out."
            )
