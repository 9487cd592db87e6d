"""How long `ssh NODE true` takes, from the client's start to its end."""

import os

from pairs import compare, measure, timed
from peers import negotiated

RUNS = int(os.environ.get("RL_BENCH_RUNS", "30"))
TIMEOUT_S = 60

# libssh has no sntrup761x25519, OpenSSH's first choice, so the defaults differ; the second variant
# has both sides do the same work.
VARIANTS = {
    "default": {},
    "same-kex": {"KexAlgorithms": "curve25519-sha256", "Ciphers": "aes128-gcm@openssh.com"},
}


def ssh_connect(subject, peer):
    """`ssh NODE true`"""
    for variant, options in VARIANTS.items():
        ways = [(way, way.ssh("true", options)) for way in (subject, peer)]
        terms = [negotiated(way, options) for way in (subject, peer)]
        runs = [lambda way=way, words=words: timed([words], way.env, TIMEOUT_S) for way, words in ways]
        result = compare(*measure(*runs, RUNS))
        yield {"variant": variant, "subject_terms": terms[0], "peer_terms": terms[1], **result}


BENCHMARKS = {"ssh-connect": ssh_connect}
