"""The page on adapters says what the code does: its table is made from the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollouts.adapters import anthropic, dialects, openai_compatible, openrouter
from rollouts.adapters._dialect import Dialect
from rollouts.exceptions import ConfigError
from rollouts.settings import AdapterSettings
from rollouts.think_templates.think_tags import make as think_tags
from rollouts.typing import AdapterOptions, Conversation

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "adapters.md"

DIALECTS: dict[str, Dialect] = {
    "openrouter": openrouter.DIALECT,
    "openai-compatible": openai_compatible.DIALECT,
    **{name: service.dialect for name, service in dialects.SERVICES.items()},
}
SPECS = {
    spec.name: spec
    for module in (openrouter, openai_compatible, dialects, anthropic)
    for spec in module.rollouts_register_adapters()
}
REASONING = {
    "object": "as an object",
    "pass": "passed on as given",
    "effort": "`effort` alone",
    "none": "refused",
}
LOGPROBS = {"yes": "yes", "integer": "yes", "no": "refused"}
ASKED = AdapterSettings("smollm2-135m-instruct", {"reasoning": {"effort": "low"}}, {}, {}, think_tags(), False)
PRICES = {"openrouter": "in every answer; `GET /models`", "together": "`GET /models`"}


def row(name: str) -> str:
    spec = SPECS[name]
    key = f"`{spec.key_variable}`" if spec.key_variable else "any"
    key += "" if spec.key_required else " (optional)"
    base = f"`{spec.base_url}`" if spec.base_url else "must be given"
    prefix = ", ".join(f"`{prefix}`" for prefix in spec.model_prefixes) or "–"
    if name == "anthropic":
        cells = ("refused; a begun answer up to Claude 4.5", "as an object", "no", "refused")
    else:
        dialect = DIALECTS[name]
        ways = ", ".join(f"`{way}`" for way in dialect.ways)
        seed = f"`{dialect.seed_field}`" if dialect.seed_field else "no"
        cells = (ways, REASONING[dialect.reasoning], seed, LOGPROBS[dialect.logprobs])
    return f"| `{name}` | {base} | {key} | {prefix} | {' | '.join(cells)} | {PRICES.get(name, 'not stated')} |"


@pytest.mark.parametrize("name", SPECS)
def test_the_line_of_each_adapter_is_what_the_code_does(name):
    assert row(name) in PAGE.read_text("utf-8")


def test_the_line_of_the_local_model_is_what_its_adapter_does():
    adapter = pytest.importorskip("rollouts_local.adapter")
    made = adapter.LocalAdapter(AdapterOptions(base_url=""))
    ways = ", ".join(f"`{way}`" for way in made.ways)
    with pytest.raises(ConfigError, match="reasoning"):
        made.encode(Conversation(({"role": "user", "content": "?"},)), ASKED)
    assert made.supports_logprobs
    line = f"| `local` | starts its own | none | `local/` | {ways} | refused | `seed` | yes | not stated |"
    assert line in PAGE.read_text("utf-8")


def test_every_way_of_continuing_is_explained():
    page = PAGE.read_text("utf-8")
    for dialect in DIALECTS.values():
        assert all(f"- `{way}`:" in page for way in dialect.ways)


if __name__ == "__main__":
    print("\n".join(row(name) for name in SPECS))
