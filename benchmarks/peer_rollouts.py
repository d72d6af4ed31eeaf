"""This package, through its public client. `--mode one-cpu` keeps the worker threads on one CPU, `processes` and
`dask` spread them over two worker processes.
"""

from __future__ import annotations

import json
import re
import warnings
from itertools import groupby

from harness import ARM, KEY, MODEL, PARAMETERS, PROMPT, WARM_UP, Peer, main


class Rollouts(Peer):
    name = "rollouts"
    modes = ("", "one-cpu", "processes", "dask")
    caches = ("json", "sql")

    def load(self):
        import rollouts

        self.client_class = rollouts.RolloutsClient
        if self.args.job == "analyse":
            import rollouts_anchors

            self.importance = rollouts_anchors.importance

    def client(self):
        args = self.args
        more = {"cache_dir": args.cache_dir} if args.cache_dir else {}
        if args.mode == "one-cpu":
            more["worker_affinity"] = "one-cpu"
        if args.mode in ("processes", "dask"):
            more.update(executor=args.mode, executor_options={"workers": 2})
        if args.job == "stream":
            more.update(adapter="instant", plugins=[InstantPlugin()])
        else:
            more.update(adapter="openrouter", base_url=args.base_url)
            if args.mode != "dask":  # whose workers have it from the environment
                more["api_key"] = KEY
        self.rc = self.client_class(
            MODEL,
            **PARAMETERS,
            use_cache=args.cache or False,
            progress_bar=False,
            max_concurrency=args.concurrency,
            **more,
        )

    def warm_up(self):
        # Worker processes are up when each has had something to do.
        n = 1000 if self.args.mode in ("processes", "dask") else 1
        self.rc.generate(WARM_UP, n_samples=n, use_cache=False)

    def run(self, work):
        if self.args.job in ("resample", "analyse"):
            return self.resample(len(work) // ARM)
        if self.args.job == "many_prompts":
            return [r[0].content for r in self.rc.generate_many([prompt for prompt, _ in work])]
        texts = []
        for prompt, items in groupby(work, key=lambda item: item[0]):
            texts += [sample.content for sample in self.rc.generate(prompt, n_samples=len(list(items)))]
        return texts

    def resample(self, n_positions):
        """The samples before each sentence of a trace; for `analyse` also the two tables that are made of them."""
        thought = " ".join(f"Step {i} adds {i} to the sum of all the steps before it." for i in range(n_positions))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the server says goes on from no prefix
            trace = self.rc.trace(f"{thought}</think>It is done.", PROMPT)
            # An answer is a digit, so that arms have ten answers and accuracies of about a tenth.
            found = self.rc.resample(trace, ARM, extract=re.compile(r"Sample \d*(\d): "), truth="7")
        if self.args.job == "analyse":
            for metric in ("accuracy", "kl"):
                table = self.importance(found, metric=metric)
                assert sum(row.value is not None for row in table.rows) == n_positions - 1, table
        return [slot.content for arm in found.arms.values() for slot in arm.slots]

    def stream(self, n):
        each = 100
        return self.rc.as_completed((f"question {i}" for i in range(n // each)), n_samples=each)

    def close(self):
        self.rc.close()


class InstantPlugin:
    """An adapter that answers in this process, as a stranger would write it."""

    def __init__(self):
        from rollouts.hookspecs import hookimpl
        from rollouts.typing import AdapterSpec

        def register():
            return [AdapterSpec(name="instant", factory=Instant, key_required=False, http=False)]

        self.rollouts_register_adapters = hookimpl(register)


class Instant:
    service = "instant"

    def __init__(self, options):
        from rollouts.results import Response
        from rollouts.typing import WireReply, WireRequest

        self.make_request, self.make_reply, self.make_response = WireRequest, WireReply, Response
        self.body = json.dumps({"text": "answer " * 100}).encode()

    def encode(self, conversation, settings):
        body = {"model": settings.model, "messages": list(conversation.messages), **settings.sampling}
        return self.make_request("instant:", "chat", body, "seed", conversation, settings.template)

    def send(self, request, number, stop):
        return self.make_reply(200, {"content-type": "application/json"}, self.body)

    def classify(self, reply):
        from rollouts.typing import Outcome

        return Outcome("ok", status=200)

    def decode(self, request, reply):
        return self.make_response(reply.json()["text"], finish_reason="stop", model="instant")


if __name__ == "__main__":
    main(Rollouts)
