"""Descriptors and memory run out; ten thousand come and go."""

import concurrent.futures
import os
import signal
import socket
import ssl
import subprocess
import time

from cluster import Failed, Skip, run, until
from load import Load, check_audit
from respawn import (cpu_s_of, descriptors_of, is_alive, is_ready, log_size, log_text, otherwise, pid_of,
                     resident_kib_of, respawn, threads_of)
import strangers
from test_4_links import works

PROCESSES = ("proxy", "broker", "auth", "audit", "node-a", "node-r1")
SECONDS = 30
CONNECTS = 10000
SESSIONS = 200
GROWTH_KIB = 16384  # that a process may have more than before, of what its allocator keeps
NO_QUARANTINE = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0:malloc_context_size=0:detect_leaks=0"


def test_a_user_logs_in(c):
    c.login().check()


def plain_connects(c, count):
    """In turn: nothing said; a ClientHello and gone; TLS made; TLS and a question."""
    address = strangers.address_of(c.env["REMOTELER_PROXY"])
    hello = strangers.client_hello("proxy.dev.remoteler.internal", ["remoteler-connect"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for i in range(count):
        with socket.create_connection(address, 10) as s:
            if i % 4 == 1:
                s.sendall(hello)
            elif i % 4 == 2:
                context.wrap_socket(s, server_hostname="web.example").close()
            elif i % 4 == 3:
                with context.wrap_socket(s, server_hostname=address[0]) as tls:
                    tls.sendall(b"GET /v1/ping HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n"
                                % (address[0].encode(), address[1]))
                    if not tls.recv(1024).startswith(b"HTTP/1.1 200"):
                        raise Failed("the proxy does not answer")


def dials(c, count):
    """Of users: half of them give up before the node has said a word."""
    for i in range(count):
        node = ("node-a", "node-r1")[i % 2]
        p = subprocess.Popen(["tsh", "proxy", "ssh", node], env=dict(c.env, TSH_HOME=str(c.home)),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if i % 4 < 2 and not p.stdout.read(8).startswith(b"SSH-2.0"):
            raise Failed(f"no SSH server at {node}")
        p.kill()
        p.communicate()


def sessions(c, count):
    for i in range(count):
        c.ssh(("node-a", "node-r1")[i % 2], "true").check()


def figures(c):
    return {n: (descriptors_of(pid_of(c, n)), threads_of(pid_of(c, n)), resident_kib_of(pid_of(c, n)))
            for n in PROCESSES}


def all_at_once(c, connects, whole):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(plain_connects, c, connects // 4) for _ in range(4)]
        jobs += [pool.submit(dials, c, whole), pool.submit(sessions, c, whole)]
        for job in jobs:
            job.result()


def test_ten_thousand_come_and_go_and_leave_nothing(c):
    # the sanitizer keeps what was freed, to find its use: here it must not
    env = {"ASAN_OPTIONS": NO_QUARANTINE, "MALLOC_ARENA_MAX": "2"}
    for name in PROCESSES:
        respawn(c, name, env=env)
    until(15, "sessions", lambda: works(c) and works(c, "node-a"))
    all_at_once(c, 1000, 20)  # warm: what is kept for good is there
    until(20, "users to be gone", lambda: users_of(c) == 0)
    before = figures(c)
    all_at_once(c, CONNECTS, SESSIONS)
    until(30, "users to be gone", lambda: users_of(c) == 0)

    def is_back():
        now = figures(c)
        return all(now[n][0] <= before[n][0] + 3 and now[n][1] <= before[n][1] + 1 for n in PROCESSES)

    try:
        until(60, "descriptors and threads to be as before", is_back)
    finally:
        now = figures(c)
        for n in PROCESSES:
            print(f"  {n}: {before[n]} -> {now[n]}")
    grown = {n: now[n][2] - before[n][2] for n in PROCESSES if now[n][2] - before[n][2] > GROWTH_KIB}
    assert not grown, grown
    for name in PROCESSES:
        c.dev("restart", name).check()
    until(15, "sessions", lambda: works(c) and works(c, "node-a"))


def users_of(c):
    text = run(["curl", "-fsS", c.process("proxy")["metrics_url"]]).check().out
    return int(next(l.split()[1] for l in text.splitlines() if l.startswith("remoteler_proxy_user_connections ")))


def exhausted(c, name, limit, port_key):
    """Holds connections to one of its ports until it has no descriptor left; then lets go."""
    with otherwise(c, name, wrap=["prlimit", f"--nofile={limit}:{limit}"]):
        pid = pid_of(c, name)
        until(15, "node-r1 to be reachable", lambda: works(c))
        port = c.process(name)["ports"][port_key]
        held = []
        try:
            for _ in range(limit + 50):
                held.append(socket.create_connection(("127.0.0.1", port), 5))
            until(10, f"{name} to be full", lambda: descriptors_of(pid) >= limit - 4)
            used = cpu_s_of(pid)
            time.sleep(2)  # it is left alone for that long: does it work?
            assert cpu_s_of(pid) - used < 0.5, f"{name} spins"
            assert is_alive(pid)
        finally:
            for s in held:
                s.close()
        until(20, f"{name} to have closed them", lambda: descriptors_of(pid) < limit // 2)
        until(20, "sessions", lambda: works(c) and works(c, "node-a"))
        until(20, "auth to answer", lambda: c.tsh("ls").code == 0)


def test_each_service_survives_that_its_descriptors_run_out(c):
    for name, limit, key in (("broker", 120, "main"), ("broker", 120, "proxied"), ("audit", 160, "main"),
                             ("auth", 200, "main")):
        exhausted(c, name, limit, key)


def hold(c, node):
    """A session that stays until its stdin is closed; whether it began, and what was said if not."""
    p = subprocess.Popen(["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", node, "echo here; cat"], env=c.env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    began = p.stdout.readline() == b"here\n"
    return p, began, "" if began else p.communicate()[1].decode("utf-8", "replace")


def exhaust_node(c, node, limit):
    """Sessions until the node refuses one."""
    with otherwise(c, node, wrap=["prlimit", f"--nofile={limit}:{limit}"]):
        pid, mark = pid_of(c, node), log_size(c, node)
        until(15, f"sessions on {node}", lambda: works(c, node))
        held = []
        try:
            for _ in range(limit):
                p, began, said = hold(c, node)
                if not began:
                    break
                held.append(p)
            assert 3 <= len(held) < limit // 4, len(held)
            assert "no descriptors for another connection" in said, said
            used = cpu_s_of(pid)
            for p in held:  # who is in stays in, and is served
                p.stdin.write(b"still\n")
                p.stdin.flush()
                assert p.stdout.readline() == b"still\n"
            assert not works(c, node)
            # what the node needs for itself, it has: its audit, its status
            c.wait_for_event(lambda e: e["type"] == "session.start" and e["resource"]["name"] == node)
            assert is_ready(c, node)
            time.sleep(2)  # it is left alone for that long: does it work?
            assert cpu_s_of(pid) - used < 1, f"{node} spins"
            held.pop().kill()
            until(10, "one who comes when one has gone", lambda: works(c, node))
        finally:
            for p in held:
                p.kill()
                p.communicate()
        until(15, "all to be as before", lambda: works(c, node))
        assert is_alive(pid) and "no descriptors" in log_text(c, node, mark)
    until(15, f"sessions on {node}", lambda: works(c, node))


def test_a_node_whose_descriptors_run_out_refuses_and_comes_back(c):
    for node, limit in (("node-a", 64), ("node-r1", 80), ("node-r1", 128)):
        exhaust_node(c, node, limit)


def test_a_process_that_is_refused_memory_ends_in_words_and_everything_comes_back(c):
    """By decision (docs/decisions/0018). The sanitizer's allocator refuses from a size on that the process
    has already; without it there is nothing here to refuse with."""
    if not run(["sh", "-c", f"ldd {c.run_dir}/bin/remoteler | grep -q libasan"]).code == 0:
        raise Skip("not a build with the address sanitizer")
    refuse = "soft_rss_limit_mb=20:allocator_may_return_null=1:abort_on_error=1:detect_leaks=0"
    for name in ("audit", "broker"):
        with Load(c) as load:
            mark = log_size(c, name)
            child = respawn(c, name, env={"ASAN_OPTIONS": refuse}, ready_s=0)
            status = child.wait(30)
            said = log_text(c, name, mark)
            assert status == -signal.SIGABRT, (name, status, said[-2000:])
            c.dev("start", name).check()
            load.wait_for_recovery(SECONDS)
        check_audit(c, load)
