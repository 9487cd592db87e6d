"""Stopped, stalled and restarted: services, the database, a broker that answers nothing for a while."""

import signal
import subprocess
import time

from cluster import Failed, until
from load import Load, check_audit, signal_process
from respawn import stopped
from test_5_resume import Sessions

SECONDS = 10


def both_online(c):
    return {n["status"] for n in c.nodes().values()} == {"online"}


def test_a_user_logs_in(c):
    c.login().check()


LOCK = """
kind: lock
version: v1
metadata: {name: no-henry}
spec: {target_kind: user, target_name: henry, message: "out for now"}
"""


def test_everything_comes_back_by_itself_after_auth_restarts(c):
    c.make_user("henry")
    home = c.new_home("henry")
    c.login("henry", home).check()
    c.dev("restart", "auth").check()
    until(5, "both nodes to be online", lambda: both_online(c))
    for node in ("node-a", "node-r1"):
        c.ssh(node, "true", home=home).check()
    # policy flows: a lock counts at the proxy, and at nodes, and is lifted again
    c.tctl("create", "-f", "-", stdin=LOCK.encode()).check()
    for node in ("node-a", "node-r1"):
        until(5, f"the lock on {node}", lambda: c.ssh(node, "true", home=home).code == 255)
    c.tctl("rm", "lock/no-henry").check()
    for node in ("node-a", "node-r1"):
        until(5, f"the lock to be lifted on {node}", lambda: c.ssh(node, "true", home=home).code == 0)
    kinds = lambda: {s["kind"] for s in c.tctl("status", "--format=json").check().json["services"]
                     if s["status"] == "online"}
    until(5, "every service to be known", lambda: kinds() == {"auth", "audit", "broker", "proxy"})


def test_services_that_are_asked_to_stop_do_so_at_once(c):
    for name in ("auth", "audit", "broker", "node-a", "node-r1"):
        until(5, "both nodes to be online", lambda: both_online(c))
        time.sleep(1.2)  # what is on its way may arrive: this is about being idle
        start = time.monotonic()
        c.dev("stop", name).check()
        took = time.monotonic() - start
        c.dev("start", name).check()
        assert took < 1.0, f"{name} took {took:.1f} s to stop"


def test_auth_restarts_under_load_and_no_session_notices(c):
    with Load(c) as load:
        c.dev("restart", "auth").check()
        load.wait_for_recovery(SECONDS)
    assert not load.failures(), load.failures()
    check_audit(c, load)


def test_the_broker_restarts_under_load(c):
    with Load(c) as load:
        c.dev("restart", "broker").check()
        load.wait_for_recovery(SECONDS)
    assert not load.failures("node-a"), load.failures("node-a")
    check_audit(c, load)


def test_the_database_restarts_under_load_and_no_session_notices(c):
    with Load(c) as load:
        c.dev("stop", "postgres").check()
        try:
            load.wait_for_recovery(SECONDS)
        finally:
            c.dev("start", "postgres").check()
        load.wait_for_recovery(SECONDS)
        until(10, "auth to answer again", lambda: c.tsh("ls").code == 0)
    assert not load.failures(), load.failures()
    check_audit(c, load)


def test_the_database_crashes_under_load_and_no_session_notices(c):
    with Load(c) as load:
        signal_process(c, "postgres", signal.SIGQUIT)  # at once, with recovery at the next start
        time.sleep(0.5)
        c.dev("start", "postgres").check()
        load.wait_for_recovery(SECONDS)
    assert not load.failures(), load.failures()
    check_audit(c, load)
    until(10, "auth to answer again", lambda: c.tsh("ls").code == 0)


def test_a_broker_that_stalls_for_a_moment_loses_nothing(c):
    ticks = subprocess.Popen(
        ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", "node-r1",
         "for i in $(seq 100); do echo $i; sleep 0.1; done"],
        env=c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    assert ticks.stdout.readline() == b"1\n"
    with Load(c) as load:
        signal_process(c, "broker", signal.SIGSTOP)
        time.sleep(4)
        signal_process(c, "broker", signal.SIGCONT)
        load.wait_for_recovery(SECONDS)
    out, _ = ticks.communicate(timeout=60)
    assert ticks.returncode == 0 and out.split() == [str(i).encode() for i in range(2, 101)], out
    assert not load.failures("node-a"), load.failures("node-a")
    check_audit(c, load)


STALL_S = 4


def test_each_process_stalls_for_a_moment_and_nothing_is_lost(c):
    for name in ("auth", "audit", "proxy", "node-a", "node-r1", "postgres"):
        sessions = Sessions(c)
        try:
            with Load(c) as load:
                with stopped(c, name):
                    time.sleep(STALL_S)
                sessions.say("after", 15)
                load.wait_for_recovery(2 * SECONDS)
                sessions.finish()
            if name in ("audit", "postgres"):
                assert not load.failures(), (name, load.failures())
            check_audit(c, load, 30)
        finally:
            sessions.close()


def test_a_broker_that_stalls_for_long_is_left_and_found_again(c):
    with Load(c) as load:
        signal_process(c, "broker", signal.SIGSTOP)
        try:
            until(40, "node-r1 to show as offline", lambda: c.nodes()["node-r1"]["status"] == "offline")
        finally:
            signal_process(c, "broker", signal.SIGCONT)
        load.wait_for_recovery(SECONDS)
        until(SECONDS, "node-r1 to be online", lambda: both_online(c))
    assert not load.failures("node-a"), load.failures("node-a")
    check_audit(c, load)


def test_an_auth_that_stalls_is_not_waited_for_for_long(c):
    with Load(c) as load:
        signal_process(c, "auth", signal.SIGSTOP)
        try:
            time.sleep(12)
        finally:
            signal_process(c, "auth", signal.SIGCONT)
        load.wait_for_recovery(SECONDS)
    assert not load.failures(), load.failures()
    longest = max(a.ended - a.began for a in load.successes())
    if longest > 8:
        raise Failed(f"a session took {longest:.1f} s to begin")
    check_audit(c, load)
