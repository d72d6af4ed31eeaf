"""`python -m rollouts_local fetch | where | serve`: the weights and the server by hand."""

from __future__ import annotations

import argparse
import os
import sys
import threading

from rollouts.exceptions import RolloutsError
from rollouts_local import weights
from rollouts_local.helper import serve
from rollouts_local.server import ServerConfig


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rollouts_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("fetch", "fetch the weights where they are missing, and print where they are"),
        ("where", "print where the weights are; exit code 1 where they are not"),
        ("serve", "serve the model to other programs until Ctrl-C, with OpenAI's API"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("model", nargs="?", default=weights.SMOLLM2.model, help="default: %(default)s")
        if name == "serve":
            command.add_argument("--port", type=int, default=0, help="default: any free one")
            command.add_argument("--slots", type=int, default=8, help="requests at once (default: 8)")
            command.add_argument("--context", type=int, default=2048, help="tokens per slot (default: 2048)")
            command.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    options = parser.parse_args(arguments)
    try:
        chosen = weights.known(options.model.removeprefix("local/"))
        if options.command == "where":
            found = weights.find(chosen)
            print(found or f"not here; it would be kept in {weights.directory()}")
            return 0 if found else 1
        path = weights.ensure(chosen)
    except RolloutsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if options.command == "fetch":
        print(path)
        return 0
    config = ServerConfig(str(path), chosen.model, options.slots, options.context, options.threads)
    _serve(config, options.port)
    return 0


def _serve(config: ServerConfig, port: int) -> None:
    server = serve(
        {
            "path": config.path,
            "alias": config.alias,
            "slots": config.slots,
            "context": config.context,
            "threads": config.threads,
            "port": port,
        }
    )
    try:
        print(f"{server.listening_address}/v1", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        # llama.cpp's own way out hangs while a request is under way.
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
