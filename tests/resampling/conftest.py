"""A served model, its clients, and an asker in this process."""

from __future__ import annotations

import warnings

import pytest

from rollouts import RolloutsClient
from rollouts.exceptions import RolloutsWarning
from rollouts.testing.replies import Reply, chat_reply
from rollouts.testing.server import LoopbackServer


def speak(request):
    """Goes on with two sentences and an answer that its number decides; every sample has a name of its own."""
    if "chat/completions" not in request.path:
        return None
    body = request.json()
    last = body["messages"][-1]
    if last["role"] == "assistant" and last["content"].endswith("{"):
        return Reply(json=chat_reply("3}.", None))
    return Reply(json=chat_reply(f"So \\boxed{{{body['seed'] % 2}}}", " Else now. End.", id=f"{last}/{body['seed']}"))


class Served:
    """The server and what was asked of it."""

    def __init__(self, server):
        self.server = server

    def asked(self):
        """Turn gone on from and number of each request since the last look, sorted."""
        bodies = [request.json() for request in self.server.requests if "chat/completions" in request.path]
        self.server.reset()
        return sorted((body["messages"][-1]["content"], body["seed"]) for body in bodies)

    def numbers(self, turn):
        """The numbers asked of one turn since the last look."""
        return [number for content, number in self.asked() if content == turn]


@pytest.fixture
def served():
    with LoopbackServer(speak) as running:
        yield Served(running)


@pytest.fixture
def client_of(served, tmp_path):
    """Makes clients of the served model, with one cache."""
    clients = []

    def client(model="qwen/qwen3-30b-a3b", **settings):
        fixed = {"adapter": "openrouter", "base_url": served.server.url, "api_key": "x", "cache_dir": tmp_path}
        clients.append(RolloutsClient(model, **{**fixed, "progress_bar": False, **settings}))
        return clients[-1]

    with warnings.catch_warnings():
        # Without a pinned provider the client warns that routing may mix; here there is one server.
        warnings.simplefilter("ignore", RolloutsWarning)
        yield client
    for one in clients:
        one.close()
