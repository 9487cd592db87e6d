#!/usr/bin/env python3
"""Benchmarks against real peers, as ratios from interleaved runs: `./dev bench --help`.

A benchmark is a generator over variants, called with the subject and the peer; a module of
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
import sys

import ssh_connect
import ssh_throughput
from pairs import Failed
from peers import package_version
from peers.jumphost import JumpHost
from peers.remoteler import Remoteler

MODULES = (ssh_connect, ssh_throughput)
BENCHMARKS = {name: run for module in MODULES for name, run in module.BENCHMARKS.items()}

EPILOG = f"""\
benchmarks: {', '.join(BENCHMARKS)}

A ratio above 1.0 says that Remoteler is the faster one. RL_BENCH_RUNS, RL_BENCH_PAIRS and
RL_BENCH_BYTES make a quick trial of it.

example: ./dev bench ssh-connect
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def cpu_model():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def conditions(subject, peer):
    versions = {"openssh_client": package_version("openssh-client"), "libssl": package_version("libssl3")}
    versions.update(peer.versions())
    versions.update(subject.versions())
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu_model(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "subject": subject.name,
        "subject_network": subject.network,
        "peer": peer.name,
        "peer_network": peer.network,
        "versions": versions,
    }


def amount(seconds, count):
    return f"{count / seconds / 1e6:.0f} MB/s" if count else f"{seconds * 1e3:.1f} ms"


ROW = "{:<20} {:<11} {:>11} {:>11} {:>7} {:>11} {:>3}"


def table_row(name, result):
    pairs, count = result["pairs"], result.get("bytes")
    return ROW.format(
        name,
        result["variant"],
        amount(result["subject"]["median_s"], count),
        amount(result["peer"]["median_s"], count),
        f"{result['ratio']:.2f} x",
        f"{pairs['least']:.2f}-{pairs['greatest']:.2f}",
        len(pairs["ratios"]),
    )


def run_one(name, subject, peer, out):
    """Prints a row for each variant and writes all of them; False when the benchmark failed."""
    report = {"benchmark": name, "what": BENCHMARKS[name].__doc__, "conditions": conditions(subject, peer)}
    report["results"] = []
    try:
        for result in BENCHMARKS[name](subject, peer):
            report["results"].append(result)
            print(table_row(name, result), flush=True)
    except Failed as problem:
        say(f"bench: {name} failed: {problem}")
        return False
    finally:
        (out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    return True


def arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures Remoteler against an OpenSSH jump host, in pairs of runs.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="one or more benchmarks; none: all")
    parser.add_argument(
        "--noise", action="store_true",
        help="the peer against itself: how far from 1.0 this machine's noise goes",
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--programs", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for name in chosen.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark is called {name}; there are: {', '.join(BENCHMARKS)}")
    return chosen


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = arguments()
    out = chosen.out / "noise" if chosen.noise else chosen.out
    out.mkdir(parents=True, exist_ok=True)
    peer = JumpHost(chosen.out / "jumphost")
    reason = peer.missing()
    if reason:
        say(f"bench: skipped, the peer OpenSSH jump host is missing: {reason}")
        return 0
    subject = peer if chosen.noise else Remoteler(chosen.out / "cluster", chosen.programs)
    failed = 0
    try:
        peer.start()
        if subject is not peer:
            subject.start()
        head = ("benchmark", "variant", subject.name, peer.name, "ratio", "pairs", "n")
        print(ROW.format(*head), flush=True)
        for name in chosen.names or BENCHMARKS:
            failed += not run_one(name, subject, peer, out)
    finally:
        peer.stop()
        if subject is not peer:
            subject.stop()
    say(f"bench: written to {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
