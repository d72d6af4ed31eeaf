"""Transforms through a client and a real server: what is sent, what is stored, what is shown."""

from __future__ import annotations

import json

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import ConfigError, PluginError
from rollouts.results import Response
from rollouts.testing import LoopbackServer, Reply, chat_reply
from rollouts.transforms import few_shot, prompt_template, redact, strip, system
from rollouts.typing import Conversation


@pytest.fixture
def server():
    def answer(request):
        seed = request.json()["seed"]
        return Reply(json=chat_reply("  mail a@b.org \n", reasoning="c@d.org?", seed=seed))

    with LoopbackServer(answer) as running:
        yield running


@pytest.fixture
def ask(server, tmp_path):
    """Ask with these transforms; gives the rollouts and the bodies that were sent for them."""
    made = []

    def run(*transforms, prompt="2+2?", n_samples=1, **settings):
        given = {"base_url": server.url, "api_key": "k", "cache_dir": tmp_path / "cache", "template": "think-tags"}
        client = RolloutsClient(
            "test/model", adapter="openai-compatible", progress_bar=False, transforms=transforms, **(given | settings)
        )
        made.append(client)
        before = len(server.requests)
        rollouts = client.generate(prompt, n_samples=n_samples)
        return rollouts, [request.json() for request in server.requests[before:]]

    yield run
    for client in made:
        client.close()


def messages(sent):
    return [(message["role"], message["content"]) for message in sent["messages"]]


# ── What is sent ──


def test_system_puts_its_text_first_and_before_the_prompts_own(ask):
    be_brief = ("system", {"text": "Be brief."})
    _, (sent,) = ask(be_brief)
    assert messages(sent) == [("system", "Be brief."), ("user", "2+2?")]
    _, (sent,) = ask(be_brief, prompt=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "2+2?"}])
    assert messages(sent) == [("system", "Be brief.\n\nBe kind."), ("user", "2+2?")]


def test_few_shot_puts_examples_between_system_prompt_and_question(ask):
    _, (sent,) = ask(("few-shot", {"examples": [("1+1?", "2"), ("1+2?", "3")]}), system="Be brief.")
    assert messages(sent) == [
        ("system", "Be brief."), ("user", "1+1?"), ("assistant", "2"), ("user", "1+2?"), ("assistant", "3"),
        ("user", "2+2?"),
    ]  # fmt: skip


def test_prompt_template_fills_in_question_and_variables_and_reads_no_braces_in_them(ask):
    template = ("prompt-template", {"template": "{{Q}}: {prompt} ({tone})", "variables": {"tone": "{prompt}"}})
    _, (sent,) = ask(template, prompt="What is {x}?")
    assert messages(sent) == [("user", "{Q}: What is {x}? ({prompt})")]


def test_a_template_wraps_the_last_question_alone_whatever_order_they_are_given_in(ask):
    shots = ("few-shot", {"examples": [("1+1?", "2")]})
    _, (sent,) = ask(shots, ("prompt-template", {"template": "Q: {prompt}"}))
    assert messages(sent) == [("user", "1+1?"), ("assistant", "2"), ("user", "Q: 2+2?")]


def test_a_prefill_stays_where_it_is(ask):
    _, (sent,) = ask(("prompt-template", {"template": "Q: {prompt}"}), prompt="2+2?\n<think>\nTwo")
    assert messages(sent)[0] == ("user", "Q: 2+2?")
    assert messages(sent)[-1][0] == "assistant"
    assert messages(sent)[-1][1].endswith("Two")


def test_redact_prompt_sends_nothing_that_matches(ask, server):
    _, (sent,) = ask("redact-prompt", prompt="Write to jo@x.org\n<think>\njo@x.org is")
    assert "jo@x.org" not in json.dumps(sent)
    assert messages(sent)[0] == ("user", "Write to [redacted]")


def test_another_prompt_transform_is_another_sample(ask):
    _, first = ask(("system", {"text": "Be brief."}))
    _, again = ask(("system", {"text": "Be brief."}))
    _, other = ask(("system", {"text": "Be long."}))
    _, none = ask()
    assert [len(sent) for sent in (first, again, other, none)] == [1, 0, 1, 1]


def test_a_transform_that_leads_to_the_same_request_is_the_same_sample(ask):
    ask(("system", {"text": "Be brief."}))
    _, sent = ask(system="Be brief.")
    assert sent == []


# ── What is shown ──


def test_cached_and_fresh_answers_are_transformed_alike(ask):
    fresh, sent = ask("strip", "redact", n_samples=3)
    cached, resent = ask("strip", "redact", n_samples=3)
    assert (len(sent), len(resent)) == (3, 0)
    assert (
        [r.content for r in fresh]
        == [r.content for r in cached]
        == [f"Sample {i}:   mail [redacted]" for i in range(3)]
    )
    assert [r.reasoning for r in cached] == ["[redacted]?"] * 3
    assert all(response.cached for response in cached)


def test_a_response_transform_is_never_stored_and_changes_no_identity(ask, tmp_path):
    ask("strip", "redact")
    (stored,) = (tmp_path / "cache").rglob("seed_*.json")
    assert "a@b.org" in stored.read_text()
    plain, sent = ask()
    assert sent == []
    assert plain[0].content == "Sample 0:   mail a@b.org \n"


def test_redacted_answers_carry_no_raw_body(ask):
    (response,), _ = ask("redact")
    assert response.raw is None
    assert "b.org" not in json.dumps(response.to_dict())


def test_strip_collapses_and_normalises_when_told():
    act = strip.make(unicode="NFKC", collapse=True)
    assert act(Response(content="  ﬁne \n\n  day ")).content == "fine day"
    assert strip.make(unicode=None)(Response(content=" ﬁne ")).content == "ﬁne"


def test_transforms_of_code_act_between_those_with_names_by_their_order(ask):
    def shout(response):
        return Response(content=response.content.upper(), seed=response.seed)

    shout.acts_on, shout.order = "response", 5
    (response,), _ = ask("redact", "strip", shout)
    assert response.content == "SAMPLE 0:   MAIL [redacted]"


# ── What cannot be ──


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (system.make, {}), (system.make, {"text": " "}), (few_shot.make, {}), (few_shot.make, {"examples": ["ab"]}),
        (few_shot.make, {"examples": [("q", "")]}), (prompt_template.make, {}),
        (prompt_template.make, {"template": "no place"}), (prompt_template.make, {"template": "{prompt} {x}"}),
        (prompt_template.make, {"template": "{prompt}", "variables": {"x": 1}}),
        (prompt_template.make, {"template": "{prompt.__class__}"}), (prompt_template.make, {"template": "{prompt"}),
        (prompt_template.make, {"template": "{prompt!r}"}),
        (prompt_template.make, {"template": r"\frac{1}{2} {prompt}"}),
        (prompt_template.make, {"template": "{prompt}", "variables": {"prompt": "x"}}),
        (strip.make, {"unicode": "NFX"}), (strip.make, {"collapse": 1}), (redact.make_for_answers, {"patterns": "("}),
        (redact.make_for_answers, {"patterns": ["("]}), (redact.make_for_prompts, {"replacement": None}),
    ],
)  # fmt: skip
def test_wrong_options_are_told_before_anything_is_sent(make, options):
    with pytest.raises(ConfigError, match="the transform"):
        make(**options)


def test_an_option_that_a_transform_has_not_is_told(ask, server):
    with pytest.raises(PluginError, match=r"'strip'.*texts"):
        ask(("strip", {"texts": 1}))
    assert server.requests == []


def test_a_prompt_transform_that_raises_sends_nothing(ask, server):
    def broken(conversation):
        raise KeyError("x")

    with pytest.raises(PluginError, match="prompt transform 'broken' failed: KeyError"):
        ask(broken)
    with pytest.raises(PluginError, match="gave a NoneType; it must return a Conversation"):
        ask(lambda conversation: None)
    assert server.requests == []


@pytest.mark.parametrize("gives", ["raises", "none"])
def test_a_response_transform_that_fails_loses_nothing(ask, server, gives):
    def broken(response):
        if response.seed == 1:
            if gives == "raises":
                raise KeyError("x")
            return None
        return response

    broken.acts_on = "response"
    with pytest.raises(PluginError, match="the response transform 'broken'") as raised:
        ask(broken, n_samples=3, max_concurrency=1)
    slots = raised.value.rollouts.slots
    assert [type(slot).__name__ for slot in slots][:2] == ["Response", "Failure"]
    asked = len(server.requests)
    rollouts, sent = ask(n_samples=3)
    assert (len(rollouts), asked + len(sent)) == (3, 3)


def test_a_run_that_a_transform_ended_is_over_for_its_observers_too(ask, server):
    from rollouts.hookspecs import hookimpl

    ends = []

    class Observer:
        @hookimpl
        def rollouts_on_run_end(self, event):
            ends.append((event.error, event.answered))

    def broken(response):
        raise KeyError("x")

    broken.acts_on = "response"
    with pytest.raises(PluginError):
        ask(broken, plugins=[Observer()])
    assert ends == [("PluginError", 1)]


def test_transforms_change_no_value_that_they_are_given():
    given = Conversation(({"role": "user", "content": [{"type": "text", "text": "a@b.org"}]},), "a@b.org", "a@b.org")
    before = json.dumps(given.messages)
    for make, options in [
        (system.make, {"text": "x"}), (few_shot.make, {"examples": {"q": "a"}}),
        (prompt_template.make, {"template": "{prompt}!"}), (redact.make_for_prompts, {}),
    ]:  # fmt: skip
        changed = make(**options)(given)
        assert json.dumps(given.messages) == before
        assert changed != given
