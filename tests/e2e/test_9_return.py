"""Nodes that were off for longer than their certificates live: who comes back by itself, and who does not."""

import contextlib
import os
import shutil
import signal
import time

from cluster import until
from device import Agent, flags, token_file
from respawn import log_size, log_text

LIFE_S = 16
SETTINGS = """
kind: cluster_config
version: v1
metadata: {name: cluster}
spec: {policy_max_age: 7d, node_certificate_ttl: %ds, node_return_grace: %s}
"""


def settle(c, grace):
    c.tctl("create", "-f", "-", stdin=(SETTINGS % (LIFE_S, grace)).encode()).check()


def command(c, name, *more):
    program = shutil.which("remoteler", path=c.env["PATH"])
    return [program, *flags(c, name, f"--data-dir={c.dir}/{name}", *more)]


def switch_off(agent):
    os.killpg(agent.process.pid, signal.SIGTERM)
    agent.process.wait(20)



@contextlib.contextmanager
def back(c, name, *more):
    agent = Agent(c, name, command(c, name, *more))
    try:
        yield agent
    finally:
        switch_off(agent)


def says(c, name, said, *words):
    until(30, f"{words} in the log of {name}", lambda: all(w in log_text(c, name, said) for w in words))


NAMES = ("returns", "copied", "removed", "locked", "late")


def test_nodes_join_and_are_switched_off(c):
    c.login().check()
    settle(c, "1h")
    agents = [Agent(c, name, command(c, name, token_file(c, name))) for name in NAMES]
    for agent in agents:
        agent.wait_until_online()
    for agent in agents:
        switch_off(agent)
    shutil.copytree(c.dir / "copied", c.dir / "copied-before")
    c.tctl("rm", f"node/{c.nodes()['removed']['id']}").check()
    c.tctl("lock", "--node=locked", "--ttl=10m", "--message=stolen").check()
    time.sleep(LIFE_S + 1)


def test_a_node_comes_back_by_itself(c):
    said = log_size(c, "returns")
    with back(c, "returns") as agent:
        agent.wait_until_online()
        assert c.ssh("returns", "hostname").check().out == "returns\n"
        assert "had expired; auth renewed it" in log_text(c, "returns", said)
        event = c.wait_for_event(lambda e: e["type"] == "cert.issue" and e["details"].get("returned") == "true")
        assert event["resource"]["name"] == "returns", event


def test_of_two_with_one_identity_neither_is_let_in(c):
    with back(c, "copied") as agent:
        agent.wait_until_online()
    for file in (c.dir / "copied-before").iterdir():
        shutil.copy(file, c.dir / "copied") if file.is_file() else None
    said = log_size(c, "copied")
    with back(c, "copied"):
        says(c, "copied", said, "two hold this identity; both are stopped")
    assert c.ssh("copied", "true").code != 0


def test_who_was_removed_or_locked_meanwhile_does_not_come_back(c):
    for name, why in (("removed", "was removed; join anew"), ("locked", "stolen")):
        said = log_size(c, name)
        with back(c, name):
            says(c, name, said, "the certificate has expired and could not be renewed", why)
            assert c.ssh(name, "true").code != 0


def test_who_was_off_for_longer_than_the_grace_needs_a_token_and_keeps_its_id(c):
    settle(c, "1s")
    before = c.nodes()["late"]["id"]
    time.sleep(2)
    said = log_size(c, "late")
    with back(c, "late"):
        says(c, "late", said, "start once with --token=", "expired")
        assert c.nodes()["late"]["status"] == "offline"
    with back(c, "late", token_file(c, "late")) as agent:
        agent.wait_until_online()
        assert c.nodes()["late"]["id"] == before
        assert c.ssh("late", "hostname").check().out == "late\n"
