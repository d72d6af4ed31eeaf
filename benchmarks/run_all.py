"""Measure this package against plain `requests`, side by side, and print the tables of the speed goals.

    python benchmarks/run_all.py --quick                        # two or three minutes, this interpreter only
    python benchmarks/run_all.py --reps 3                       # the full sizes
    python benchmarks/run_all.py --jobs cache_write,cache_read
    python benchmarks/run_all.py --report results.jsonl         # the tables of an earlier run

Every measurement is a fresh process against one server process on 127.0.0.1. Peers take turns within a repetition, and
each repetition begins with another, so that what else the machine does meets all of them. Only ratios within one run
mean anything.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLOOR, OURS, PINNED, EARLIER = "floor 1: requests", "rollouts", "rollouts, one CPU", "rollouts 0.1.11"
PROCESSES, DASK = "rollouts, 2 processes", "rollouts, Dask of 2"

IMPORTS = {
    FLOOR: "import requests",
    OURS: "import rollouts\nrollouts.RolloutsClient('test/model', api_key='key')",
    EARLIER: "import rollouts\nrollouts.RolloutsClient(model='test/model', api_key='key')",
}
"""What the job `import` times."""


@dataclass(frozen=True)
class Peer:
    """A client under measurement: its module `peer_<module>.py`, and the interpreter that has its library."""

    label: str
    module: str
    mode: str
    python: str
    slow: bool = False
    """True for a client that costs 20 ms a request: it gets fewer samples, and rates are compared."""
    caches: tuple[str, ...] = ()


CLUSTERS = {PROCESSES: "processes", DASK: "dask"}
"""What the job `cluster` compares."""


@dataclass(frozen=True)
class Sizes:
    """How many samples each job asks for."""

    generate: int = 2000
    wide: int = 5120
    flat_out: int = 6000
    queued: int = 20_000
    stored: int = 20_000
    streamed: int = 1_000_000
    slow: int = 300
    spread: int = 5000
    resampled: int = 14_500


QUICK = Sizes(
    generate=1280,
    wide=2560,
    flat_out=3000,
    queued=6000,
    stored=4000,
    streamed=50_000,
    slow=150,
    spread=2560,
    resampled=2900,
)


class Server:
    """The stand-in for OpenRouter, on one port that stays the same when it is stopped and started again."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self.start()

    def start(self):
        command = [sys.executable, str(HERE / "fake_openrouter.py"), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def reset(self, latency_ms):
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/reset?latency_ms={latency_ms}", timeout=5).read()


class Runner:
    """Runs jobs; one method for each, which does one repetition over the peers."""

    def __init__(self, sizes, out):
        self.sizes = sizes
        self.out = out
        self.server = Server()
        self.rows = []
        # A tree that was just checked out, or an environment that writes no byte code, would have each process compile
        # its library anew, which no user's installation does.
        self.byte_code = tempfile.TemporaryDirectory(prefix="rollouts-bench-")
        left = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = {**left, "PYTHONPYCACHEPREFIX": self.byte_code.name}

    def measure(self, what, peer, job, n, *, c=64, latency=0, timeout=300, cache="", cache_dir=""):
        if job not in ("cache_read", "stream", "analyse"):
            self.server.reset(latency)
        command = [
            *peer.python.split(), str(HERE / f"peer_{peer.module}.py"), "--base-url", self.server.url, "--job", job,
            "--n", str(n), "--concurrency", str(c), "--latency-ms", str(latency), "--mode", peer.mode,
            "--cache", cache, "--cache-dir", cache_dir,
        ]  # fmt: skip
        load = os.getloadavg()[0]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        text, errors = process.communicate()
        killer.cancel()
        try:
            row = json.loads(text)
        except ValueError:
            last = (errors.strip().splitlines() or [f"exit {process.returncode}"])[-1]
            row = {"job": job, "n": n, "error": last[:300]}
        row.update(what=what, label=peer.label, load=round(load, 2), cache=cache)
        self.rows.append(row)
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()
        shown = ("wall_s", "per_s", "cpu_ms_per_item", "efficiency", "peak_rss_mb", "connections", "errors", "error")
        parts = [f"{key}={row[key]}" for key in shown if row.get(key) not in (None, "")]
        print(f"{what:14} {cache:5} {peer.label:20} n={n}", *parts, file=sys.stderr, flush=True)
        return row

    def job_generate(self, peers):
        for peer in peers:
            n = self.sizes.slow if peer.slow else self.sizes.generate
            self.measure("generate", peer, "generate", n, latency=50)

    def job_wide(self, peers):
        for peer in peers:
            if not peer.slow:
                self.measure("wide", peer, "generate", self.sizes.wide, c=512, latency=200)

    def job_flat_out(self, peers):
        for peer in peers:
            if not peer.slow:
                self.measure("flat_out", peer, "generate", self.sizes.flat_out)

    def job_cores(self, peers):
        for peer in peers:
            if peer.label == OURS:
                for other in (peer, replace(peer, label=PROCESSES, mode="processes")):
                    self.measure("cores", other, "generate", self.sizes.flat_out)

    def job_cluster(self, peers):
        for peer in peers:
            if peer.label == OURS:
                for other in (replace(peer, label=label, mode=mode) for label, mode in CLUSTERS.items()):
                    self.measure("cluster", other, "generate", self.sizes.spread, latency=50)

    def job_queued(self, peers):
        for peer in peers:
            if not peer.slow:
                self.measure("queued", peer, "generate", self.sizes.queued, latency=5)

    def job_cache_write(self, peers):
        for peer in peers:
            if not peer.slow:
                for cache in peer.caches:
                    with tempfile.TemporaryDirectory(prefix="rollouts-bench-") as folder:
                        self.measure(
                            "cache_write",
                            peer,
                            "cache_write",
                            self.sizes.generate,
                            latency=50,
                            cache=cache,
                            cache_dir=folder,
                        )

    def job_cache_read(self, peers):
        for peer in peers:
            for cache in peer.caches if peer.mode != "one-cpu" else ():
                folder = tempfile.mkdtemp(prefix="rollouts-bench-")
                n = self.sizes.stored
                fill = self.measure("cache_fill", peer, "cache_fill", n, cache=cache, cache_dir=folder)
                if not fill.get("error"):
                    self.server.stop()  # whatever is read now was stored
                    self.measure("cache_read", peer, "cache_read", n, cache=cache, cache_dir=folder)
                    self.server.start()
                shutil.rmtree(folder)

    def job_resample(self, peers):
        for peer in peers:
            if peer.label in (OURS, PINNED):
                folder = tempfile.mkdtemp(prefix="rollouts-bench-")
                n = self.sizes.resampled
                self.measure("resample", peer, "resample", n, latency=50, cache="sql", cache_dir=folder)
                self.server.stop()
                alone = replace(peer, python="taskset -c 0 " + peer.python)
                self.measure("analyse", alone, "analyse", n, cache="sql", cache_dir=folder)
                self.server.start()
                shutil.rmtree(folder)

    def job_import(self, peers):
        for peer in peers:
            if peer.label in IMPORTS:
                self.measure_import(peer)

    def measure_import(self, peer):
        """Import in a bare interpreter: the harness loads half of what `requests` does."""
        code = f"import time\nt = time.process_time()\n{IMPORTS[peer.label]}\nprint(time.process_time() - t)"
        for _ in range(5):
            done = subprocess.run([peer.python, "-P", "-c", code], capture_output=True, text=True, env=self.environment)
            row = {"what": "import", "label": peer.label, "job": "import", "n": 1, "load": round(os.getloadavg()[0], 2)}
            if done.returncode:
                row["error"] = (done.stderr.strip().splitlines() or ["failed"])[-1][:300]
            else:
                row["setup_cpu_s"] = float(done.stdout)
            self.rows.append(row)
            self.out.write(json.dumps(row) + "\n")

    def job_stream(self, peers):
        for peer in peers:
            if peer.label in (OURS, PINNED):
                self.measure("stream", peer, "stream", self.sizes.streamed, timeout=1800)


JOBS = (
    *("generate", "wide", "flat_out", "queued", "cache_write", "cache_read", "import", "stream", "cores", "cluster"),
    "resample",
)


# ── The tables ──────────────────────────────────────────────────────────────────────────────────────────


class Results:
    """Medians of the rows of one run."""

    def __init__(self, rows):
        self.rows = rows

    def get(self, what, label, field, cache=""):
        values = [
            row[field] for row in self.rows
            if row["what"] == what and row["label"] == label and row.get("cache", "") == cache
            and isinstance(row.get(field), int | float) and not row.get("errors")
        ]  # fmt: skip
        return statistics.median(values) if values else None

    def ratio(self, what, label, field, *, to=FLOOR, cache="", to_cache=None, to_what=None):
        ours = self.get(what, label, field, cache)
        floor = self.get(to_what or what, to, field, cache if to_cache is None else to_cache)
        return ours / floor if ours is not None and floor else None


@dataclass(frozen=True)
class Line:
    """One line of the goals: what, the two goals, whether more is better, and how it is read from the results."""

    what: str
    must: float
    aim: float
    more: bool
    read: object
    jobs: tuple[str, ...]
    digits: int = 2


LINES = (
    Line("C=64, 50 ms, no cache: efficiency", 0.90, 0.95, True,
         lambda r, who: r.get("generate", who, "efficiency"), ("generate",), 3),
    Line("the same: CPU per request, × floor 1", 0.65, 0.40, False,
         lambda r, who: r.ratio("generate", who, "cpu_ms_per_item"), ("generate",)),
    Line("writing `json`: CPU per request, × floor 1 (no cache)", 1.00, 0.60, False,
         lambda r, who: r.ratio("cache_write", who, "cpu_ms_per_item", cache="json", to_cache="", to_what="generate"),
         ("generate", "cache_write")),
    Line("writing `sql`: CPU per request, × floor 1 (no cache)", 1.00, 0.60, False,
         lambda r, who: r.ratio("cache_write", who, "cpu_ms_per_item", cache="sql", to_cache="", to_what="generate"),
         ("generate", "cache_write")),
    Line("C=512, 200 ms: efficiency", 0.50, 0.80, True,
         lambda r, who: r.get("wide", who, "efficiency"), ("wide",), 3),
    Line("0 ms, C=64: throughput, × floor 1", 1.5, 2.6, True,
         lambda r, who: r.ratio("flat_out", who, "per_s"), ("flat_out",)),
    Line("0 ms, C=64, 2 processes: throughput, × threads unpinned", 1.5, 1.5, True,
         lambda r, who: r.ratio("cores", PROCESSES, "per_s", to=OURS), ("cores",)),
    Line("50 ms, C=64, Dask of 2: wall time, × 2 processes", 1.1, 1.0, False,
         lambda r, who: r.ratio("cluster", DASK, "wall_s", to=PROCESSES), ("cluster",)),
    Line("C=64, 50 ms: requests per second, × rollouts 0.1.11", 20, 27, True,
         lambda r, who: r.ratio("generate", who, "per_s", to=EARLIER), ("generate",), 1),
    Line("queued in one call, 5 ms: peak RSS, × floor 1", 1.0, 0.75, False,
         lambda r, who: r.ratio("queued", who, "peak_rss_mb"), ("queued",)),
    Line("`as_completed`, in process: growth of RSS after 10,000, MB", 30, 10, False,
         lambda r, who: r.get("stream", who, "growth_mb"), ("stream",), 1),
    Line("import and a client: CPU, × `import requests`", 1.0, 0.5, False,
         lambda r, who: _over(r.get("import", OURS, "setup_cpu_s"), r.get("import", FLOOR, "setup_cpu_s")),
         ("import",)),
    Line("connections opened, C=64 (or C)", 64, 64, False,
         lambda r, who: r.get("generate", who, "connections"), ("generate",), 0),
    Line("resampling 145 positions × 100, 50 ms, C=64: efficiency", 0.90, 0.93, True,
         lambda r, who: r.get("resample", who, "efficiency", "sql"), ("resample",), 3),
    Line("the same from a warm `sql` cache on one core, with accuracy and KL: seconds", 3, 2, False,
         lambda r, who: r.get("analyse", who, "wall_s", "sql"), ("resample", "analyse")),
    Line("the same: peak RSS, MB", 300, 200, False,
         lambda r, who: r.get("analyse", who, "peak_rss_mb", "sql"), ("resample", "analyse"), 0),
    Line("reading `sql`: rate, × rollouts 0.1.11", 5, 8, True,
         lambda r, who: r.ratio("cache_read", OURS, "per_s", to=EARLIER, cache="sql"), ("cache_read",), 1),
    Line("reading `json`: rate, × rollouts 0.1.11", 2, 2.5, True,
         lambda r, who: r.ratio("cache_read", OURS, "per_s", to=EARLIER, cache="json"), ("cache_read",), 1),
    Line("reading `sql`: peak RSS, × rollouts 0.1.11", 1, 1, False,
         lambda r, who: r.ratio("cache_read", OURS, "peak_rss_mb", to=EARLIER, cache="sql"), ("cache_read",)),
    Line("reading `json`: peak RSS, × rollouts 0.1.11", 1, 1, False,
         lambda r, who: r.ratio("cache_read", OURS, "peak_rss_mb", to=EARLIER, cache="json"), ("cache_read",)),
)  # fmt: skip


def _over(a, b):
    return a / b if a is not None and b else None


def show(value, digits=2):
    """A number, or a dash where none was measured."""
    return "–" if value is None else f"{value:,.{digits}f}"


def judged(value, goal, more, digits):
    """A number and whether it meets its goal."""
    if value is None:
        return "–"
    return f"{show(value, digits)} {'✓' if (value >= goal if more else value <= goal) else '✗'}"


def goals(results, jobs):
    """The table of the goals, for the jobs that were run."""
    lines = ["| what | must | unpinned | aim | one CPU |", "|---|---|---|---|---|"]
    for line in LINES:
        if not set(line.jobs) <= set(jobs):
            continue
        cells = [judged(line.read(results, who), goal, line.more, line.digits)
                 for who, goal in ((OURS, line.must), (PINNED, line.aim))]  # fmt: skip
        lines.append(f"| {line.what} | {line.must:g} | {cells[0]} | {line.aim:g} | {cells[1]} |")
    return "\n".join(lines)


def details(results, jobs):
    """What was measured, peer by peer."""
    fields = (
        ("per s", "per_s", 0),
        ("efficiency", "efficiency", 3),
        ("CPU ms", "cpu_ms_per_item", 4),
        ("peak RSS MB", "peak_rss_mb", 0),
        ("connections", "connections", 0),
        ("set-up CPU s", "setup_cpu_s", 3),
    )
    lines = ["| job | peer | N | " + " | ".join(f[0] for f in fields) + " | CPU × floor 1 | note |"]
    lines.append("|" + "---|" * (len(fields) + 5))
    seen = {}
    for row in results.rows:
        seen.setdefault((row["what"], row.get("cache", ""), row["label"]), []).append(row)
    for (what, cache, label), rows in sorted(
        seen.items(), key=lambda kv: [r["what"] for r in results.rows].index(kv[0][0])
    ):
        cells = [show(results.get(what, label, field, cache), digits) for _, field, digits in fields]
        notes = {row["error"][:80] for row in rows if row.get("error")}
        notes |= {f"{row['errors']} wrong or missing answers" for row in rows if row.get("errors")}
        ratio = show(results.ratio(what, label, "cpu_ms_per_item", cache=cache))
        name = f"{what} [{cache}]" if cache else what
        lines.append(
            f"| {name} | {label} | {rows[0]['n']:,} | {' | '.join(cells)} | {ratio} | {'; '.join(sorted(notes))} |"
        )
    return "\n".join(lines)


def report(rows):
    """All tables as markdown."""
    results = Results(rows)
    jobs = {row["what"] for row in rows}
    loads = [row["load"] for row in rows]
    return (
        f"{goals(results, jobs)}\n\n{details(results, jobs)}\n\n"
        f"Load average before a measurement: {min(loads):.1f} to {max(loads):.1f}; {os.cpu_count()} CPUs; medians.\n"
    )


def peers_here(old):
    """The peers that can run: this interpreter's, and rollouts 0.1.11 where its environment is."""
    python = sys.executable
    found = [
        Peer(FLOOR, "requests", "shared", python, caches=("json", "sql")),
        Peer("requests, tuned", "requests", "tuned", python),
        Peer(OURS, "rollouts", "", python, caches=("json", "sql")),
        Peer(PINNED, "rollouts", "one-cpu", python, caches=("json", "sql")),
    ]
    if importlib.util.find_spec("aiohttp"):
        found.append(Peer("floor 3: aiohttp", "aiohttp", "", python))
    if Path(old).exists():
        found.append(Peer(EARLIER, "rollouts_0_1", "", old, slow=True, caches=("json", "sql")))
    else:
        print(f"no {old}: without rollouts 0.1.11 (benchmarks/README.md tells how to get it)", file=sys.stderr)
    return found


def main():
    """Run what the command line asks for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one repetition")
    parser.add_argument("--jobs", default=",".join(JOBS), help="some of " + ",".join(JOBS))
    parser.add_argument("--peers", default="", help="comma-separated parts of labels; floor 1 always runs")
    parser.add_argument("--reps", type=int, default=None, help="repetitions (3, with --quick 1)")
    parser.add_argument(
        "--old", default=str(HERE / "venvs/rollouts-0.1.11/bin/python"), help="Python with rollouts 0.1.11"
    )
    parser.add_argument("--out", default="", help="append each measurement to this file as a JSON line")
    parser.add_argument("--report", default="", help="print the tables of this file and stop")
    args = parser.parse_args()
    if args.report:
        with open(args.report) as file:
            print(report([json.loads(line) for line in file]))
        return
    jobs = [job.strip() for job in args.jobs.split(",") if job.strip()]
    unknown = set(jobs) - set(JOBS)
    if unknown:
        parser.error(f"no such job: {', '.join(sorted(unknown))}; there are {', '.join(JOBS)}")
    wanted = [part.strip() for part in args.peers.split(",") if part.strip()]
    peers = [p for p in peers_here(args.old) if p.label == FLOOR or not wanted or any(w in p.label for w in wanted)]
    with open(args.out or os.devnull, "a") as out:
        runner = Runner(QUICK if args.quick else Sizes(), out)
        try:
            for job in jobs:
                for repetition in range(args.reps or (1 if args.quick else 3)):
                    turn = repetition % len(peers)
                    getattr(runner, "job_" + job)(peers[turn:] + peers[:turn])
        finally:
            runner.server.stop()
            runner.byte_code.cleanup()
    print(report(runner.rows))


if __name__ == "__main__":
    main()
