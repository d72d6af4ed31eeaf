"""A testing kit for users and plugin authors: no network beyond this machine, no waiting, no mocks of sockets.

`LoopbackServer` is a real HTTP server on 127.0.0.1 that answers as OpenRouter does, or as badly as told.
"""

from __future__ import annotations

from rollouts.testing.server import LoopbackServer, ReceivedRequest, Reply, chat_reply, completion_reply

__all__ = ["LoopbackServer", "ReceivedRequest", "Reply", "chat_reply", "completion_reply"]
