"""`rollouts anchors`: samples a trace, resamples it, and writes the table and the page."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rollouts.exceptions import ConfigError


def add(subparsers: Any) -> None:
    """Add the command to `rollouts`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "anchors", help="which sentences of a thought matter", description=__doc__
    )
    parser.add_argument("question", help="what to ask; add <think> and a thought to begin with one")
    parser.add_argument("--model", required=True, help="the model to ask, as for `rollouts generate`")
    parser.add_argument("--truth", help="the true answer; without it answers' distributions are compared (js)")
    parser.add_argument("-n", "--n-samples", type=int, default=20, help="samples of each position (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="number of the sample that is the trace (default: 0)")
    parser.add_argument("--kind", choices=("resampling", "counterfactual", "forced"), default="resampling")
    parser.add_argument(
        "--metric", choices=("accuracy", "kl", "tv", "js"), help="default: accuracy with --truth, else js"
    )
    parser.add_argument(
        "--similarity", help='"minilm" (extra `embeddings`) or "words"; adds effects and different sentences'
    )
    parser.add_argument("--style", default="sentences", help="how the thought is cut (default: sentences)")
    parser.add_argument(
        "--extract", default="boxed", help="how the answer is found: boxed, letter, number, … (default: boxed)"
    )
    parser.add_argument("--anywhere", action="store_true", help="look for the answer in the thought too")
    parser.add_argument("--adapter", help="who answers (default: as for `rollouts generate`)")
    parser.add_argument("--base-url", help="where the service is")
    parser.add_argument("--provider", help="the one provider that may answer, where the service routes among several")
    parser.add_argument("--temperature", type=float, help="default: the provider's own")
    parser.add_argument("--max-tokens", type=int, help="default: the provider's own")
    parser.add_argument("--max-cost", type=float, help="US dollars that may be spent")
    parser.add_argument("--html", help="write the page here")
    parser.add_argument("--jsonl", help="write the table here, one JSON object a line")
    parser.add_argument("--site", help="write the files of the public visualiser into this folder")
    parser.add_argument("--plan", action="store_true", help="sample the trace, say what resampling would ask, and stop")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from rollouts import RolloutsClient

    given = {
        name: value
        for name in ("adapter", "base_url", "temperature", "max_tokens", "max_cost")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.provider is not None:
        given["provider"] = {"only": [arguments.provider]}
    with RolloutsClient(model=arguments.model, **given) as client:
        return report(client, arguments)


def report(client: Any, arguments: argparse.Namespace, out: Any = None) -> int:
    """Sample, resample and write, with any client; returns the exit code."""
    from rollouts_anchors.effects import sentence_effects
    from rollouts_anchors.exports import site_files, write_site_files
    from rollouts_anchors.measuring import importance
    from rollouts_anchors.page import write_html
    from rollouts_anchors.similarity import embedder

    out = out or sys.stdout
    if arguments.kind == "counterfactual" and not arguments.similarity:
        raise ConfigError("--kind counterfactual needs --similarity minilm or words.")
    if arguments.site and not (arguments.truth and arguments.similarity):
        raise ConfigError(
            "--site needs --truth and --similarity: the visualiser shows accuracies and different sentences."
        )
    metric: Any = arguments.metric or ("accuracy" if arguments.truth else "js")
    if metric == "accuracy" and not arguments.truth:
        raise ConfigError("--metric accuracy needs --truth.")
    embed = embedder(arguments.similarity) if arguments.similarity else None
    if embed is not None:
        embed(["a missing package should be known before anything is spent"])
    response = client.generate(arguments.question, 1, seed=arguments.seed)[0]
    trace = client.trace(response, style=arguments.style)
    forced = arguments.kind == "forced"
    print(client.plan_resample(trace, arguments.n_samples, forced=forced), file=out)
    if arguments.plan:
        return 0
    resampling = client.resample(
        trace,
        arguments.n_samples,
        forced=forced,
        truth=arguments.truth,
        extract=arguments.extract,
        where="anywhere" if arguments.anywhere else "answer",
    )
    table = importance(resampling, arguments.kind, metric, similarity=embed)
    print(table, file=out)
    effects = sentence_effects(resampling, embed) if embed is not None else None
    if arguments.html:
        print("page:", write_html(arguments.html, resampling, table, effects=effects), file=out)
    if arguments.jsonl:
        print("table:", table.write_jsonl(arguments.jsonl), file=out)
    if arguments.site and embed is not None:
        paths = write_site_files(arguments.site, site_files(resampling, embed, effects=effects))
        print("visualiser's files:", *paths, file=out)
    return 0
