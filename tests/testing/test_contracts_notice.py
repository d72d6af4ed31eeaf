"""Each contract notices who breaks it: one broken thing for each rule, and the test that must turn red."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from rollouts.results import Response
from rollouts.testing import (
    AdapterContract,
    CommandContract,
    ExecutorContract,
    FakeAdapter,
    PromptTransformContract,
    ResponseTransformContract,
    SplitterContract,
    ThinkTemplateContract,
)
from rollouts.think_templates.think_tags import make as think_tags
from rollouts.typing import Conversation, Outcome, Parts, Span


class Fake(FakeAdapter):
    """An adapter that is right but for one thing."""

    def __init__(self, **wrong):
        super().__init__()
        for name, value in wrong.items():
            setattr(self, name, value)


def encoding(change):
    """An adapter whose wire request is spoilt by `change`."""
    right = FakeAdapter()

    def encode(conversation, settings):
        return change(right.encode(conversation, settings), conversation, settings)

    return lambda: Fake(encode=encode)


def body(**fields):
    return encoding(lambda wire, c, s: replace(wire, body={**wire.body, **fields}))


def counting():
    numbers = iter(range(10**6))
    return encoding(lambda wire, c, s: replace(wire, body={**wire.body, "nonce": next(numbers)}))()


def without(name):
    return encoding(lambda wire, c, s: replace(wire, body={n: v for n, v in wire.body.items() if n != name}))


def trimmed(wire, conversation, settings):
    messages = [{**m, "content": str(m["content"]).strip("</think>")} for m in wire.body["messages"]]
    return replace(wire, body={**wire.body, "messages": messages})


def dropping(wire, conversation, settings):
    return replace(wire, body={**wire.body, "messages": list(conversation.messages)})


def spoiling(wire, conversation, settings):
    conversation.messages[0]["name"] = "x"
    return wire


def careless(request, reply):
    return Response(content=reply.json()["choices"][0]["message"]["content"])


def stripping(request, reply):
    response = FakeAdapter().decode(request, reply)
    return replace(response, content=response.content.strip())


ADAPTERS = {
    "fits_the_protocol": lambda: Fake(decode=None),
    "encodes_json_without_seed_and_key": body(seed=3),
    "what_is_encoded_is_the_same_each_time": counting,
    "the_prompt_is_sent_to_the_byte": encoding(trimmed),
    "whatever_differs_is_another_request": without("temperature"),
    "what_nobody_thought_of_is_passed_through": without("a_field_of_tomorrow"),
    "what_is_not_given_is_not_sent": body(temperature=1.0),
    "leaves_what_it_is_given_as_it_is": encoding(spoiling),
    "a_prefill_is_sent_or_refused_and_never_dropped": encoding(dropping),
    "many_threads_may_encode_at_once": counting,
    "reads_an_answer_to_the_byte": lambda: Fake(decode=stripping),
    "an_answer_is_no_error": lambda: Fake(classify=lambda reply: Outcome("retryable")),
    "errors_are_not_taken_for_answers": lambda: Fake(classify=lambda reply: Outcome("ok")),
    "a_body_of_another_shape_is_malformed_and_never_a_crash": lambda: Fake(decode=careless),
    "shows_no_secret_and_can_be_closed_twice": lambda: Fake(close=iter([1]).__next__),
}


class Template:
    closing = "</think>"

    def __init__(self, **wrong):
        self._right = think_tags()
        for name, value in wrong.items():
            setattr(self, name, value)

    def open(self, thought):
        return self._right.open(thought)

    def split(self, text, prefill):
        return self._right.split(text, prefill)


def remembering():
    template, seen = think_tags(), []

    def split(text, prefill):
        seen.append(text)
        return Parts(None, "", True) if len(seen) > 1 and seen[-2] != text else template.split(text, prefill)

    return Template(split=split)


TEMPLATES = {
    "fits_the_protocol": lambda: Template(open=None),
    "the_prefill_ends_with_the_thought_and_says_so": lambda: Template(open=lambda t: f"<think>\n{t.strip()}"),
    "text_without_marks_is_the_answer": lambda: Template(split=lambda t, p: Parts(t, "", False)),
    "no_byte_of_a_text_is_lost_or_counted_twice": lambda: Template(split=lambda t, p: Parts(t.strip(), "", False)),
    "a_prefill_that_opens_no_thought_is_the_beginning_of_the_answer": lambda: Template(
        split=lambda t, p: Parts(t, "", False)
    ),
    "what_the_closing_mark_parts_is_reasoning_and_content": lambda: Template(split=lambda t, p: Parts(t, "", False)),
    "no_text_makes_it_fail": lambda: Template(split=lambda t, p: Parts(*t.split("</think>"), True)),
    "is_stateless": remembering,
}


def retelling(conversation):
    retelling.count += 1
    return replace(conversation, messages=({"role": "user", "content": str(retelling.count)},))


retelling.count = 0


def marking(conversation):
    conversation.messages[0]["content"] = "x"
    return conversation


PROMPTS = {
    "gives_a_conversation_that_can_be_sent": lambda: lambda c: replace(c, messages=list(c.messages)),
    "leaves_what_it_is_given_as_it_is": lambda: marking,
    "the_same_prompt_is_changed_the_same_way": lambda: retelling,
    "a_prompt_without_prefill_gets_none_and_one_with_keeps_one": lambda: lambda c: Conversation(c.messages),
}


def growing():
    seen = []

    def act(response):
        seen.append(1)
        return replace(response, content="x" * len(seen))

    return act


def placing(response):
    object.__setattr__(response, "content", "x")
    return response


ANSWERS = {
    "gives_a_response": lambda: lambda response: response.content,
    "leaves_what_it_is_given_as_it_is": lambda: placing,
    "a_sample_stays_the_sample_that_it_is": lambda: lambda response: Response(content=response.content),
    "the_same_answer_is_changed_the_same_way": growing,
}


def at_full_stops(text):
    return [Span(0, 0, piece) for piece in text.split(". ")]


def cutting():
    turns = iter(range(10**6))
    return lambda text: (
        [Span(0, len(text), text)] if next(turns) % 2 else [Span(i, i + 1, c) for i, c in enumerate(text)]
    )


SPLITTERS = {
    "is_lossless": lambda: at_full_stops,
    "no_span_is_empty": lambda: lambda text: [Span(0, 0, ""), Span(0, len(text), text)],
    "nothing_has_no_spans": lambda: lambda text: [Span(0, len(text), text)],
    "the_same_text_is_cut_the_same_way": cutting,
}


class Inline(Executor):
    """Runs at once, in the caller's thread."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Deaf(ThreadPoolExecutor):
    def shutdown(self, wait=True, *, cancel_futures=False):
        super().shutdown(wait=False) if cancel_futures else None


class Forgetful(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        return super().submit(fn, *args)


EXECUTORS = {
    "is_an_executor": lambda options: type("Half", (), {"shutdown": lambda self, **how: None})(),
    "what_is_submitted_is_run_and_gives_its_result": lambda options: Forgetful(2),
    "what_a_task_raises_comes_out_of_its_future": lambda options: Inline(),
    "runs_as_many_at_once_as_were_asked_for": lambda options: ThreadPoolExecutor(3),
    "shutdown_ends_it_and_may_be_called_twice": lambda options: Deaf(2),
}


def command(name="hello", **options):
    def add(commands):
        commands.add_parser(name, **options).set_defaults(run=options.get("description"))

    return add


def noisy(commands):
    print("hello")
    commands.add_parser("hello", help="x").set_defaults(run=print)


def greedy(commands):
    for name in ("hello", "another"):
        commands.add_parser(name, help="x").set_defaults(run=print)


COMMANDS = {
    "adds_one_command_of_its_name": lambda: noisy,
    "has_help_for_the_list_and_for_itself": lambda: command(),
    "sets_the_function_that_runs_it": lambda: command(help="x"),
    "stands_beside_others": lambda: greedy,
}

CASES = [
    *((AdapterContract, rule, make) for rule, make in ADAPTERS.items()),
    *((ThinkTemplateContract, rule, make) for rule, make in TEMPLATES.items()),
    *((PromptTransformContract, rule, make) for rule, make in PROMPTS.items()),
    *((ResponseTransformContract, rule, make) for rule, make in ANSWERS.items()),
    *((SplitterContract, rule, make) for rule, make in SPLITTERS.items()),
    *((ExecutorContract, rule, make) for rule, make in EXECUTORS.items()),
    *((CommandContract, rule, make) for rule, make in COMMANDS.items()),
]


@pytest.mark.parametrize(("contract", "rule", "make"), CASES, ids=[f"{c.__name__}-{r}" for c, r, _ in CASES])
def test_a_broken_rule_is_noticed(contract, rule, make, capsys, monkeypatch):
    monkeypatch.setattr("rollouts.testing.contracts.executor._PATIENCE", 0.3)
    held = type("Held", (contract,), {"make": lambda self, *options: make(*options), "name": "hello"})()
    test = getattr(held, f"test_{rule}")
    arguments = (capsys,) if "capsys" in test.__code__.co_varnames else ()
    with pytest.raises(Exception):  # noqa: B017, PT011  (an assertion, or what the broken thing raises itself)
        test(*arguments)


def test_every_rule_has_somebody_who_breaks_it():
    for contract in {case[0] for case in CASES}:
        rules = {name.removeprefix("test_") for name in dir(contract) if name.startswith("test_")}
        assert rules == {rule for held, rule, _ in CASES if held is contract}


def test_what_breaks_is_nothing_that_the_right_one_would_break():
    """Or the mutants above would prove nothing."""
    wire = FakeAdapter().encode(Conversation(({"role": "user", "content": "x"},)), AdapterContract()._settings())
    assert json.dumps(dict(wire.body))
    held = type("Held", (AdapterContract,), {"make": lambda self, options: Fake()})()
    for rule in ADAPTERS:
        getattr(held, f"test_{rule}")()
