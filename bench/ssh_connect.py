"""How long `ssh NODE true` takes, from the client's start to its end."""

import os

from pairs import AT_MOST, compare, measure, timed
from peers import negotiated

RUNS = int(os.environ.get("RL_BENCH_RUNS", "30"))
TIMEOUT_S = 60

# libssh has no sntrup761x25519, OpenSSH's first choice, so the defaults differ; the second variant
# has both sides do the same work.
VARIANTS = {
    "default": {},
    "same-kex": {"KexAlgorithms": "curve25519-sha256", "Ciphers": "aes128-gcm@openssh.com"},
}


def ssh_connect(bench):
    """`ssh NODE true`"""
    ways = bench.ssh_ways()
    for variant, options in VARIANTS.items():
        terms = [negotiated(way, options) for way in ways]
        runs = [
            lambda way=way, words=way.ssh("true", options): 1e3 * timed([words], way.env, TIMEOUT_S)
            for way in ways
        ]
        subject, peer = measure(runs, RUNS)
        yield {
            "variant": variant,
            "subject_terms": terms[0],
            "peer_terms": terms[1],
            **compare(subject, peer, "ms", (AT_MOST, 1.0)),
        }


BENCHMARKS = {"ssh-connect": ssh_connect}
