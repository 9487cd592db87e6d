#!/usr/bin/env python3
"""Runs a suite of end-to-end tests: python3 run.py e2e|faults|static [MODULE|TEST ...].

A test is a function test_* of a module in this folder; its name is a sentence. Modules whose name
begins with faults_ or static_ belong to the suite of that name, those with test_ to `e2e`. Each module has a cluster of
its own, in which alice is logged in, and one that says NEEDS_LEAF = True a second that trusts the first; some modules run
at the same time (RL_E2E_CLUSTERS).
"""

import concurrent.futures
import importlib
import os
import pathlib
import re
import subprocess
import sys
import traceback

from cluster import Cluster
from verdicts import run_one, say_counts, tests_of

HERE = pathlib.Path(__file__).parent
CLUSTERS = int(os.environ.get("RL_E2E_CLUSTERS", "3"))
COUNTS = re.compile(r"^e2e: (\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)


# ---- one module, over its cluster ----


def tests_in(module, chosen):
    return tests_of(vars(importlib.import_module(module)), chosen)


def run_module(module, chosen):
    cluster = Cluster()
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    try:
        cluster.up(getattr(importlib.import_module(module), "NEEDS_LEAF", False))
        cluster.login().check()
        for name, test in tests_in(module, chosen):
            counts[run_one(f"{module}.{name}", test, cluster)] += 1
        if counts["FAILED"]:
            print(cluster.logs())
    except Exception:
        counts["FAILED"] += 1
        traceback.print_exc(file=sys.stdout)
        print(cluster.logs())
    finally:
        cluster.down()
    say_counts(counts)
    return 1 if counts["FAILED"] else 0


# ---- all of them ----


def modules_of(suite, chosen):
    """The modules that have something to run; the later ones take longer, so they begin."""
    prefix = "test_" if suite == "e2e" else suite + "_"
    names = sorted((path.stem for path in HERE.glob(prefix + "*.py")), reverse=True)
    tests = {word for word in chosen if word not in names}
    wanted = [name for name in names if name in chosen or not chosen]
    if tests:
        wanted += [name for name in names if name not in wanted and list(tests_in(name, tests))]
    return [(name, sorted(tests) if name not in chosen else []) for name in wanted]


def start_module(module, tests):
    """Its output, in a process of its own."""
    words = [sys.executable, "-B", __file__, "--module", module, *tests]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode("utf-8", "replace")


def run_suite(suite, chosen):
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(CLUSTERS) as pool:
        runs = {pool.submit(start_module, *work): work[0] for work in modules_of(suite, chosen)}
        for run in concurrent.futures.as_completed(runs):
            output = run.result()
            counts = COUNTS.findall(output)
            print(COUNTS.sub("", output).rstrip(), flush=True)
            if not counts:
                print(f"{runs[run]} came to no end FAILED", flush=True)
            for i, count in enumerate(counts[-1] if counts else (0, 1, 0)):
                totals[i] += int(count)
    print("e2e: {} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] or not totals[0] else 0


def main():
    sys.path.insert(0, str(HERE))
    if sys.argv[1] == "--module":
        return run_module(sys.argv[2], set(sys.argv[3:]))
    return run_suite(sys.argv[1], set(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
