"""Thousands of agents: what each costs the broker's memory, and how long until all are back after
the broker was killed; against gRPC core with as many clients. Both figures come from the same
rounds, so that asking for both costs no more than asking for one."""

import contextlib
import functools
import os
import queue
import signal
import subprocess
import threading
import time

from pairs import AT_MOST, Failed, compare, written_down
from peers.grpc_core import GrpcCore
from peers.remoteler import respawn
from peers.tcp import listens, resident_kib, start, stop, until

COUNT = int(os.environ.get("RL_BENCH_AGENTS", "3000"))
ROUNDS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
ALL_BACK_S = 60 + COUNT / 10
IDLE_S = 3
SETTLE_S, BUSY_AT_REST = 20, 0.1
PROBE_EVERY_S = 1


def now_ms():
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1e3


class Fleet:
    """The lines of bench_fleet or bench_grpc."""

    def __init__(self, process):
        self.process, self.lines = process, queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            word, at_ms = line.decode().split()
            self.lines.put((word, float(at_ms)))
        self.lines.put(("ended", 0.0))

    def wait_for(self, wanted, after_ms=0.0):
        """When it was said, on the clock of now_ms(); what was said before `after_ms` is over."""
        deadline = time.monotonic() + ALL_BACK_S
        while True:
            try:
                word, at_ms = self.lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise Failed(f"not {wanted} after {ALL_BACK_S:.0f} s") from None
            if word == "ended":
                raise Failed(f"the fleet ended before it was {wanted}")
            if word == wanted and at_ms >= after_ms:
                return at_ms

    def stop(self):
        self.process.stdin.close()
        stop(self.process)


class Subject:
    """The cluster's broker; agents come through the proxy."""

    def __init__(self, bench):
        self.bench, self.remoteler = bench, bench.remoteler
        self.broker = None  # of ours

    def pid(self):
        return self.remoteler.pid("broker")

    def start_fleet(self):
        cluster, ports = self.remoteler.cluster, self.remoteler.ports
        token = cluster.tctl("tokens", "add", "--type=node", f"--uses={COUNT}", "--ttl=1h",
                             "--format=json").check().json["token"]
        with open(cluster.run_dir / "log" / "bench-fleet.log", "wb") as log:
            return Fleet(start(
                [self.bench.helpers / "bench_fleet", f"127.0.0.1:{ports['proxy']}",
                 f"127.0.0.1:{ports['auth']}", cluster.env["REMOTELER_CA_PIN"], token, COUNT],
                log=log, stdin=subprocess.PIPE,
            ))

    def restart(self):
        """When it was killed. It is started again at once and as it was, as whoever supervises it does."""
        cluster, pid = self.remoteler.cluster, self.pid()
        command, environment = respawn.command_of(pid), respawn.environment_of(pid)
        at_ms = now_ms()
        os.kill(pid, signal.SIGKILL)
        # Of its threads the first may be gone before the last has let go of the sockets.
        own = [port for name, port in self.remoteler.ports.items() if name.startswith("broker")]
        until(30, "the dead broker's ports", lambda: not any(listens(port) for port in own))
        if self.broker:
            self.broker.wait()
        self.broker = respawn.spawn(cluster, "broker", command, environment)
        return at_ms

    @contextlib.contextmanager
    def probe(self):
        """Meanwhile somebody works at a node that no broker has: how long each command takes."""
        seconds, is_over = [], threading.Event()

        def work():
            while not is_over.wait(PROBE_EVERY_S):
                begin = time.monotonic()
                self.remoteler.cluster.ssh("node-a", "true").check()
                seconds.append(time.monotonic() - begin)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield seconds
        finally:
            is_over.set()
            thread.join()


    @contextlib.contextmanager
    def away(self, fleet):
        """It is idle by then and costs nothing: settled() has seen to that."""
        yield


class Peer:
    def __init__(self, core):
        self.core = core

    @contextlib.contextmanager
    def away(self, fleet):
        """Idle channels of gRPC core still take processor time: they have none meanwhile."""
        pids = [self.pid(), fleet.process.pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def pid(self):
        return self.core.server_pid()

    def start_fleet(self):
        return Fleet(self.core.start_fleet(COUNT))

    def restart(self):
        at_ms = now_ms()
        self.core.kill_server()
        self.core.start_server()
        return at_ms

    @contextlib.contextmanager
    def probe(self):
        yield []


def busy():
    """The part of all processors that was used in half a second."""
    def read():
        with open("/proc/stat") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)

    before = read()
    time.sleep(0.5)
    after = read()
    return 1 - (after[0] - before[0]) / max(after[1] - before[1], 1)


def settled():
    """What is left to do after a round is done before the next begins."""
    deadline = time.monotonic() + SETTLE_S
    while busy() > BUSY_AT_REST and time.monotonic() < deadline:
        pass


def one_round(side, fleet, empty_kib):
    """Killed, back, idle for a while."""
    settled()
    with side.probe() as probes:
        killed_ms = side.restart()
        back_ms = fleet.wait_for("all", killed_ms)
    time.sleep(IDLE_S)
    return {
        "back_s": (back_ms - killed_ms) / 1e3,
        "agent_kib": (resident_kib(side.pid()) - empty_kib) / COUNT,
        "probes_s": probes,
    }


@functools.lru_cache(maxsize=1)
def rounds(bench):
    """In turn; the other side is at rest meanwhile."""
    sides = {"subject": Subject(bench), "peer": Peer(bench.started(GrpcCore(bench.dir / "grpc", bench.helpers)))}
    said = {name: [] for name in sides}
    first = {}
    with contextlib.ExitStack() as stack:
        fleets, empty = {}, {}
        for name, side in sides.items():
            empty[name] = resident_kib(side.pid())
            begun_ms = now_ms()
            fleets[name] = side.start_fleet()
            stack.callback(fleets[name].stop)
            first[name] = (fleets[name].wait_for("all") - begun_ms) / 1e3
        for _ in range(ROUNDS):
            for name, side in sides.items():
                other = "peer" if name == "subject" else "subject"
                with sides[other].away(fleets[other]):
                    said[name].append(one_round(side, fleets[name], empty[name]))
    return {**said, "first_attached_s": first}


def of(said, key):
    return [r[key] for r in said]


def agent_memory(bench):
    """The broker's resident memory for each idle attached agent."""
    said = rounds(bench)
    yield {
        "variant": f"{COUNT} idle agents",
        **compare(of(said["subject"], "agent_kib"), of(said["peer"], "agent_kib"), "KiB", (AT_MOST, 0.5)),
        "rounds": said,
    }


def reattach(bench):
    """From the broker's death by SIGKILL until all agents are attached to its successor."""
    said = rounds(bench)
    yield {
        "variant": f"{COUNT} agents back",
        **compare(of(said["subject"], "back_s"), of(said["peer"], "back_s"), "s", (AT_MOST, 0.4)),
        "rounds": said,
    }
    probes = [max(r["probes_s"]) for r in said["subject"] if r["probes_s"]]
    if probes:
        yield {"variant": "ssh meanwhile, slowest", **written_down([1e3 * p for p in probes], "ms")}


BENCHMARKS = {"agent-memory": agent_memory, "reattach": reattach}
