"""What breaks in daily life, in short; ./dev test faults has the long forms. docs/faults.md lists them."""

import os
import signal
import subprocess
import time

from cluster import Failed, run, until
from load import processes_of
from respawn import (cpu_s_of, descriptors_of, family_of, is_alive, log_size, log_text, otherwise, pid_of,
                     replace_flag, respawn)
import strangers
from test_4_links import works
from test_5_resume import survives

MARK = 97531


def kill(c, name):
    pid = pid_of(c, name)
    os.kill(pid, signal.SIGKILL)
    until(5, f"{name} to be gone", lambda: not is_alive(pid))


def kill_and_start(*names):
    def fault(c):
        for name in names:
            kill(c, name)
        for name in names:
            c.dev("start", name).check()

    return fault


def begin(c, node, command):
    """A session that lasts; it has said "runs"."""
    ssh = subprocess.Popen(
        ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", node, f"echo runs; {command}"],
        env=c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    if ssh.stdout.readline() != b"runs\n":
        raise Failed(f"no session on {node}: {ssh.stderr.read().decode()}")
    return ssh


def test_a_user_logs_in_before_anything_breaks(c):
    c.login().check()


def test_sessions_survive_a_broker_that_is_killed(c):
    survives(c, kill_and_start("broker"), 10)


def test_sessions_survive_auth_and_audit_that_are_killed(c):
    survives(c, kill_and_start("auth", "audit"), 5)


def test_a_killed_proxy_ends_sessions_here_and_there(c):
    for node in ("node-a", "node-r1"):
        until(10, f"{node} to be back", lambda node=node: works(c, node))
        session = begin(c, node, f"sleep {MARK}")
        kill(c, "proxy")
        c.dev("start", "proxy").check()
        assert session.wait(10) == 255
        until(10, f"a new session on {node}", lambda node=node: works(c, node))
        # who comes through the new proxy tells the node that nobody knows the old sessions
        until(5, f"what ran on {node} to be gone", lambda: not processes_of(f"sleep {MARK}"))


def transports_of(c, node):
    found = []
    for pid in family_of(pid_of(c, node)):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().startswith(b"remoteler-ssh-transport"):
                    found.append(pid)
        except OSError:
            pass
    return found


def test_a_killed_ssh_transport_ends_its_session_and_no_other(c):
    for node in ("node-a", "node-r1"):
        before = set(transports_of(c, node))
        other = begin(c, node, "sleep 60")
        others = set(transports_of(c, node)) - before
        other.kill()
        session = begin(c, node, f"sleep {MARK}")
        transport = set(transports_of(c, node)) - before - others
        assert len(transport) == 1, transport
        os.kill(transport.pop(), signal.SIGKILL)
        assert session.wait(10) == 255
        until(5, "what ran in it to be gone", lambda: not processes_of(f"sleep {MARK}"))
        assert works(c, node)
        begun = c.wait_for_event(lambda e: str(MARK) in (e["command"] or ""), "--type=session.command")
        c.wait_for_event(lambda e, begun=begun: e["session_id"] == begun["session_id"], "--type=session.end")


def test_a_proxy_that_stops_sends_its_agents_away_and_waits_for_users_only(c):
    with otherwise(c, "proxy", edit=lambda argv: replace_flag(argv, "drain", "60s")):
        until(30, "node-r1 to be reachable", lambda: works(c))
        mark = log_size(c, "node-r1")
        start = time.monotonic()
        c.dev("stop", "proxy").check()
        took = time.monotonic() - start
        assert took < 6, f"an idle proxy took {took:.1f} s to stop"
        assert "the proxy that it came through is going away" in log_text(c, "node-r1", mark)
    until(30, "node-r1 to be reachable again", lambda: works(c))


def test_a_proxy_without_room_says_so_does_not_spin_and_recovers(c):
    with otherwise(c, "proxy", wrap=["prlimit", "--nofile=200:200"]):
        pid = pid_of(c, "proxy")
        until(30, "node-r1 to be reachable", lambda: works(c))
        session = begin(c, "node-r1", "sleep 60")
        mark, before = log_size(c, "proxy"), descriptors_of(pid)
        held, refused = [], 0
        try:
            for _ in range(150):
                s = strangers.dial(c)
                s.settimeout(0.2)
                held.append(s)
            for s in held:
                try:
                    refused += s.recv(7)[:1] == b"\x15"  # a TLS alert
                except TimeoutError:
                    pass
            assert refused > 50, refused
            assert "connections are refused" in log_text(c, "proxy", mark)
            used = cpu_s_of(pid)
            time.sleep(1)  # it is left alone for a second: does it work?
            assert cpu_s_of(pid) - used < 0.3, "a full proxy spins"
            assert session.poll() is None
        finally:
            for s in held:
                s.close()
        until(30, "the proxy to have closed them", lambda: descriptors_of(pid) <= before + 4)
        assert works(c) and works(c, "node-a")
        session.kill()


def test_a_session_has_the_usual_soft_limit_of_descriptors(c):
    for node in ("node-a", "node-r1"):
        until(30, f"a session on {node}", lambda node=node: works(c, node))
        assert c.ssh(node, "ulimit -Sn").check().out == "1024\n"
        with open(f"/proc/{pid_of(c, node)}/limits", encoding="utf-8") as f:
            soft, hard = next(line.split()[3:5] for line in f if line.startswith("Max open files"))
        assert soft == hard, (node, soft, hard)


def test_every_service_may_have_as_many_descriptors_as_the_system_allows(c):
    for name in ("auth", "audit", "broker", "proxy"):
        with open(f"/proc/{pid_of(c, name)}/limits", encoding="utf-8") as f:
            soft, hard = next(line.split()[3:5] for line in f if line.startswith("Max open files"))
        assert soft == hard, (name, soft, hard)
