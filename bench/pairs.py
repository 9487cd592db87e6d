"""Pairs of runs, A B A B ..., and what they say. Whatever else the machine does meanwhile slows both
sides of a pair alike, so that ratios hold where seconds do not."""

import statistics
import subprocess
import time


class Failed(Exception):
    """A run that did not do what it was asked to do: its time means nothing."""


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


def measure(subject, peer, count):
    """`count` pairs of what the two functions return; a list for each."""
    a, b = [], []
    for _ in range(count):
        a.append(subject())
        b.append(peer())
    return a, b


def compare(subject_s, peer_s):
    """The subject's speed as a multiple of the peer's, from the seconds of each run: above 1.0 the
    subject is the faster one."""
    ratios = [p / s for s, p in zip(subject_s, peer_s)]
    subject, peer = statistics.median(subject_s), statistics.median(peer_s)
    return {
        "subject": {"median_s": subject, "runs_s": subject_s},
        "peer": {"median_s": peer, "runs_s": peer_s},
        "ratio": peer / subject,
        "pairs": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
            "ratios": ratios,
        },
    }
