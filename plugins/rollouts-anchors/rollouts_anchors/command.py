"""`rollouts anchors`: samples a trace, resamples and labels it, writes the table, the page and the files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rollouts.exceptions import BudgetExceeded, ConfigError

if TYPE_CHECKING:
    from rollouts_anchors.similarity import Embedder


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
        "--similarity",
        help='"minilm" (extra `embeddings`) or "words"; adds the circle, the heat map and different sentences',
    )
    parser.add_argument("--forced", action="store_true", help="force answers too: a line in the page's accuracies")
    parser.add_argument(
        "--labels", metavar="MODEL", help="a model that says what each sentence does (plans, computes …): one call more"
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
    parser.add_argument("--max-cost", type=float, help="US dollars that may be spent in all, labels included")
    parser.add_argument("--html", help="write the page here")
    parser.add_argument("--jsonl", help="write the table here, one JSON object a line")
    parser.add_argument("--site", help="write the files of the public visualiser into this folder")
    parser.add_argument("--plan", action="store_true", help="sample the trace, say what resampling would ask, and stop")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from rollouts import RolloutsClient

    where = _given(arguments, "adapter", "base_url", "max_cost")
    given = {**where, **_given(arguments, "temperature", "max_tokens")}
    if arguments.provider is not None:
        given["provider"] = {"only": [arguments.provider]}
    with RolloutsClient(model=arguments.model, **given) as client:
        if arguments.labels is None:
            return report(client, arguments)
        # A client of its own: the trace's temperature, length and provider are not for this model.
        with RolloutsClient(model=arguments.labels, **where) as labeller:
            return report(client, arguments, labeller=labeller)


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def report(client: Any, arguments: argparse.Namespace, out: Any = None, *, labeller: Any = None) -> int:
    """Sample, resample and write, with any client; returns the exit code.

    Args:
        client: Samples.
        arguments: Of the command line.
        out: Where to print; standard output when None.
        labeller: A client of the model that labels; no labels when None.
    """
    from rollouts_anchors.effects import sentence_effects
    from rollouts_anchors.exports import site_files, write_site_files
    from rollouts_anchors.labels import label
    from rollouts_anchors.measuring import importance
    from rollouts_anchors.page import write_html

    out = out or sys.stdout
    metric: Any = arguments.metric or ("accuracy" if arguments.truth else "js")
    embed = _checked(client, arguments, metric)
    budget = _Budget(arguments.max_cost, *filter(None, (client, labeller)))
    with budget.step("the trace", client) as left:
        response = client.generate(arguments.question, 1, seed=arguments.seed, **left)[0]
    if not (response.thought or "").strip() and response.reasoning_kind not in ("summary", "encrypted"):
        raise ConfigError(
            "the sample has no thought, so there is nothing to resample: end the question with <think>, which opens a "
            "thought, or with <think> and how the thought begins; or ask a model that thinks."
        )
    trace = client.trace(response, style=arguments.style)
    forced = arguments.forced or arguments.kind == "forced"
    print(client.plan_resample(trace, arguments.n_samples, forced=forced), file=out)
    if arguments.plan:
        return 0
    # Before the many: an answer without labels ends the command while little is spent.
    labels = None
    if labeller is not None:
        with budget.step("the labels", labeller) as left:
            labels = label(labeller.generate_many, trace, **left)
    with budget.step("the resampling", client) as left:
        resampling = client.resample(
            trace,
            arguments.n_samples,
            forced=forced,
            truth=arguments.truth,
            extract=arguments.extract,
            where="anywhere" if arguments.anywhere else "answer",
            **left,
        )
    table = importance(resampling, arguments.kind, metric, similarity=embed)
    print(table, file=out)
    if arguments.jsonl:
        print("table:", table.write_jsonl(arguments.jsonl), file=out)
    drawn = embed is not None and bool(arguments.html or arguments.site)
    effects = sentence_effects(resampling, embed) if drawn and embed is not None else None
    if arguments.html:
        print("page:", write_html(arguments.html, resampling, table, effects=effects, labels=labels), file=out)
    if arguments.site and embed is not None:
        files = site_files(resampling, embed, labels=labels, effects=effects)
        print("visualiser's files:", *write_site_files(arguments.site, files), file=out)
    return 0


class _Budget:
    """What `--max-cost` leaves for each step: a client's own `max_cost` holds for one run, and there are several."""

    def __init__(self, limit: float | None, *clients: Any) -> None:
        self._limit = limit
        self._clients = clients

    @property
    def _spent(self) -> float:
        return float(sum(client.usage.cost for client in self._clients))

    @contextmanager
    def step(self, what: str, client: Any) -> Iterator[dict[str, Any]]:
        """The settings that keep a step of `client` within what is left.

        Raises:
            BudgetExceeded: It needs more; the limit and the sum are the command's.
        """
        left: dict[str, Any] = {}
        if self._limit is not None:
            left["max_cost"] = max(0.0, self._limit - self._spent)
            usage = client.usage
            mean = usage.cost / usage.cost_known_for if usage.cost_known_for else 0.0
            # A run that knows no price sends one sample to learn it. No tokens forbid it where the money is out, and
            # let pass what is cached. The tolerance is for sums of floats.
            if not left["max_cost"] or left["max_cost"] * (1 + 1e-9) < mean:
                left["max_total_tokens"] = 0
        try:
            yield left
        except BudgetExceeded as error:
            if self._limit is not None and left != {"max_cost": self._limit}:  # else it names them already
                error.args = (
                    f"--max-cost {self._limit:g} does not suffice for {what}: ${self._spent:.4g} are spent in all. "
                    "What was answered is stored; raise the limit and run the command again for the rest.",
                )
            raise


def _checked(client: Any, arguments: argparse.Namespace, metric: str) -> Embedder | None:
    """See that all that is asked for can be done, before anything is spent; returns what embeds sentences.

    Raises:
        ConfigError: It cannot.
    """
    from rollouts.resampling import extractor
    from rollouts_anchors.files import check_file, check_folder
    from rollouts_anchors.similarity import embedder

    if arguments.kind == "counterfactual" and not arguments.similarity:
        raise ConfigError("--kind counterfactual needs --similarity minilm or words.")
    if arguments.site and not (arguments.truth and arguments.similarity):
        raise ConfigError(
            "--site needs --truth and --similarity: the visualiser shows accuracies and different sentences."
        )
    if metric == "accuracy" and not arguments.truth:
        raise ConfigError("--metric accuracy needs --truth.")
    if arguments.n_samples < 1:
        raise ConfigError(f"-n {arguments.n_samples}: ask for at least one sample of each position.")
    extractor(arguments.extract)
    for path in filter(None, (arguments.html, arguments.jsonl)):
        check_file(path)
    if arguments.site:
        check_folder(arguments.site, make=True)
    embed = embedder(arguments.similarity) if arguments.similarity else None
    if embed is not None:
        embed(["a missing package should be known before anything is spent"])
    client.trace("Cut.", "Is this a style?", style=arguments.style)
    return embed
