"""A testing kit for users and plugin authors: no network beyond this machine, no waiting, no mocks of sockets.

`LoopbackServer` is a real HTTP server on 127.0.0.1 that answers as OpenRouter does, or as badly as told; `FakeAdapter`
is a service inside the process; `FakeClock` is time that passes when told. One contract suite for each kind of plugin:
a subclass of five lines is a complete test. pytest finds the fixtures `rollouts_server`, `rollouts_client` and
`plugin_manager` by itself.

Names are resolved when first used, so that pytest pays for nothing that no test asks for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts.testing.clock import FakeClock, FakeStop
    from rollouts.testing.contracts.adapter import AdapterContract
    from rollouts.testing.contracts.cache import CacheContract
    from rollouts.testing.contracts.command import CommandContract
    from rollouts.testing.contracts.executor import ExecutorContract
    from rollouts.testing.contracts.limiter import LimiterContract
    from rollouts.testing.contracts.progress import ProgressContract
    from rollouts.testing.contracts.splitter import SplitterContract
    from rollouts.testing.contracts.think_template import ThinkTemplateContract
    from rollouts.testing.contracts.transform import PromptTransformContract, ResponseTransformContract
    from rollouts.testing.fake import FakeAdapter
    from rollouts.testing.replies import ReceivedRequest, Reply, chat_reply, completion_reply
    from rollouts.testing.server import LoopbackServer

__all__ = [
    "AdapterContract",
    "CacheContract",
    "CommandContract",
    "ExecutorContract",
    "FakeAdapter",
    "FakeClock",
    "FakeStop",
    "LimiterContract",
    "LoopbackServer",
    "ProgressContract",
    "PromptTransformContract",
    "ReceivedRequest",
    "Reply",
    "ResponseTransformContract",
    "SplitterContract",
    "ThinkTemplateContract",
    "chat_reply",
    "completion_reply",
]

_HOMES = {
    "AdapterContract": "contracts.adapter",
    "CacheContract": "contracts.cache",
    "CommandContract": "contracts.command",
    "ExecutorContract": "contracts.executor",
    "FakeAdapter": "fake",
    "FakeClock": "clock",
    "FakeStop": "clock",
    "LimiterContract": "contracts.limiter",
    "LoopbackServer": "server",
    "ProgressContract": "contracts.progress",
    "PromptTransformContract": "contracts.transform",
    "ReceivedRequest": "replies",
    "Reply": "replies",
    "ResponseTransformContract": "contracts.transform",
    "SplitterContract": "contracts.splitter",
    "ThinkTemplateContract": "contracts.think_template",
    "chat_reply": "replies",
    "completion_reply": "replies",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"rollouts.testing.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'rollouts.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
