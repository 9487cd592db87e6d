"""Bytes without SSH: through proxy, broker and agent to a TCP server, against haproxy."""

import os

from pairs import AT_LEAST, compare, measure, rates
from peers.haproxy import HaproxyPairs
from peers.tcp import load

BYTES = int(os.environ.get("RL_BENCH_BYTES", str(1 << 30)))
PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))


def raw_bytes(bench):
    """A TCP server's bytes, N of them each way, from an open connection on."""
    chains = {
        "two pairs, user TLS": (HaproxyPairs(bench.dir / "haproxy2s", bench.helpers, 2, True), 1.0),
        "two pairs, user plain": (HaproxyPairs(bench.dir / "haproxy2", bench.helpers, 2, False), None),
        "one pair, user plain": (HaproxyPairs(bench.dir / "haproxy1", bench.helpers, 1, False), None),
    }
    peers = [bench.started(chain) for chain, _ in chains.values()]
    for direction in ("down", "up"):
        ways = [bench.tcp_here, *peers]
        for way in ways:
            load(bench.helpers, way, direction, 16 << 20)
        runs = [
            lambda way=way: load(bench.helpers, way, direction, BYTES, timeout_s=60 + BYTES / 1e6)["seconds"]
            for way in ways
        ]
        subject, *others = (rates(BYTES, seconds) for seconds in measure(runs, PAIRS))
        for (variant, (_, aim)), peer in zip(chains.items(), others):
            yield {
                "variant": f"{direction}, {variant}",
                "bytes": BYTES,
                **compare(subject, peer, "MB/s", aim and (AT_LEAST, aim)),
            }


BENCHMARKS = {"raw-bytes": raw_bytes}
