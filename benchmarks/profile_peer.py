"""Where does one peer's client time go? cProfile over all threads, grouped by package.

    VENV/bin/python profile_peer.py requests --mode shared --n 1000 [peer arguments]

Run it with the peer's own interpreter. cProfile slows Python code (not C) about twofold: read
shares, not times.
"""

import collections
import cProfile
import importlib
import os
import pstats
import sys
import threading
import time

import harness


def package(path):
    if "site-packages" in path:
        return path.split("site-packages" + os.sep)[1].split(os.sep)[0].removesuffix(".py")
    if path == "~":
        return "(C)"
    if path.startswith(os.path.dirname(os.__file__)):
        return "stdlib " + os.path.relpath(path, os.path.dirname(os.__file__)).split(os.sep)[0]
    if path.startswith("<"):
        return "stdlib frozen " + path.strip("<>").removeprefix("frozen ")
    return "peer"


def main():
    name = sys.argv.pop(1)
    module = importlib.import_module("peer_" + name)
    peer_class = next(
        v
        for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, harness.Peer) and v is not harness.Peer
    )
    profiles, run = [], peer_class.run
    real = threading.Thread.run

    def thread_run(self):
        profile = cProfile.Profile(time.thread_time)  # CPU time: waiting costs nothing
        profiles.append(profile)
        profile.runcall(real, self)

    def profiled(self, work):
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        threading.Thread.run = thread_run
        try:
            return profile.runcall(run, self, work)
        finally:
            threading.Thread.run = real

    peer_class.run = profiled
    os._exit = lambda code: None
    harness.main(peer_class)
    total = None
    for profile in profiles:
        profile.create_stats()
        if profile.stats:
            total = pstats.Stats(profile) if total is None else total.add(profile)
    groups, all_time = collections.Counter(), 0
    for (path, _, _), (_, _, own, _, _) in total.stats.items():
        groups[package(path)] += own
        all_time += own
    print(f"total CPU under the profile {all_time:.2f} s; own time by package:")
    for group, own in groups.most_common(14):
        print(f"  {own / all_time:6.1%}  {group}")
    print("own time by function:")
    rows = sorted(total.stats.items(), key=lambda kv: -kv[1][2])[:16]
    for (path, _, function), (_, calls, own, cumulative, _) in rows:
        print(
            f"  {own / all_time:6.1%} own {cumulative / all_time:6.1%} cum {calls:8d} calls  "
            f"{package(path)}: {function}"
        )
    print("cumulative, packages only:")
    rows = sorted(total.stats.items(), key=lambda kv: -kv[1][3])
    shown = 0
    for (path, line, function), (_, calls, _, cumulative, _) in rows:
        if package(path) != "(C)" and shown < 28:
            shown += 1
            print(
                f"  {cumulative / all_time:6.1%} cum {calls:8d} calls  "
                f"{package(path)}: {os.path.basename(path)}:{line} {function}"
            )


if __name__ == "__main__":
    main()
