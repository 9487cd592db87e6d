"""Ways to a TCP server, for bytes without SSH around them. Each has

name, network   as in peers/__init__.py
start(), stop(), versions()
way             the words by which bench_load is told of it
env             what that is run with
"""

import json
import signal
import subprocess
import time
import urllib.request

import pairs

from . import clean_env

READY_S = 20


def first_line(process, what):
    line = process.stdout.readline().decode().strip()
    if not line:
        raise pairs.Failed(f"{what} did not start: exit {process.wait()}")
    return line


def start(words, env=None, log=None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
    """In a session of its own: Ctrl-C ends the benchmark first, and that ends it."""
    return subprocess.Popen(
        [str(w) for w in words], env=env, stdin=stdin, stdout=stdout,
        stderr=log or subprocess.DEVNULL, start_new_session=True,
    )


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(seconds, what, ask):
    deadline = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > deadline:
            raise pairs.Failed(f"waited {seconds} s for {what}, in vain")
        time.sleep(0.05)


def listens(port):
    """Asked of the kernel: a connection would count as one at the far end."""
    said = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], stdout=subprocess.PIPE).stdout
    return bool(said.strip())


class Target:
    """bench_target, where the way ends; the peers' too."""

    def __init__(self, helpers, netns=None):
        enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        self.process = start([*enter, helpers / "bench_target"])
        self.port = int(first_line(self.process, "the target"))

    def stop(self):
        stop(self.process)


class TcpNode:
    """Proxy, broker and an agent of the cluster whose node is a TCP server."""

    def __init__(self, name, remoteler, helpers, in_device):
        self.node, self.remoteler, self.cluster, self.helpers = name, remoteler, remoteler.cluster, helpers
        self.in_device = in_device and bool(self.cluster.netns)
        self.name = f"remoteler ({name})"
        self.way = ["connect", name]
        self.env = dict(self.cluster.env, TSH_HOME=str(self.cluster.home))
        self.target = self.agent = None

    @property
    def network(self):
        if self.in_device:
            return "proxy and broker on this machine, the agent behind a router namespace"
        return "proxy, broker and agent on the loopback interface"

    def versions(self):
        return {}

    def proxy_address(self):
        if not self.in_device:
            return f"127.0.0.1:{self.remoteler.ports['proxy']}"
        return f"{self.remoteler.host_address()}:{self.remoteler.ports['proxy']}"

    def start(self):
        cluster = self.cluster
        netns = cluster.netns if self.in_device else None
        self.target = Target(self.helpers, netns)
        enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        token = cluster.tctl("tokens", "add", "--type=node", f"--names={self.node}", "--ttl=1h",
                             "--format=json").check().json["token"]
        self.state = cluster.run_dir / "state" / self.node
        self.log_path = cluster.run_dir / "log" / f"{self.node}.log"
        with open(self.log_path, "wb") as log:
            self.agent = start(
                [*enter, self.helpers / "bench_node", f"--proxy={self.proxy_address()}",
                 f"--token={token}", f"--ca-pin={cluster.env['REMOTELER_CA_PIN']}",
                 f"--nodename={self.node}", f"--data-dir={self.state}"],
                env=dict(clean_env(), RL_BENCH_TARGET=f"127.0.0.1:{self.target.port}"),
                log=log, stdout=log,
            )
        until(READY_S, f"{self.node} to attach", self.is_online)

    def is_online(self):
        if self.agent.poll() is not None:
            raise pairs.Failed(f"{self.node} ended: {self.log_path.read_text()[-1000:]}")
        node = self.cluster.nodes().get(self.node)
        return node is not None and node["status"] == "online"

    def stop(self):
        for part in (self.agent, self.target and self.target.process):
            if part:
                stop(part)

    def finished(self):
        """What the agent said of each connection that is over, the oldest first."""
        said = (json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{"))
        return [line for line in said if line.get("message", line.get("msg")) == "connection over"]


def load(helpers, way, *words, timeout_s=300):
    """One run of bench_load over a way; what it printed."""
    command = [str(helpers / "bench_load"), *way.way, *[str(w) for w in words]]
    try:
        done = subprocess.run(
            command, env=way.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise pairs.Failed(f"{way.name}: {' '.join(command)}: not done after {timeout_s} s") from None
    if done.returncode != 0:
        raise pairs.Failed(f"{way.name}: {' '.join(command)}: {done.stderr.decode()[-500:].strip()}")
    return json.loads(done.stdout)


def metrics(port):
    """Of a service's health listener: {name with labels: value}."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}


def resident_kib(pid):
    for line in open(f"/proc/{pid}/status", encoding="ascii"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise pairs.Failed(f"no memory of {pid} is known")
