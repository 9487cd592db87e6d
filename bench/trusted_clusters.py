"""What it costs that a node is in another cluster: two more hops, and at the root the leaf's attachment."""

import os
import pathlib
import time

from inventory import FILL, SETTLE
from pairs import AT_LEAST, AT_MOST, Failed, compare, measure, rates, timed
from ssh_throughput import BYTES, SLOWEST_BYTES_S

RUNS = int(os.environ.get("RL_BENCH_RUNS", "30"))
PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
NODES = int(os.environ.get("RL_BENCH_LEAF_NODES", "1000"))
TIMEOUT_S = 60
IDLE_S = 5
CIPHER = {"Ciphers": "aes128-gcm@openssh.com"}
IN_LEAF, IN_ROOT = "node-b.leaf", "node-r1"
AT_ROOT = ("auth", "audit", "broker", "proxy")


def leaf_ssh_connect(bench):
    """`ssh node-b.leaf true` against `ssh node-r1 true`"""
    way = bench.with_leaf
    runs = [
        lambda words=way.ssh("true", {}, node=node): 1e3 * timed([words], way.env, TIMEOUT_S)
        for node in (IN_LEAF, IN_ROOT)
    ]
    for run in runs:
        run()
    leaf, root = measure(runs, RUNS)
    yield {"variant": "default", **compare(leaf, root, "ms", (AT_MOST, 1.3))}


def leaf_throughput(bench):
    """Down from a node of the leaf, against down from a node of the root."""
    way = bench.with_leaf
    timeout_s = 60 + BYTES / SLOWEST_BYTES_S
    runs = [
        lambda words=way.ssh(f"head -c {BYTES} /dev/zero", CIPHER, node=node): timed([words], way.env, timeout_s)
        for node in (IN_LEAF, IN_ROOT)
    ]
    leaf, root = (rates(BYTES, seconds) for seconds in measure(runs, PAIRS))
    yield {"variant": "aes128-gcm", "bytes": BYTES, **compare(leaf, root, "MB/s", (AT_LEAST, 0.8))}


# ---- memory ----


class Leafs:
    """The leaf's own database, by the tools of the root's."""

    def __init__(self, remoteler):
        self.cluster = remoteler.cluster.leaf
        self.sql = type(remoteler).sql.__get__(self)

    @property
    def ports(self):
        lines = (self.cluster.run_dir / "ports").read_text().split()
        return {k[len("PORT_") :]: int(v) for k, v in (line.split("=") for line in lines)}


def memory_at_root(way, leafs, nodes):
    """MB of the root's services after the leaf has had so many nodes, was listed, and attached anew."""
    leafs.sql(FILL.format(count=nodes - 2) if nodes > 2 else FILL.format(count=0))
    leafs.sql(SETTLE)
    shown = len(way.cluster.tsh("ls", "--cluster=leaf", "--format=json", timeout=TIMEOUT_S).check().json)
    if shown != max(nodes, 2):
        raise Failed(f"tsh ls shows {shown} nodes of {nodes}")
    way.cluster.dev("restart", *AT_ROOT).check()
    deadline = time.monotonic() + TIMEOUT_S
    while way.cluster.ssh(IN_LEAF, "true").code != 0:
        if time.monotonic() > deadline:
            raise Failed("the leaf did not come back")
        time.sleep(0.5)
    way.cluster.tsh("ls", "--cluster=leaf", "--format=json", timeout=TIMEOUT_S).check()
    time.sleep(IDLE_S)
    return sum(resident_bytes(way.pid(name)) for name in AT_ROOT) / 1e6


def resident_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"no Pss for {pid}")


def leaf_memory(bench):
    """The root's services, each started anew, with an attached leaf of many nodes, against one of two."""
    way = bench.with_leaf
    leafs = Leafs(way)
    try:
        many, few = measure([lambda n=n: memory_at_root(way, leafs, n) for n in (NODES, 2)], PAIRS)
    finally:
        leafs.sql("DELETE FROM auth.instances WHERE hostname LIKE 'bench-inventory-%'")
    yield {"variant": f"{NODES} nodes against 2", **compare(many, few, "MB", (AT_MOST, 1.05))}


BENCHMARKS = {"leaf-ssh-connect": leaf_ssh_connect, "leaf-throughput": leaf_throughput, "leaf-memory": leaf_memory}
