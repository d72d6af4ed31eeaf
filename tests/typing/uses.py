"""Uses of the public API as people write them. Type-checked by the checkers people have; never run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from rollouts import Failure, Response, Rollouts, RolloutsClient, Usage
from rollouts.events import SampleEvent
from rollouts.exceptions import RolloutsError, SamplingError
from rollouts.hookspecs import hookimpl
from rollouts.identity import SampleKey
from rollouts.typing import CacheBackend, CacheOptions, Conversation, Limiter, Progress, Spec


def sample() -> list[str]:
    with RolloutsClient("a/b", temperature=0.5, provider={"only": ["x"]}) as client:
        rollouts: Rollouts = client.generate("Hello", n_samples=3, max_tokens=5)
        first: Response = rollouts[0]
        some: list[Response] = rollouts[1:]
        usage: Usage = first.usage
        cost: float | None = usage.cost
        print(cost, len(some), rollouts.failures[0].error)
        many: list[Rollouts] = client.generate_many(["a", "b"])
        for item in client.as_completed(iter(["a"]), on_error="keep"):
            if isinstance(item, Failure):
                print(item.kind)
            else:
                print(item.content)
        return [response.full for rollouts in many for response in rollouts]


async def gathered(client: RolloutsClient) -> Sequence[Rollouts]:
    return await asyncio.gather(*(client.agenerate(str(i)) for i in range(3)))


def partial(client: RolloutsClient) -> Rollouts | None:
    try:
        return client.generate([{"role": "user", "content": "Hello"}])
    except SamplingError as error:
        print(error.failures[0].kind)
        return None
    except RolloutsError:
        return None


class Memory:
    """A stranger's cache."""

    def __init__(self, options: CacheOptions) -> None:
        self.kept: dict[SampleKey, Response] = {}

    def load_many(self, keys: Iterable[SampleKey]) -> Iterable[tuple[SampleKey, Response]]:
        return ((key, self.kept[key]) for key in keys if key in self.kept)

    def store(self, key: SampleKey, response: Response) -> None:
        self.kept.setdefault(key, response)

    def close(self) -> None:
        self.kept.clear()


class Plugin:
    @hookimpl
    def rollouts_register_caches(self) -> list[Spec]:
        return [Spec(name="memory", factory=Memory)]

    @hookimpl
    def rollouts_on_sample(self, event: SampleEvent) -> None:
        print(event.cached, event.result.seed)


def shout(conversation: Conversation) -> Conversation:
    return Conversation(conversation.messages, conversation.prefill, conversation.thought)


client = RolloutsClient("a/b", plugins=[Plugin()], use_cache="memory", transforms=[shout])


def kinds(cache: CacheBackend, limiter: Limiter, progress: Progress) -> None:
    RolloutsClient("a/b", use_cache=cache, limiter=limiter)
    progress.start(None, 0)
