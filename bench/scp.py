"""Copying files by stock scp: one large file over a long way, and a thousand small ones."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

from pairs import AT_LEAST, Failed, compare, measure, rates, timed
from peers.tcp import first_line, start, stop
from peers.remoteler import e2e  # noqa: F401 - puts the harness of the end-to-end tests on the path

import device

BYTES = int(os.environ.get("RL_BENCH_BYTES", str(1 << 30)))
PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
FILES = int(os.environ.get("RL_BENCH_FILES", "1000"))
FILE_BYTES = 4096
DELAY_MS = 50  # there and back
SLOWEST_BYTES_S = 1 << 20  # what is slower than this hangs
FAR = "bench-far"
LINE = pathlib.Path(__file__).with_name("delay_line.py")


@contextlib.contextmanager
def delay_line(listen, target, port):
    """Its port: half of the delay each way."""
    line = start([sys.executable, "-B", LINE, listen, target, port, DELAY_MS / 2])
    try:
        yield first_line(line, "the delay line")
    finally:
        stop(line)


def allow(c, host, port):
    """The router lets the device reach nothing else than the proxy."""
    rule = f"nft add rule inet router forward iifname lan oifname uplink ip daddr {host} tcp dport {port} accept"
    done = subprocess.run(["ip", "netns", "exec", c.router, *rule.split()], stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Failed(f"nft: {done.stderr.decode().strip()}")


@contextlib.contextmanager
def far_node(bench):
    """A node whose way out leads through the delay line: the words before scp's files."""
    c = bench.remoteler.cluster
    if not c.netns:
        raise Failed("no network namespace can be made here: the node has no way of its own")
    host, port = device.proxy_address(c).rsplit(":", 1)
    with delay_line(host, "127.0.0.1", c.env["REMOTELER_PROXY"].rpartition(":")[2]) as line_port:
        allow(c, host, line_port)
        command = [bench.programs / "remoteler", *device.flags(
            c, FAR, f"--data-dir={c.dir}/{FAR}", device.token_file(c, FAR), address=f"{host}:{line_port}")]
        with device.Agent(c, FAR, command) as agent:
            agent.wait_until_online()
            yield ["-F", c.ssh_config(), "-o", "BatchMode=yes"], FAR


@contextlib.contextmanager
def far_sshd(bench):
    """Stock sshd with as long a way to it."""
    host = bench.jump_host
    with delay_line("127.0.0.1", "127.0.0.1", host.ports["target"]) as port:
        yield ["-F", str(host.config({"Port": port}))], "target"


def copies(directory, name, words, node):
    """What scp is asked to do, each way: a file of zeros that takes no room, into a file that does."""
    source, there, back = (directory / f"{name}-{part}" for part in ("source", "there", "back"))
    with open(source, "wb") as f:
        f.truncate(BYTES)

    def copy(origin, destination, written):
        def run(env):
            seconds = timed([["scp", "-q", *words, origin, destination]], env, 60 + BYTES / SLOWEST_BYTES_S)
            if written.stat().st_size != BYTES:
                raise Failed(f"{written}: {written.stat().st_size} of {BYTES} bytes")
            written.unlink()
            return seconds
        return run

    return {"up": copy(str(source), f"{node}:{there}", there), "down": copy(f"{node}:{source}", str(back), back)}


def scp_delay(bench):
    """`scp` of one file with 50 ms of delay, by a delay line in user space"""
    directory = bench.dir / "scp"
    directory.mkdir(exist_ok=True)
    try:
        with far_node(bench) as ours, far_sshd(bench) as theirs:
            subject = copies(directory, "remoteler", *ours)
            peer = copies(directory, "sshd", *theirs)
            for way in ("down", "up"):
                runs = [lambda: subject[way](bench.remoteler.env), lambda: peer[way](bench.jump_host.env)]
                a, b = (rates(BYTES, seconds) for seconds in measure(runs, PAIRS))
                yield {"variant": f"{way}, {DELAY_MS} ms", "bytes": BYTES,
                       **compare(a, b, "MB/s", (AT_LEAST, 1.0))}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# ---- many files ----


def make_tree(directory):
    tree = directory / "tree"
    tree.mkdir(parents=True)
    for i in range(FILES):
        (tree / f"file-{i}").write_bytes(i.to_bytes(4, "big") * (FILE_BYTES // 4))
    return tree


def check_tree(tree, copied):
    done = subprocess.run(["diff", "-r", tree, copied], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failed(f"{copied}: {done.stdout.decode()[:500]}")


def copy_tree(tree, copied, words, origin, destination, env):
    seconds = timed([["scp", "-q", "-r", *words, origin, destination]], env, 60 + FILES)
    check_tree(tree, copied)
    shutil.rmtree(copied)
    return FILES / seconds


def ways_for_files(bench):
    """The words before scp's files, the node's name, the environment. All exchange keys by one method:
    it is files that are counted."""
    host, server = bench.jump_host, bench.ssh_server
    config = str(host.config({"KexAlgorithms": "curve25519-sha256"}))
    return {
        "own": (["-F", str(server.config)], server.host, server.env),
        "sshd": (["-F", config], "target", host.env),
        "tunnel": (["-F", bench.remoteler.cluster.ssh_config(), "-o", "BatchMode=yes"], "node-r1",
                   bench.remoteler.env),
        "jump": (["-F", config, "-J", "jump"], "target", host.env),
    }


# The SSH server against another, both reached straight; the tunnel, of which each question of a file
# takes all hops, against a way of as many parties, and against none at all.
COMPARED = (
    ("straight", "own", "sshd", (AT_LEAST, 0.9)),
    ("tunnel, jump host", "tunnel", "jump", None),
    ("tunnel, one sshd", "tunnel", "sshd", None),
)


def scp_files(bench):
    """`scp -r` of 1,000 files of 4 KiB"""
    directory = bench.dir / "scp-files"
    shutil.rmtree(directory, ignore_errors=True)
    tree = make_tree(directory)
    ways = ways_for_files(bench)
    try:
        for direction in ("up", "down"):
            runs = []
            for name, (words, node, env) in ways.items():
                copied = directory / f"copied-{name}"
                ends = (str(tree), f"{node}:{copied}") if direction == "up" else (f"{node}:{tree}", str(copied))
                runs.append(lambda copied=copied, words=words, ends=ends, env=env:
                            copy_tree(tree, copied, words, *ends, env))
            rates_of = dict(zip(ways, measure(runs, PAIRS)))
            for variant, subject, peer, aim in COMPARED:
                yield {"variant": f"{direction}, {variant}", "files": FILES,
                       **compare(rates_of[subject], rates_of[peer], "files/s", aim)}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


BENCHMARKS = {"scp-delay": scp_delay, "scp-files": scp_files}
