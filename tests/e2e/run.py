#!/usr/bin/env python3
"""Runs a suite of end-to-end tests over one cluster: python3 run.py e2e|faults [TEST ...].

A test is a function test_* of a module in this folder; its name is a sentence. Modules whose name
begins with faults_ belong to the suite `faults`, the others to `e2e`.
"""

import importlib
import pathlib
import sys
import time
import traceback

from cluster import Cluster, Failed, Skip

HERE = pathlib.Path(__file__).parent




def tests_of(suite, chosen):
    prefix = "faults_" if suite == "faults" else "test_"
    for path in sorted(HERE.glob(prefix + "*.py")):
        module = importlib.import_module(path.stem)
        for name, value in list(vars(module).items()):
            if name.startswith("test_") and callable(value) and (not chosen or name in chosen):
                yield path.stem, name, value


def run_one(cluster, module, name, test):
    start = time.monotonic()
    try:
        test(cluster)
        verdict = "ok"
    except Skip as reason:
        print(f"{module}.{name} skipped: {reason}", flush=True)
        return "skipped"
    except Exception as problem:  # a test's own bug fails it like the product's
        verdict = "FAILED"
        print(problem if isinstance(problem, Failed) else traceback.format_exc())
    print(f"{module}.{name} ({time.monotonic() - start:.1f} s) {verdict}", flush=True)
    return verdict


def main():
    suite, chosen = sys.argv[1], set(sys.argv[2:])
    sys.path.insert(0, str(HERE))
    cluster = Cluster()
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    try:
        cluster.up()
        for module, name, test in tests_of(suite, chosen):
            counts[run_one(cluster, module, name, test)] += 1
        if counts["FAILED"]:
            print(cluster.logs())
    except Exception:
        counts["FAILED"] += 1
        traceback.print_exc()
        print(cluster.logs())
    finally:
        cluster.down()
    print(f"e2e: {counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
