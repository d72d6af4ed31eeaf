"""The earlier package, rollouts 0.1.11, as its users call it: all requests at once, a client a request."""

from __future__ import annotations

from harness import KEY, MODEL, PARAMETERS, Peer, main


class Earlier(Peer):
    name = "rollouts 0.1.11"
    caches = ("json", "sql")

    def load(self):
        import rollouts

        self.rollouts = rollouts

    def client(self):
        self.rc = self.rollouts.RolloutsClient(
            model=MODEL, **PARAMETERS, api_key=KEY, progress_bar=False, use_cache=self.args.cache or False,
            cache_dir=self.args.cache_dir or "unused-cache",
        )  # fmt: skip
        self.rc.provider.api_url = self.args.base_url + "/chat/completions"  # its URL is a constant

    def fill(self, work):
        """Put answers in through its own cache, with no request (it would take minutes)."""
        from rollouts.datatypes import Response, Usage

        for prompt, seed in work:
            content, reasoning = f"Sample {seed}: " + "answer " * 170, "thought " * 100
            self.rc.cache.set(
                prompt=prompt, model=MODEL, provider=None, **PARAMETERS, seed=seed, top_k=None, presence_penalty=0.0,
                frequency_penalty=0.0,
                response=Response(
                    full=f"{reasoning}</think>{content}", content=content, reasoning=reasoning, finish_reason="stop",
                    provider="Loopback", response_id=f"gen-{seed}", model=MODEL, object="chat.completion",
                    created=1760000000, usage=Usage(24, 420, 444), logprobs=None, echo=False, seed=seed,
                ),
            )  # fmt: skip
        return [f"Sample {seed}: " for _, seed in work]

    def run(self, work):
        if self.args.job == "cache_fill":
            return self.fill(work)
        return [r.content for r in self.rc.generate(work[0][0], n_samples=len(work))]


if __name__ == "__main__":
    main(Earlier)
