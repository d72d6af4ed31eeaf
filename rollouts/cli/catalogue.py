"""`rollouts models`, `rollouts providers` and `rollouts key`: what a service offers, and what a key may still do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rollouts.catalogue import get, price, rows_of
from rollouts.cli.options import settings_of
from rollouts.client import RolloutsClient
from rollouts.config import load_config


def add(commands: Any) -> None:
    """Add the three sub-commands."""
    models = _add(commands, "models", "list a service's models: prices, context, what they take", MODELS_EPILOG)
    models.add_argument("words", nargs="*", help="only models whose name has all these words")
    models.add_argument("--supports", action="append", default=[], metavar="NAME", help="only models that take NAME")
    models.add_argument("--max-price", type=float, metavar="USD", help="at most so much for a million generated tokens")
    models.add_argument("--min-context", type=int, metavar="TOKENS", help="at least so long a context")
    models.set_defaults(run=_models)
    providers = _add(commands, "providers", "list the providers behind a service", PROVIDERS_EPILOG)
    providers.add_argument("of_model", nargs="?", metavar="MODEL", help="those of one model, with prices and limits")
    providers.set_defaults(run=_providers)
    key = _add(commands, "key", "show credit and limits of the key, not the key itself", KEY_EPILOG)
    key.set_defaults(run=_key)


MODELS_EPILOG = """\
examples:
  rollouts models qwen thinking
  rollouts models --supports seed --supports reasoning --max-price 1
  rollouts models --base-url http://localhost:8000/v1
"""
PROVIDERS_EPILOG = """\
examples:
  rollouts providers
  rollouts providers qwen/qwen3-30b-a3b
"""
KEY_EPILOG = """\
example:
  OPENROUTER_API_KEY=… rollouts key
"""


def _add(commands: Any, name: str, text: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the service's own entries")
    for option in ("adapter", "base-url", "timeout"):
        parser.add_argument(f"--{option}", dest=f"setting_{option.replace('-', '_')}", metavar="VALUE", default=None)
    parser.add_argument("--env-file", metavar="PATH", help="set the variables of a .env file first")
    return parser


def _ask(arguments: argparse.Namespace, path: str, *, with_key: bool) -> Any:
    given = settings_of(arguments)
    if "model" not in load_config().values:
        given["model"] = "any"  # nothing is asked of it
    with RolloutsClient(**given) as client:
        resources = client._resources
        return get(resources, resources.resolve(client.settings), path, with_key=with_key)


def _models(arguments: argparse.Namespace) -> int:
    found = [m for m in rows_of(_ask(arguments, "models", with_key=False), "models") if _fits(m, arguments)]
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0 if found else 1
    rows = [
        [
            m.get("id"),
            m.get("context_length", m.get("max_model_len")),
            _usd(price(m, "prompt")),
            _usd(price(m, "completion")),
            " ".join(sorted(set(m.get("supported_parameters") or ()) & {"seed", "logprobs", "reasoning", "tools"})),
        ]
        for m in found
    ]
    _table(["model", "context", "$/M prompt", "$/M completion", "takes"], rows)
    return 0 if found else 1


def _fits(model: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    name = str(model.get("id", "")).lower()
    cost, context = price(model, "completion"), model.get("context_length")
    return (
        all(word.lower() in name for word in arguments.words)
        and set(arguments.supports) <= set(model.get("supported_parameters") or ())
        and (arguments.max_price is None or (cost is not None and cost <= arguments.max_price))
        and (arguments.min_context is None or (isinstance(context, int) and context >= arguments.min_context))
    )


def _providers(arguments: argparse.Namespace) -> int:
    if arguments.of_model is None:
        found = rows_of(_ask(arguments, "providers", with_key=False), "providers")
        rows = [[p.get("slug"), p.get("name"), p.get("headquarters")] for p in found]
        heads = ["slug", "name", "headquarters"]
    else:
        path = f"models/{arguments.of_model}/endpoints"
        found = rows_of(_ask(arguments, path, with_key=False), "endpoints")
        heads = ["slug", "name", "quantization", "context", "$/M prompt", "$/M completion", "takes"]
        rows = [
            [
                e.get("tag"),
                e.get("provider_name"),
                e.get("quantization"),
                e.get("context_length"),
                _usd(price(e, "prompt")),
                _usd(price(e, "completion")),
                " ".join(sorted(set(e.get("supported_parameters") or ()) & {"seed", "logprobs", "reasoning", "tools"})),
            ]
            for e in found
        ]
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        _table(heads, rows)
    return 0 if found else 1


_KEY_FIELDS = ("label", "limit", "limit_remaining", "limit_reset", "usage", "usage_daily", "usage_weekly",
               "usage_monthly", "is_free_tier", "expires_at", "free_model_daily_requests")  # fmt: skip


def _key(arguments: argparse.Namespace) -> int:
    found = _ask(arguments, "key", with_key=True)
    known = {name: found[name] for name in _KEY_FIELDS if isinstance(found, Mapping) and name in found}
    if "label" in known:  # OpenRouter's label is the key's two ends
        known["label"] = str(known["label"])[:12] + "…" if str(known["label"]).startswith("sk-") else known["label"]
    if arguments.json:
        print(json.dumps(known, indent=2))
    else:
        _table(
            ["", ""],
            [[name.replace("_", " "), "no limit" if value is None else value] for name, value in known.items()],
        )
    return 0


def _usd(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    texts = [["" if cell is None else _printable(str(cell)) for cell in row] for row in rows]
    shown = [list(heads), *texts] if any(heads) else texts
    widths = [max((len(row[i]) for row in shown), default=0) for i in range(len(heads))]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
