"""Pairs of runs, A B A B ..., and what they say. Whatever else the machine does meanwhile slows both
sides of a pair alike, so that ratios hold where seconds do not."""

import math
import statistics
import subprocess
import time

AT_MOST, AT_LEAST = "at most", "at least"


class Failed(Exception):
    """A run that did not do what it was asked to do: its figure means nothing."""


def timed(commands, env, timeout_s):
    """Runs a pipeline of commands, the last one's output thrown away; the seconds until all ended.

    A command is a list of words. All must exit 0.
    """
    running, source = [], subprocess.DEVNULL
    start = time.perf_counter()
    for i, command in enumerate(commands):
        last = i == len(commands) - 1
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.DEVNULL if last else subprocess.PIPE,
            stderr=subprocess.PIPE if last else subprocess.DEVNULL,
            env=env,
        )
        if running:
            source.close()  # only the reader holds it, so that the writer learns when it is gone
        source = process.stdout
        running.append(process)
    try:
        said = running[-1].communicate(timeout=timeout_s)[1]
        for process in running[:-1]:
            process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        for process in running:
            process.kill()
            process.communicate()
        raise Failed(f"{' '.join(commands[-1])}: not done after {timeout_s} s") from None
    seconds = time.perf_counter() - start
    for process, command in zip(running, commands):
        if process.returncode != 0:
            words = said.decode("utf-8", "replace").strip()
            raise Failed(f"{' '.join(command)}: exit {process.returncode}: {words[-1000:]}")
    return seconds


def measure(runs, count):
    """`count` rounds of what the functions return, each in its turn; a list for each function."""
    values = [[] for _ in runs]
    for _ in range(count):
        for kept, run in zip(values, runs):
            kept.append(run())
    return values


def percentile(values, percent):
    """The smallest value that at least `percent` of all are no greater than (nearest rank)."""
    if not values:
        raise Failed("nothing was measured")
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def side(values, unit):
    return {"median": statistics.median(values), "unit": unit, "runs": values}


def compare(subject, peer, unit, aim=None):
    """The subject's figures against the peer's, pair by pair. `ratio` is of the two medians: subject
    through peer. `aim` is (AT_MOST or AT_LEAST, ratio), or None: it is only written down."""
    ratios = [s / p for s, p in zip(subject, peer)]
    ratio = statistics.median(subject) / statistics.median(peer)
    result = {
        "subject": side(subject, unit),
        "peer": side(peer, unit),
        "ratio": ratio,
        "pairs": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
            "ratios": ratios,
        },
    }
    if aim:
        way, limit = aim
        result["aim"] = f"{way} {limit:g}"
        result["is_met"] = ratio <= limit if way == AT_MOST else ratio >= limit
    return result


def limit(values, unit, most):
    """A figure that has to stay below a limit of its own, whatever a peer does."""
    median = statistics.median(values)
    return {
        "subject": side(values, unit),
        "aim": f"{AT_MOST} {most:g} {unit}",
        "is_met": median <= most,
    }


def written_down(values, unit):
    """A figure without an aim."""
    return {"subject": side(values, unit)}


def rates(count, seconds):
    """Millions in a second, for each run."""
    return [count / s / 1e6 for s in seconds]
