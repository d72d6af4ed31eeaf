"""What rollouts does, top to bottom, on real answers. Run it twice: the second run makes no request.

With OPENROUTER_API_KEY set it asks OpenRouter (less than a cent), otherwise a small model on this machine.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import replace

from rollouts import RolloutsClient
from rollouts.hookspecs import hookimpl
from rollouts.typing import TransformSpec

QUESTION = "What is 5*10? Think step by step."
counts: Counter[str] = Counter()


# A plugin is a module or an object with hooks. This one counts requests and offers a prompt transform by name.
class Counting:
    @hookimpl
    def rollouts_on_run_end(self, event):
        counts["requests"] += event.requests
        counts["cached"] += event.cached

    @hookimpl
    def rollouts_register_transforms(self):
        return [TransformSpec(name="politely", factory=lambda: politely)]


def politely(conversation):
    *before, last = conversation.messages
    return replace(conversation, messages=(*before, {**last, "content": f"Please {last['content']}."}))


if os.environ.get("OPENROUTER_API_KEY"):
    # One provider, because not every provider goes on from an injected thought.
    whom = {"model": "qwen/qwen3-32b", "provider": {"only": ["deepinfra"], "allow_fallbacks": False}}
else:
    whom = {"model": "local/smollm2-135m-instruct"}


def title(text: str) -> None:
    print(f"\n── {text} ──")


def short(text: str | None) -> str:
    return repr((text or "")[:70])


def main() -> None:
    began = time.monotonic()
    print("asking", whom["model"], "on", "OpenRouter" if "provider" in whom else "this machine")

    with RolloutsClient(**whom, temperature=0.8, max_tokens=40, plugins=[Counting()]) as client:
        title("several samples, each with its own seed")
        rollouts = client.generate(QUESTION, n_samples=4)
        for response in rollouts:
            print(response.seed, short(response.full), response.finish_reason)
        print(rollouts.get_total_tokens(), "tokens in all")

        title("the same again comes from the cache; two more are two requests")
        start = time.perf_counter()
        again = client.generate(QUESTION, n_samples=4)
        print(f"{again.n_cached} of {len(again)} cached, {1000 * (time.perf_counter() - start):.0f} ms")
        print(len(client.generate(QUESTION, n_samples=6)), "samples now")

        title("a thought is injected, and the model goes on from it")
        for response in client.generate(f"{QUESTION}\n<think>\n5*1", n_samples=2, temperature=0.2):
            print(f"continued: {response.continued}; 5*1 → {short(response.thought)}")

        title("many prompts at once, in async code")
        for capital in asyncio.run(gather(client, "France", "Japan", "Peru")):
            print(capital.prompt, short(capital.content or capital.reasoning))

        title("settings of one call: temperature, length, stop, first seed")
        answer = client.generate("Count from 1 to 9.", temperature=0, max_tokens=20, stop=["7"], seed=7)[0]
        print(short(answer.full), answer.finish_reason)

        title("another cache, a rate limit, no progress bar")
        limited = client.generate(
            QUESTION, n_samples=2, use_cache="sql", requests_per_minute=600, progress_bar=False, max_tokens=10
        )
        print(limited.get_finish_reasons(), "kept in", limited.cache_dir)

        title("a list of messages, whose last one is continued")
        messages = [
            {"role": "system", "content": "You answer in one short sentence."},
            {"role": "user", "content": "Which colour is the sky?"},
            {"role": "assistant", "content": "The sky is"},
        ]
        print("The sky is →", short(client.generate(messages, temperature=0)[0].full))

        title("a transform that a plugin brought")
        print(short(client.generate("name a fruit", transforms=["politely"])[0].full))

    print(f"\n{counts['cached']} samples from the cache, {time.monotonic() - began:.1f} s")
    print(f"{counts['requests']} requests" + (": everything was kept" if not counts["requests"] else "; run me again"))


async def gather(client: RolloutsClient, *countries: str):
    asked = [client.agenerate(f"What is the capital of {country}?", max_tokens=20) for country in countries]
    return [rollouts[0] for rollouts in await asyncio.gather(*asked)]


if __name__ == "__main__":
    main()
