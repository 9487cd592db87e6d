#!/usr/bin/env python3
"""Benchmarks against real peers, as ratios from interleaved runs: `./dev bench --help`.

A benchmark is a generator over figures, called with what all of them share (bench.py); a module of
benchmarks lists them in BENCHMARKS and is named in MODULES.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

import agent_footprint
import auth_rates
import echo
import fleet
import inventory
import raw_bytes
import recording_cost
import scp
import ssh_connect
import ssh_throughput
import table
import trusted_clusters
from bench import Bench
from pairs import Failed
from peers import package_version
from peers.remoteler import e2e

MODULES = (ssh_connect, ssh_throughput, raw_bytes, echo, inventory, auth_rates, fleet, agent_footprint,
           recording_cost, scp, trusted_clusters)
BENCHMARKS = {name: run for module in MODULES for name, run in module.BENCHMARKS.items()}
NOISE = ("ssh-connect", "ssh-throughput-down", "ssh-throughput-up")

EPILOG = f"""\
benchmarks: {', '.join(BENCHMARKS)}

A ratio is Remoteler's figure through the peer's: seconds, milliseconds and KiB are better when it is
small, MB/s when it is large. RL_BENCH_RUNS, _PAIRS, _BYTES, _SECONDS, _STREAMS, _AGENTS, _NODES, _LEAVES,
_USERS and _FILES make a quick trial of it.

example: ./dev bench ssh-connect reattach
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def cpu_model():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def conditions():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu_model(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "settings": {k: v for k, v in sorted(os.environ.items()) if k.startswith("RL_BENCH_")},
        "openssh_client": package_version("openssh-client"),
        "libssl": package_version("libssl3"),
    }


def earlier(path, chosen):
    """The report of a benchmark that was done whole, for --resume."""
    if not chosen.resume or not path.exists():
        return None
    report = json.loads(path.read_text())
    return report if report.get("is_whole") else None


def run_one(name, bench, path):
    """Prints a row for each figure and writes all of them; False when the benchmark failed."""
    report = {"benchmark": name, "what": BENCHMARKS[name].__doc__, "is_whole": False}
    report["conditions"], report["results"] = conditions(), []
    begin = time.monotonic()
    try:
        for result in BENCHMARKS[name](bench):
            report["results"].append(result)
            print(table.row(name, result), flush=True)
        report["is_whole"] = True
    except (Failed, e2e.Failed, subprocess.SubprocessError, OSError) as problem:
        report["problem"] = str(problem)
        say(f"bench: {name} failed: {problem}")
    finally:
        report["seconds"] = time.monotonic() - begin
        report["conditions"].update(bench.conditions())
        path.write_text(json.dumps(report, indent=2) + "\n")
    return report["is_whole"]


def arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures Remoteler against programs that others trust, in pairs of runs.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="one or more benchmarks; none: all")
    parser.add_argument(
        "--resume", action="store_true",
        help="those that were done whole before are shown again, not made again",
    )
    parser.add_argument(
        "--noise", action="store_true",
        help="the jump host against itself: how far from 1.0 this machine's noise goes",
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--programs", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.names = chosen.names or list(NOISE if chosen.noise else BENCHMARKS)
    for name in chosen.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark is called {name}; there are: {', '.join(BENCHMARKS)}")
        if chosen.noise and name not in NOISE:
            parser.error(f"--noise is for {', '.join(NOISE)}")
    return chosen


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = arguments()
    out = chosen.out / "noise" if chosen.noise else chosen.out
    out.mkdir(parents=True, exist_ok=True)
    bench, failed = Bench(chosen.out, chosen.programs, chosen.noise), 0
    print(table.head(), flush=True)
    try:
        for name in chosen.names:
            path = out / f"{name}.json"
            done = earlier(path, chosen)
            if done:
                print("\n".join(table.row(name, result) for result in done["results"]), flush=True)
            else:
                failed += not run_one(name, bench, path)
    finally:
        bench.close()
    say(f"bench: written to {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
