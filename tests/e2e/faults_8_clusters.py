"""Two clusters and what breaks between them: any process of either side killed under a running session,
one of two brokers on either side, and the link in silence."""

import os
import signal
import time

from cluster import Skip, until
from faults_7_replicas import second, services
from respawn import pid_of
from test_10_trusted_clusters import clusters, session, works

NEEDS_LEAF = True
SECONDS = 15
AWAY_S = 1


def test_a_user_logs_in(c):
    c.login().check()


def kill(c, name):
    os.kill(pid_of(c, name), signal.SIGKILL)


def works_on_both(c):
    return works(c, "node-b") and works(c, "node-rb")


def goes_on(s):
    """The session on the tunnelled node; one on a direct node ends with a broker that carries it."""
    start = time.monotonic()
    s.says("after")
    print(f"  the session goes on after {time.monotonic() - start:.1f} s")


def outlive(c, where, name):
    """A session in the leaf goes on while it is killed and started, and new ones begin."""
    with session(c, "node-rb") as s:
        kill(where, name)
        time.sleep(AWAY_S)  # it is away for that long, not waited for
        where.dev("start", name).check()
        goes_on(s)
        took = until(SECONDS, "new sessions", lambda: works_on_both(c))
        print(f"  new sessions after {took:.1f} s")
        s.says("at the end")


def test_the_roots_broker_is_killed(c):
    outlive(c, c, "broker")


def test_the_leafs_broker_is_killed(c):
    outlive(c, c.leaf, "broker")


def test_the_roots_auth_and_audit_are_killed(c):
    for name in ("auth", "audit"):
        outlive(c, c, name)


def test_the_leafs_auth_and_audit_are_killed(c):
    for name in ("auth", "audit"):
        outlive(c, c.leaf, name)


def test_the_leafs_proxy_is_killed(c):
    """It carries the tunnelled node's attachment."""
    outlive(c, c.leaf, "proxy")


def online(c, kind):
    return len([s for s in services(c, kind) if s["status"] == "online"])


def test_either_of_two_brokers_on_both_sides_is_killed(c):
    listeners = ("dial-listen", "attach-listen")
    with second(c, "broker", listeners) as at_root, second(c.leaf, "broker", listeners) as in_leaf:
        for where in (c, c.leaf):
            until(SECONDS, "both brokers to be known", lambda where=where: online(where, "broker") == 2)
        until(SECONDS, "new sessions", lambda: works_on_both(c))
        kills = (
            (lambda: kill(c, "broker"), lambda: c.dev("start", "broker").check()),
            (at_root.kill, at_root.start),
            (lambda: kill(c.leaf, "broker"), lambda: c.leaf.dev("start", "broker").check()),
            (in_leaf.kill, in_leaf.start),
        )
        for kill_one, start_one in kills:
            with session(c, "node-rb") as s:
                kill_one()
                goes_on(s)
                took = until(SECONDS, "new sessions", lambda: works_on_both(c))
                print(f"  new sessions after {took:.1f} s")
                start_one()
                until(SECONDS, "both brokers", lambda: online(c, "broker") == online(c.leaf, "broker") == 2)
    until(SECONDS, "new sessions through what is left", lambda: works_on_both(c))


def status(c):
    return clusters(c)["leaf"]["status"]


def test_a_link_in_silence_is_seen_within_thirty_seconds_and_back_within_ten(c):
    if not c.netns:
        raise Skip("no network namespace here")
    c.leaf.set_link(False)
    try:
        took = until(45, "the leaf to show as offline", lambda: status(c) == "offline")
        print(f"  offline after {took:.1f} s")
        assert took <= 30, took
        refused = c.ssh("node-b.leaf", "true").check(255)
        assert "leaf" in refused.err and "offline since" in refused.err, refused.err
        # nobody at the root waits for it
        start = time.monotonic()
        c.ssh("node-r1", "true").check()
        c.tsh("ls").check()
        assert time.monotonic() - start < 5
        one_time_code = c.totp()
        start = time.monotonic()
        c.tsh("login", "--user=alice", f"--password-file={c.password_file()}", f"--otp={one_time_code}",
              "--no-ssh-config").check()
        assert time.monotonic() - start < 5
    finally:
        c.leaf.set_link(True)
    took = until(30, "the leaf to be back", lambda: status(c) == "online" and works(c))
    print(f"  back after {took:.1f} s")
    assert took <= 10, took


def test_a_session_outlives_a_silence_of_the_link(c):
    if not c.netns:
        raise Skip("no network namespace here")
    with session(c, "node-rb") as s:
        c.leaf.set_link(False)
        time.sleep(15)  # it lasts that long
        c.leaf.set_link(True)
        goes_on(s)
