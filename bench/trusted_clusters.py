"""What it costs that a node is in another cluster: two more hops, and at the root the leaf's attachment;
and what it costs everybody at the root that hundreds of leaves are attached."""

import contextlib
import os
import pathlib
import statistics
import subprocess
import time

from fleet import Fleet, settled
from inventory import FILL, SETTLE
from pairs import AT_LEAST, AT_MOST, Failed, compare, measure, rates, timed
from peers.tcp import start
from ssh_throughput import BYTES, SLOWEST_BYTES_S

RUNS = int(os.environ.get("RL_BENCH_RUNS", "30"))
PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
NODES = int(os.environ.get("RL_BENCH_LEAF_NODES", "1000"))
LEAVES = int(os.environ.get("RL_BENCH_LEAVES", "500"))
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


# ---- many leaves ----

# With bench_leaves goes the cluster behind it: what the root knew of them is taken away, as if each had left.
FORGET_LEAVES = """
BEGIN;
DELETE FROM auth.remote_clusters WHERE name LIKE '%.bench';
UPDATE auth.revision SET number = number + 1;
COMMIT;
"""


def online_leaves(way):
    rows = way.cluster.tsh("clusters", "--format=json").check().json
    return sum(row["type"] == "leaf" and row["status"] == "online" for row in rows)


@contextlib.contextmanager
def leaves_attached(bench, way, count):
    """So many more leaves than there are: each with authorities of its own, by a token, attached."""
    token = way.cluster.tctl("tokens", "add", "--type=trusted_cluster", f"--uses={count}", "--ttl=1h",
                             "--format=json").check().json["token"]
    secret, pin = token.split("@")
    with open(way.cluster.run_dir / "log" / "bench-leaves.log", "wb") as log:
        fleet = Fleet(start(
            [bench.helpers / "bench_leaves", f"127.0.0.1:{way.ports['proxy']}", f"127.0.0.1:{way.ports['auth']}", pin,
             secret, count], log=log, stdin=subprocess.PIPE))
    try:
        fleet.wait_for("all")
        deadline = time.monotonic() + TIMEOUT_S
        while online_leaves(way) != count + 1:  # auth has verified each one's hello
            if time.monotonic() > deadline:
                raise Failed(f"{online_leaves(way)} leaves are online, of {count + 1}")
            time.sleep(0.5)
        yield
    finally:
        fleet.stop()
        way.sql(FORGET_LEAVES)


def sessions(way, node):
    """The median of the run."""
    words = way.ssh("true", {}, node=node)
    timed([words], way.env, TIMEOUT_S)
    return statistics.median(1e3 * timed([words], way.env, TIMEOUT_S) for _ in range(RUNS))


def leaf_fleet(bench):
    """A session in the root and one in a leaf, with so many other leaves attached, against without"""
    way = bench.with_leaf
    nodes = (IN_ROOT, IN_LEAF)
    many, few = ({node: [] for node in nodes} for _ in range(2))
    for _ in range(PAIRS):
        settled()
        for node in nodes:
            few[node].append(sessions(way, node))
        with leaves_attached(bench, way, LEAVES):
            settled()
            for node in nodes:
                many[node].append(sessions(way, node))
            if online_leaves(way) != LEAVES + 1:
                raise Failed(f"{online_leaves(way)} leaves were online to the end, of {LEAVES + 1}")
    for node in nodes:
        yield {"variant": f"{LEAVES} leaves, ssh {node} true", **compare(many[node], few[node], "ms", (AT_MOST, 1.1))}


BENCHMARKS = {"leaf-ssh-connect": leaf_ssh_connect, "leaf-throughput": leaf_throughput, "leaf-memory": leaf_memory,
              "leaf-fleet": leaf_fleet}
