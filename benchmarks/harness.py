"""What every measured client shares: arguments, the work list, measuring, the one JSON line.

A client under measurement is a module `peer_*.py` with a class derived from `Peer`; `main(TheClass)` runs one job in a
fresh process and prints one JSON line. The library is imported in `load()`, so that it is no part of what is
measured. This module knows no library but the standard one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import io
import json
import os
import re
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

MODEL = "qwen/qwen3-30b-a3b"
PROMPT = "What is 2+2? Think step by step, then answer with one number."
KEY = "test-key"
PARAMETERS = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 4096}
JOBS = ("generate", "cache_write", "cache_fill", "cache_read", "many_prompts", "stream", "resample", "analyse")
LOCAL_JOBS = ("cache_read", "stream", "analyse")
"""Jobs that need no server."""
WARM_UP = "Are you there?"
ARM = 100
"""Samples of each position in the jobs `resample` and `analyse`."""

_SEED = re.compile(r"Sample (\d+): ")


class Peer:
    """A client under measurement."""

    name = "?"
    caches: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("",)

    def __init__(self, args):
        self.args = args

    def load(self):
        """Import the library."""

    def client(self):
        """Make the client; once, after `load`."""

    def warm_up(self):
        """Send one request that is not measured: libraries load their parts at first use."""

    def run(self, work):
        """Do every (prompt, seed) of `work`, at most `args.concurrency` at once; returns the texts."""
        raise NotImplementedError

    def stream(self, n):
        """Yield n samples that no server answers, one after the other, as they are done."""
        raise NotImplementedError

    def close(self):
        """Flush what a user would have to flush; inside the timed part."""

    def threads(self, call, work):
        with ThreadPoolExecutor(self.args.concurrency) as pool:
            return list(pool.map(call, work))

    def gather(self, call, work, setup, finish):
        async def go():
            state = await setup()
            gate = asyncio.Semaphore(self.args.concurrency)

            async def one(item):
                async with gate:
                    return await call(state, item)

            try:
                return await asyncio.gather(*map(one, work))
            finally:
                await finish(state)

        return asyncio.run(go())


def body_of(item):
    """The request that all peers send."""
    prompt, seed = item
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **PARAMETERS, "seed": seed}


def stats(base_url):
    """The server's counters."""
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=5)
    try:
        connection.request("GET", "/stats")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def make_work(args):
    """One prompt with n seeds; for `many_prompts` n prompts; for resampling positions with `ARM` seeds each."""
    if args.job in ("resample", "analyse"):
        return [(i // ARM, i % ARM) for i in range(args.n)]
    if args.job == "many_prompts":
        return [(f"{PROMPT} (question {i})", 0) for i in range(args.n)]
    return [(PROMPT, i) for i in range(args.n)]


def wrong_answers(texts, work):
    """How many answers are missing, empty, or belong to another seed."""
    wrong = max(0, len(work) - len(texts))
    for text, (_, seed) in zip(texts, work, strict=False):
        found = _SEED.search(text or "")
        wrong += not found or int(found.group(1)) != seed
    return wrong


def main(peer_class):
    """Run one job of `peer_class` as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", default="http://127.0.0.1:8399/api/v1")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--job", choices=JOBS, default="generate")
    parser.add_argument("--mode", default=peer_class.modes[0], choices=peer_class.modes)
    parser.add_argument("--cache", default="", choices=("", *peer_class.caches))
    parser.add_argument("--cache-dir", default="")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="for `efficiency` only")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in [k for k in os.environ if k.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ["OPENROUTER_API_KEY"] = KEY
    out = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()):  # a peer's chatter goes away; the one line stays
        result = measure(peer_class(args), args)
    print(json.dumps(result), file=out, flush=True)
    os._exit(0)  # what a peer leaves to the interpreter's exit is not measured


def measure(peer, args):
    """Do the job and return what it took."""
    result = {"peer": peer.name, "mode": args.mode, "cache": args.cache, "job": args.job, "n": args.n,
              "concurrency": args.concurrency, "latency_ms": args.latency_ms}  # fmt: skip
    cpu, start = time.process_time(), time.perf_counter()
    peer.load()
    result["import_s"] = round(time.perf_counter() - start, 4)
    result["import_cpu_s"] = round(time.process_time() - cpu, 4)
    peer.client()
    result["setup_cpu_s"] = round(time.process_time() - cpu, 4)
    try:
        return result | (_measure_stream(peer, args) if args.job == "stream" else _measure_work(peer, args))
    except Exception as error:  # a peer that fails is a result
        return result | {"error": f"{type(error).__name__}: {error}"[:300]}


def _measure_work(peer, args):
    work = make_work(args)
    online = args.job not in LOCAL_JOBS
    if online:
        peer.warm_up()
    before = stats(args.base_url) if online else {}
    cpu, start = _cpu(), time.perf_counter()
    texts = list(peer.run(work))
    peer.close()
    wall = time.perf_counter() - start
    took = _cpu() - cpu
    after = stats(args.base_url) if online else {}
    result = {
        "wall_s": round(wall, 4),
        "cpu_ms_per_item": round(1000 * took / args.n, 4),
        "per_s": round(args.n / wall, 1),
        "peak_rss_mb": round(_peak_rss(), 1),
        "errors": wrong_answers(texts, work),
        # The warm-up's connection may serve on, so it belongs to the count.
        "connections": after.get("connections", 0),
        "requests": after.get("requests", 0) - before.get("requests", 0),
        "peak_in_flight": after.get("peak_in_flight", 0),
    }
    if args.latency_ms:
        result["efficiency"] = round(args.n / args.concurrency * args.latency_ms / 1000 / wall, 4)
    return result


def _measure_stream(peer, args):
    first, settled, most = 10_000, None, 0.0
    cpu, start, seen = _cpu(), time.perf_counter(), 0
    for _ in peer.stream(args.n):
        seen += 1
        if seen % first == 0:
            now = _rss_now()
            settled, most = (now, now) if settled is None else (settled, max(most, now))
    wall = time.perf_counter() - start
    return {
        "wall_s": round(wall, 4),
        "per_s": round(args.n / wall, 1),
        "cpu_ms_per_item": round(1000 * (_cpu() - cpu) / args.n, 4),
        "growth_mb": round(most - (settled or most), 1),
        "peak_rss_mb": round(_peak_rss(), 1),
        "errors": args.n - seen,
    }


def _cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _rss_now():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
