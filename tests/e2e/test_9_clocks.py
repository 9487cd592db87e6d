"""A device's own clock is at 1970, or ten years ahead: it joins, and comes back after a restart, all the same."""

import shutil

from clocks import Clock, own_clock
from cluster import until
from device import Agent, flags, token_file
from respawn import log_size, log_text
from test_4_links import works

CLOCKS = {"past": "@86400", "future": f"{10 * 365 * 86400}"}


def test_a_user_logs_in(c):
    c.login().check()


def test_a_node_that_starts_with_a_wrong_clock_comes_back(c):
    """It asks auth what time it is. The clock of 1970 is no trouble: it was later when auth last spoke."""
    for node in ("node-a", "node-r1"):
        for name, what in CLOCKS.items():
            said = log_size(c, node)
            with own_clock(c, node, what):
                until(20, f"a session on {node} in the {name}", lambda: works(c, node))
                assert name == "past" or "clock is wrong" in log_text(c, node, said)


def test_a_node_joins_with_a_wrong_clock(c):
    for name, what in CLOCKS.items():
        clock = Clock(c, name)
        clock.set(what)
        command = [shutil.which("remoteler", path=c.env["PATH"]), *flags(c, name, f"--data-dir={c.dir}/{name}",
                                                                         token_file(c, name))]
        with Agent(c, name, command, env=clock.env()).wait_until_online():
            assert c.ssh(name, "hostname").check().out == f"{name}\n"
            started = c.wait_for_event(lambda e: e["type"] == "session.start" and e["resource"]["name"] == name)
            assert started["time"][:10] == c.events("--type=user.login")[-1]["time"][:10], started
