"""Sessions that come one after the other while something breaks, and what audit has of them."""

import datetime
import os
import signal
import subprocess
import threading
import time

from cluster import Failed, run, until
from respawn import is_alive, pid_of


class Attempt:
    def __init__(self, node, command):
        self.node, self.command = node, command
        self.began = self.ended = time.monotonic()
        self.worked, self.said = False, ""


class Load:
    """Until it is stopped: a session after the other on each node, each with a command of its own."""

    def __init__(self, c, nodes=("node-a", "node-r1")):
        self.c, self.attempts = c, []
        self.since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        self.began = time.monotonic()
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.nodes = nodes
        self.threads = [threading.Thread(target=self.work, args=(node,)) for node in nodes]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        try:
            for node in self.nodes:  # nothing breaks before everything works
                until(20, "the first sessions", lambda node=node: self.successes(node))
            with self.lock:  # a link that was just mended may have failed before
                self.attempts = [a for a in self.attempts if a.worked]
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def work(self, node):
        for i in range(100000):
            if self.is_over.is_set():
                return
            a = self.attempt(node, f"echo {node} {i} {time.monotonic_ns()}; sleep 0.1; echo done")
            with self.lock:
                self.attempts.append(a)
            if not a.worked:
                time.sleep(0.1)  # a person would not try again sooner either

    def attempt(self, node, command):
        a = Attempt(node, command)
        try:
            r = self.c.ssh("-o", "ConnectTimeout=5", node, command, timeout=20)
            a.worked, a.said = r.code == 0 and r.out.endswith("done\n"), r.err.strip()
        except subprocess.TimeoutExpired:
            a.said = "no answer in 20 s"
        a.ended = time.monotonic()
        return a

    def successes(self, node=None, since=0.0):
        with self.lock:
            return [a for a in self.attempts if a.worked and a.began >= since and node in (None, a.node)]

    def failures(self, node=None):
        with self.lock:
            return [f"{a.node}: {a.said}" for a in self.attempts if not a.worked and node in (None, a.node)]

    def wait_for_recovery(self, seconds, *nodes):
        """Sessions that begin from now on work on each node; how long it took."""
        start = time.monotonic()
        for node in nodes or self.nodes:
            until(seconds, f"a session on {node}; so far: {self.failures(node)[-3:]}",
                  lambda node=node: self.successes(node, since=start))
        return time.monotonic() - start


def events_since(c, since, *types):
    """As somebody finds them who looks for that time, whatever clocks were wrong meanwhile."""
    until_now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)
    found = c.tctl("audit", "search", f"--from={since}", f"--to={until_now.isoformat(timespec='seconds')}",
                   f"--type={','.join(types)}", "--limit=100000", "--format=json")
    return found.check().json


def unfinished(c, since):
    """Sessions that began and, as audit knows, did not end."""
    def key(e):
        return e["session_id"], e["details"].get("channel")

    events = events_since(c, since, "session.start", "session.end")
    ended = {key(e) for e in events if e["type"] == "session.end"}
    return [e for e in events if e["type"] == "session.start" and key(e) not in ended]


def check_audit(c, load, seconds=20):
    """Every session that worked is in audit with its command, and every one that began has its end."""
    def missing():
        known = {e["command"] for e in events_since(c, load.since, "session.command")}
        return [a.command for a in load.successes() if a.command not in known]

    waits = (("every command", missing), ("every session's end", lambda: unfinished(c, load.since)))
    for what, ask in waits:
        try:
            until(seconds, f"{what} to be in audit", lambda ask=ask: not ask())
        except Failed as problem:
            raise Failed(f"{problem}: {ask()}") from problem
    assert load.successes(), "no session worked at all"


def signal_process(c, name, number):
    os.kill(pid_of(c, name), number)


def kill(c, name):
    """As the kernel does when memory is short; gone when it returns."""
    pid = pid_of(c, name)
    os.kill(pid, signal.SIGKILL)
    until(5, f"{name} to be gone", lambda: not is_alive(pid))


def processes_of(command):
    """Those that run exactly this."""
    return run(["pgrep", "-xf", command]).out.split()
