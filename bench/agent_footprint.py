"""What the static agent takes of a device: its file, its memory while idle and for each session, and
what an idle link carries. It runs in the device's network, alone there, behind the router."""

import contextlib
import os
import pathlib
import subprocess
import time

from pairs import Failed, limit, written_down
from peers.remoteler import e2e  # noqa: F401 - puts the harness of the end-to-end tests on the path

import device

ROOT = pathlib.Path(__file__).resolve().parents[1]
SESSIONS = int(os.environ.get("RL_BENCH_SESSIONS", "5"))
SECONDS = int(os.environ.get("RL_BENCH_SECONDS", "120"))
# The connection to audit is closed after 30 s, memory goes back after 5 and again after 45; then nothing
# happens.
SETTLE_S = 50
MB = 1e6
SIZES = {"amd64": None, "arm64": 6, "armhf": 4.5}
NAME = "footprint"


def build(arch):
    """The stripped file."""
    done = subprocess.run([ROOT / "dev", "build", "agent", f"--arch={arch}"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr.strip().rpartition("\n")[2])
    return pathlib.Path(done.stdout.strip())


def agent_size(bench):
    """The static agent's file, stripped."""
    for arch, most in SIZES.items():
        size = [build(arch).stat().st_size / MB]
        yield {"variant": arch, **(limit(size, "MB", most) if most else written_down(size, "MB"))}


@contextlib.contextmanager
def agent(bench):
    c = bench.remoteler.cluster
    c.dev("stop", "node-r1").check()
    flags = device.flags(c, NAME, f"--data-dir={c.dir}/{NAME}", device.token_file(c, NAME))
    try:
        with device.on_small_pages(c, build("amd64")) as program:
            with device.Agent(c, NAME, [program, *flags]) as running:
                running.wait_until_online()
                c.ssh(NAME, "true").check()
                yield c, running.process.pid
    finally:
        c.dev("start", "node-r1").check()


# ---- memory ----


def own_processes(pid):
    """The agent and what it started of its own program; users' shells are not its memory."""
    program, found, todo = os.readlink(f"/proc/{pid}/exe"), [], [str(pid)]
    while todo:
        at = todo.pop()
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{at}/exe") == program:
                found.append(at)
        todo += subprocess.run(["pgrep", "-P", at], stdout=subprocess.PIPE, text=True).stdout.split()
    return found


def rollup(pid, key):
    """Bytes; a page that several processes share counts once in the sum of Pss."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise Failed(f"no {key} for {pid}")


def shared_once(pid):
    return sum(rollup(at, "Pss") for at in own_processes(pid))


def footprint(bench):
    """The static agent's resident memory while idle, its memory for each further session, and the
    bytes on an idle link."""
    with agent(bench) as (c, pid):
        time.sleep(SETTLE_S)
        before, begin = counters(c), time.monotonic()
        time.sleep(SECONDS)
        took, after = time.monotonic() - begin, counters(c)
        yield {"variant": "idle, resident", **limit([rollup(pid, "Rss") / MB], "MB", 6)}
        yield {"variant": f"idle link, {SECONDS} s", **limit([(after - before) / took / 1e3], "kB/s", 0.03)}
        with contextlib.ExitStack() as stack:
            sums = []
            for count in range(SESSIONS + 1):
                terminal = e2e.Terminal(["ssh", "-F", c.ssh_config(), "-tt", NAME], dict(c.env, TERM="xterm"))
                stack.callback(os.close, terminal.fd)
                terminal.send("echo re''ady\n")
                terminal.expect("ready")
                time.sleep(1)
                sums.append(shared_once(pid) / MB)
            steps = [b - a for a, b in zip(sums, sums[1:])]
            yield {"variant": "each session more", **limit(steps, "MB", 1.5), "sums_mb": sums}


# ---- the link ----


def counters(c):
    """Of the device's interface, both ways, with its headers."""
    text = c.in_device("ip", "-s", "-j", "link", "show", "dev", "eth0").check().json[0]["stats64"]
    return text["rx"]["bytes"] + text["tx"]["bytes"]


BENCHMARKS = {"agent-size": agent_size, "agent-footprint": footprint}
