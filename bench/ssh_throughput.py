"""How fast many bytes go through one ssh, each way, connection set-up included."""

import os
import subprocess

from pairs import AT_LEAST, Failed, compare, measure, rates, timed
from peers import negotiated

BYTES = int(os.environ.get("RL_BENCH_BYTES", str(1 << 30)))
PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
CHECKED_BYTES = 16 << 20
SLOWEST_BYTES_S = 1 << 20  # what is slower than this hangs

VARIANTS = {"aes128-gcm": {"Ciphers": "aes128-gcm@openssh.com"}, "default": {}}


def down(way, options, count):
    return [way.ssh(f"head -c {count} /dev/zero", options)]


def up(way, options, count):
    return [["head", "-c", str(count), "/dev/zero"], way.ssh("cat >/dev/null", options)]


def check_all_arrives(way, options):
    """Bytes that are lost would make a way look fast. It also warms up what is to be measured."""
    zeros = bytes(CHECKED_BYTES)
    got = subprocess.run(
        way.ssh("cat", options), input=zeros, stdout=subprocess.PIPE, env=way.env, timeout=120
    ).stdout
    if got != zeros:
        raise Failed(f"{way.name}: {len(got)} of {CHECKED_BYTES} bytes came back")


def throughput(direction, bench):
    ways = bench.ssh_ways()
    timeout_s = 60 + BYTES / SLOWEST_BYTES_S
    for variant, options in VARIANTS.items():
        terms = [negotiated(way, options) for way in ways]
        for way in ways:
            check_all_arrives(way, options)
        runs = [
            lambda way=way, words=direction(way, options, BYTES): timed(words, way.env, timeout_s)
            for way in ways
        ]
        subject, peer = (rates(BYTES, seconds) for seconds in measure(runs, PAIRS))
        yield {
            "variant": variant,
            "bytes": BYTES,
            "subject_terms": terms[0],
            "peer_terms": terms[1],
            **compare(subject, peer, "MB/s", (AT_LEAST, 1.0)),
        }


def ssh_throughput_down(bench):
    """`ssh NODE 'head -c N /dev/zero' >/dev/null`"""
    return throughput(down, bench)


def ssh_throughput_up(bench):
    """`head -c N /dev/zero | ssh NODE 'cat >/dev/null'`"""
    return throughput(up, bench)


BENCHMARKS = {"ssh-throughput-down": ssh_throughput_down, "ssh-throughput-up": ssh_throughput_up}
