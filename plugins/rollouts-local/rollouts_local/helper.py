"""The process that serves one model: llama.cpp on a loopback port, until its parent is gone.

It is a process of its own because llama.cpp's server cannot be ended inside another one (xllamacpp 2026.10, Linux):
with a request under way, leaving the interpreter is a segmentation fault and dropping the server hangs; a forked
child hangs at its end. Run by `server.py` with a JSON configuration as its one argument; knows nothing of rollouts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any


def serve(config: Mapping[str, Any]) -> Any:
    """Load the model and listen; returns the server, whose `listening_address` is its URL.

    Args:
        config: `path` of the GGUF file, `alias`, `slots` (requests at once), `context` (tokens per slot),
            `threads`, and `port` (0: any free one).
    """
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = config["path"]
    p.model_alias = {config["alias"]}
    p.hostnames, p.port = ["127.0.0.1"], config["port"]
    p.n_parallel, p.n_ctx = config["slots"], config["slots"] * config["context"]
    p.n_gpu_layers = 0
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = config["threads"]
    p.ui, p.verbosity = False, 1
    # With the model's stock template a trailing assistant turn is continued as it stands, and tags stay in the text.
    p.prefill_assistant = True
    p.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    return xllamacpp.Server(p)


def main(config: Mapping[str, Any]) -> None:
    """Serve, tell the URL on standard output, and end with standard input (the parent closes it by dying)."""
    # Ctrl-C reaches every process of a terminal; answers under way are the parent's to wait for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # llama.cpp may print; the pipe is for the URL alone
    server = serve(config)
    told.write(f"{server.listening_address}\n")
    told.close()
    sys.stdin.buffer.read()
    # No clean-up: with a request under way it would hang.
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
