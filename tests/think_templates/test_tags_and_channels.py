"""Opening and splitting thought: no byte is lost or counted twice, whichever family."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.think_templates import harmony, mistral, none, think_tags
from rollouts.typing import Parts, ThinkTemplate

TEMPLATES = [think_tags.make(), mistral.make(), harmony.Harmony()]
THINK = think_tags.make()
TEXT = st.text().filter(lambda text: not any(mark in text for mark in ("<think>", "</think>", "THINK]", "<|", "final")))


@pytest.mark.parametrize("template", TEMPLATES)
@given(thought=TEXT)
def test_a_thought_comes_back_from_its_own_prefill_to_the_byte(template, thought):
    assert template.opened(template.open(thought)) == thought


@pytest.mark.parametrize("template", TEMPLATES)
@given(injected=TEXT, reasoning=TEXT, content=TEXT)
def test_an_answer_that_closes_the_thought_is_split_without_loss(template, injected, reasoning, content):
    parts = template.split(reasoning + template.closing + content, template.open(injected))
    assert parts == Parts(reasoning, content, True)


@pytest.mark.parametrize("template", TEMPLATES)
@given(injected=TEXT, reasoning=TEXT)
def test_a_cut_thought_is_reasoning_to_its_last_byte(template, injected, reasoning):
    assert template.split(reasoning, template.open(injected)) == Parts(reasoning, "", False)


@given(first=TEXT, second=TEXT)
def test_injected_and_generated_thought_injected_again_is_the_same_text_as_before(first, second):
    before = THINK.open(first) + second
    assert THINK.open(first + second) == before


def test_an_empty_thought_may_be_opened():
    assert [template.open("") for template in TEMPLATES] == ["<think>\n", "[THINK]", harmony.ANALYSIS]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>\nSo.\n</think>\n\n50", Parts("So.\n", "\n\n50", True)),
        ("\n<think>So.</think>50", Parts("So.", "50", True)),
        ("<think>\nSo", Parts("So", "", False)),
        ("So.\n</think>\n\n50", Parts("So.\n", "\n\n50", True)),
        ("50", Parts(None, "50", True)),
        ("The tag <think> is closed by </think>.", Parts(None, "The tag <think> is closed by </think>.", True)),
    ],
)
def test_without_a_prefill_a_block_in_tags_is_reasoning(text, parts):
    assert THINK.split(text, None) == parts


@pytest.mark.parametrize("prefill", ["Sure, ", "<think>\nSo.\n</think>\n\nThe answer", "See <think> here"])
def test_after_a_prefill_that_leaves_no_thought_open_all_is_answer(prefill):
    assert THINK.split(" is 50.</think>", prefill) == Parts(None, " is 50.</think>", True)
    assert THINK.opened(prefill) is None


def test_harmony_is_read_when_the_server_dropped_its_marks():
    template = harmony.Harmony()
    assert template.split("So.assistantfinalIt is 50.", template.open("")) == Parts("So.", "It is 50.", True)
    assert template.split("analysisSo.assistantfinalIt is 50.", None) == Parts("So.", "It is 50.", True)


def test_harmony_renders_a_whole_prompt_up_to_the_open_thought():
    template = harmony.Harmony()
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 5*10?"}]
    text = template.render(messages, template.open("5*1"))
    assert text.endswith(
        "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|><|start|>user<|message|>What is 5*10?<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>5*1"
    )


def test_a_family_without_marks_keeps_text_as_text():
    template = none.NoTemplate()
    assert isinstance(template, ThinkTemplate)
    assert template.open("5*1") == "5*1"
    assert template.split("a</think>b", "5*1") == Parts(None, "a</think>b", True)


MODELS = {
    "think-tags": (
        "qwen/qwen3-30b-a3b", "Qwen/QwQ-32B", "deepseek/deepseek-r1", "z-ai/glm-4.6", "moonshotai/kimi-k2-thinking",
        "accounts/fireworks/models/qwen3-32b", "deepseek-reasoner", "local/smollm2-135m-instruct", "qwen3:8b",
        "nvidia/llama-3.1-nemotron-ultra-253b-v1", "deepseek/deepseek-r1-distill-llama-70b",
    ),
    "none": ("anthropic/claude-sonnet-4.5", "openai/gpt-5", "google/gemini-3-pro", "meta-llama/llama-3.3-70b-instruct"),
    "harmony": ("openai/gpt-oss-120b", "gpt-oss:20b"),
    "mistral": ("mistralai/magistral-small-2506", "magistral-medium-latest"),
    None: ("acme/unheard-of", "mistralai/mistral-nemo"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "model"), [(name, model) for name, models in MODELS.items() for model in models])
def test_each_family_is_known_by_its_model_names(name, model):
    specs = [
        spec for module in (think_tags, mistral, harmony, none) for spec in module.rollouts_register_think_templates()
    ]
    fitting = [(len(p), spec.name) for spec in specs for p in spec.models if fnmatchcase(model.lower(), p)]
    assert (max(fitting)[1] if fitting else None) == name
