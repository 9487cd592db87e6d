"""Clocks that are wrong: an hour off either way, jumping, at 1970. Only the wall clock is: what has passed
since the machine started is not a matter of setting it."""

import time

from clocks import own_clock
from cluster import until
from load import Load, check_audit
from respawn import is_alive, pid_of
from test_4_links import works

HOUR = 3600
YEAR_1970 = "@86400"
YEAR = 365 * 86400


def test_a_user_logs_in(c):
    c.login().check()


def test_a_wrong_clock_of_a_node_changes_nothing(c):
    """Started with it: it knows auth's time from before."""
    for node in ("node-a", "node-r1"):
        for what in (f"{HOUR}", f"-{HOUR}", YEAR_1970):
            with own_clock(c, node, what):
                until(20, f"a session on {node} at {what}", lambda: works(c, node))
                with Load(c, nodes=(node,)) as load:
                    load.wait_for_recovery(20)
                assert not load.failures(), (what, load.failures())
                check_audit(c, load)  # its events lie where they belong: searched from just before


def test_a_jumping_clock_of_a_node_changes_nothing(c):
    for node in ("node-a", "node-r1"):
        with own_clock(c, node) as clock:
            with Load(c, nodes=(node,)) as load:
                for what in (f"{HOUR}", f"-{HOUR}", YEAR_1970, f"{YEAR}", "0"):
                    clock.set(what)
                    load.wait_for_recovery(20)
            assert not load.failures(), load.failures()
            check_audit(c, load)


def test_an_audit_with_a_wrong_clock_loses_nothing(c):
    """And files nothing under another time: check_audit() looks where it belongs."""
    for start in ("0", f"{2 * HOUR}"):  # before its certificate was made it could not begin
        with own_clock(c, "audit", start) as clock:
            with Load(c) as load:
                for what in (start, f"{HOUR}", f"-{HOUR}", YEAR_1970, "0"):
                    clock.set(what)
                    load.wait_for_recovery(20)
            assert not load.failures(), load.failures()
            # By a clock that is years off no certificate was good.
            until(40, "audit to be found again", lambda: c.tctl("audit", "search", "--limit=1").code == 0)
            check_audit(c, load)


def test_a_broker_with_a_wrong_clock_lets_nobody_in_and_comes_back(c):
    """It takes no header of a proxy's that is not of this minute; what it carries already goes on."""
    with own_clock(c, "broker") as clock:
        until(30, "node-r1", lambda: works(c))
        for what in (f"{HOUR}", f"-{HOUR}", YEAR_1970):
            clock.set(what)
            with Load(c) as load:
                load.wait_for_recovery(20)
            assert not load.failures("node-a"), load.failures("node-a")
            clock.set("0")
            until(30, "node-r1", lambda: works(c))
            assert is_alive(pid_of(c, "broker"))


def test_a_proxy_with_a_wrong_clock_lets_nobody_in_and_comes_back(c):
    """Its tickets are of another time: nodes refuse them, and say why."""
    with own_clock(c, "proxy") as clock:
        until(30, "node-r1", lambda: works(c))
        for what in (f"{HOUR}", f"-{HOUR}", YEAR_1970):
            clock.set(what)
            refused = c.ssh("-o", "ConnectTimeout=5", "node-a", "true")
            assert refused.code == 255, refused
            clock.set("0")
            until(30, "sessions again", lambda: works(c) and works(c, "node-a"))
            assert is_alive(pid_of(c, "proxy"))


def test_an_auth_whose_clock_jumps_comes_back(c):
    with own_clock(c, "auth") as clock:
        for what in (f"{HOUR}", f"-{HOUR}", YEAR_1970):
            with Load(c) as load:
                clock.set(what)
                time.sleep(3)
                clock.set("0")
                load.wait_for_recovery(20)
            check_audit(c, load, 30)
            assert is_alive(pid_of(c, "auth"))
            until(30, "auth to answer", lambda: c.tsh("ls").code == 0)
        c.make_user(f"after-the-jumps-{time.monotonic_ns()}")
