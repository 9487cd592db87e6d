"""Which functions of a module are tests, how each of them ends, and how many did how: of the end-to-end
tests, and of those of the containers."""

import time
import traceback

from cluster import Failed, Skip


def tests_of(namespace, chosen):
    """In the order in which they stand; of an empty choice all."""
    for name, value in list(namespace.items()):
        if name.startswith("test_") and callable(value) and (not chosen or name in chosen):
            yield name, value


def run_one(title, test, world):
    """"ok", "FAILED" or "skipped"."""
    start = time.monotonic()
    try:
        test(world)
        verdict = "ok"
    except Skip as reason:
        print(f"{title} skipped: {reason}", flush=True)
        return "skipped"
    except Exception as problem:  # a test's own bug fails it like the product's
        verdict = "FAILED"
        print(problem if isinstance(problem, Failed) else traceback.format_exc())
    print(f"{title} ({time.monotonic() - start:.1f} s) {verdict}", flush=True)
    return verdict


def say_counts(counts):
    print(f"e2e: {counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
