"""Who is stopped while he works: the node ends it, says why, and lets nobody in again."""

import subprocess
import time

from clocks import own_clock
from cluster import Failed, Terminal, until

REASON = "lost laptop"
NODES = ("node-a", "node-r1")


def user_with_home(c, name, roles="access"):
    """A user of this test's own, logged in."""
    c.make_user(name, roles=roles)
    home = c.new_home(name)
    c.login(name, home).check()
    return home


class Running:
    """A session that goes on until somebody ends it."""

    def __init__(self, c, node, home, *options):
        self.node = node
        self.process = subprocess.Popen(
            ["ssh", "-F", c.ssh_config(home), "-o", "BatchMode=yes", *options, node, "echo here; exec sleep 300"],
            env=c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        line = self.process.stdout.readline()
        if line != b"here\n":
            raise Failed(f"{node}: {line!r} {self.process.stderr.read()!r}")

    def ended(self, seconds=2.0):
        """Waits for its end; what the user read on stderr."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed(f"the session on {self.node} went on for {seconds} s") from None
        return self.process.stderr.read().decode()

    def goes_on(self):
        return self.process.poll() is None

    def stop(self):
        self.process.kill()
        self.process.wait()


def lock(c, *target):
    made = c.tctl("lock", *target, f"--message={REASON}", "--format=json").check().json
    assert made["message"] == REASON and made["created_by"], made
    return made["id"]


def check_stopped(c, sessions, started):
    for s in sessions:
        read = s.ended(max(0.1, 2.0 - (time.monotonic() - started)))
        assert f"locked: {REASON}" in read, (s.node, read)


def check_target(c, home, target, nodes=NODES, login=None):
    """The lock ends what runs within 2 s with its message, and new ones are refused with it."""
    where = [f"{login}@{n}" if login else n for n in nodes]
    sessions = [Running(c, w, home) for w in where]
    started = time.monotonic()
    made = lock(c, target)
    check_stopped(c, sessions, started)
    for w in where:
        refused = c.ssh(w, "true", home=home).check(255)
        assert f"locked: {REASON}" in refused.err, (w, refused.err)
    c.tctl("locks", "rm", made).check()
    for w in where:
        until(5, "the lock to be gone", lambda w=w: c.ssh(w, "true", home=home).code == 0)


def test_a_lock_on_a_user_ends_running_sessions_and_refuses_new_ones(c):
    home = user_with_home(c, "lana")
    other = Running(c, "node-r1", None)
    check_target(c, home, "--user=lana")
    assert other.goes_on()
    other.stop()
    ended = c.wait_for_event(lambda e: e["reason"] == f"locked: {REASON}", "--type=session.end", "--user=lana")
    assert ended["resource"]["name"] in NODES, ended
    c.wait_for_event(lambda e: e["reason"] == f"locked: {REASON}", "--type=client.disconnect", "--user=lana")
    c.wait_for_event(lambda e: REASON in (e["reason"] or ""), "--type=proxy.dial", "--user=lana")


LOGIN_ROLE = """
kind: role
version: v1
metadata: {name: %s}
spec:
  allow: {logins: ["{{internal.logins}}", remoteler-demo], node_labels: {"*": "*"}}
  options: {%s}
"""


def make_role(c, name, options=""):
    c.tctl("create", "-f", "-", stdin=(LOGIN_ROLE % (name, options)).encode()).check()


def test_a_lock_on_a_role_a_login_or_a_device_does_the_same(c):
    make_role(c, "lockable")
    home = user_with_home(c, "luke", roles="lockable")
    check_target(c, home, "--role=lockable", ["node-r1"])
    check_target(c, home, "--login=remoteler-demo", login="remoteler-demo")
    check_target(c, home, "--mfa-device=luke/otp", ["node-a"])


def test_a_lock_on_a_node_empties_it(c):
    home = user_with_home(c, "lima")
    check_target(c, home, "--node=node-r1", ["node-r1"])
    check_target(c, home, f"--node={c.nodes()['node-a']['id']}", ["node-a"])


def test_a_lock_ends_by_itself(c):
    home = user_with_home(c, "lars")
    c.tctl("lock", "--user=lars", "--ttl=3s", "--message=a moment").check()
    until(2, "the lock", lambda: "a moment" in c.ssh("node-r1", "true", home=home).err)
    until(6, "its end", lambda: c.ssh("node-r1", "true", home=home).code == 0)


def test_a_lock_on_oneself_needs_an_end(c):
    me = "admin"
    refused = c.tctl("lock", f"--user={me}").check(1)
    assert "you yourself" in refused.err and "--ttl" in refused.err, refused.err
    refused = c.tctl("lock", "--role=admin").check(1)
    assert "you yourself" in refused.err, refused.err
    assert c.tctl("locks", "ls", "--format=json").check().json == []
    mistyped = c.tctl("lock", "--user=nobody-of-that-name", "--ttl=2s").check()
    assert 'no user "nobody-of-that-name"' in mistyped.err, mistyped.err


def check_cut(c, name, cut, reason):
    home = user_with_home(c, name)
    sessions = [Running(c, node, home) for node in NODES]
    started = time.monotonic()
    cut()
    for s in sessions:
        read = s.ended(max(0.1, 2.0 - (time.monotonic() - started)))
        assert reason in read, (s.node, read)
    for node in NODES:
        c.ssh(node, "true", home=home).check(255)


def test_a_reset_a_removal_and_the_loss_of_a_role_end_running_sessions(c):
    check_cut(c, "rita", lambda: c.tctl("users", "reset", "rita").check(), "certificate issued before")
    check_cut(c, "rolf", lambda: c.tctl("users", "update", "rolf", "--roles=auditor").check(), "a role was taken away")
    check_cut(c, "ruth", lambda: c.tctl("users", "rm", "ruth").check(), "the user was removed")


def test_idle_time_ends_a_session_where_the_role_says_so(c):
    make_role(c, "brief", "client_idle_timeout: 1s")
    home = user_with_home(c, "ivan", roles="brief")
    t = Terminal(["ssh", "-F", c.ssh_config(home), "node-r1"], dict(c.env, TERM="xterm"))
    t.expect("nothing was typed for 1 s")
    assert t.wait() == 255
    c.wait_for_event(lambda e: "nothing was typed" in (e["reason"] or ""), "--type=session.end", "--user=ivan")


def test_sessions_at_once_are_counted_on_each_node(c):
    make_role(c, "two", "max_sessions: 2")
    home = user_with_home(c, "mona", roles="two")
    sessions = [Running(c, "node-r1", home) for _ in range(2)]
    refused = c.ssh("node-r1", "true", home=home)
    assert refused.code != 0 and "2 sessions at once" in refused.err, (refused.code, refused.err)
    c.wait_for_event(lambda e: "2 sessions at once" in (e["reason"] or ""), "--type=session.rejected", "--user=mona")
    c.ssh("node-a", "true", home=home).check()
    sessions.pop().stop()
    until(5, "room for another session", lambda: c.ssh("node-r1", "true", home=home).code == 0)
    sessions.pop().stop()


def test_an_expired_certificate_ends_a_session_where_the_role_says_so(c):
    make_role(c, "while-valid", "disconnect_expired_cert: true, max_session_ttl: 10m")
    make_role(c, "beyond", "max_session_ttl: 10m")
    ends, goes_on = (user_with_home(c, name, roles=role) for name, role in (("vera", "while-valid"), ("bea", "beyond")))
    for node in NODES:
        with own_clock(c, node) as clock:
            until(20, f"sessions on {node}", lambda node=node: c.ssh(node, "true", home=ends).code == 0)
            session, other = Running(c, node, ends), Running(c, node, goes_on)
            clock.set("0", slept="620")  # for the node: time has passed
            read = session.ended(5)
            assert "the certificate of this session has expired" in read, (node, read)
            assert other.goes_on()
            other.stop()
    until(20, "node-a as before", lambda: c.ssh("node-a", "true").code == 0)
    c.wait_for_event(lambda e: "has expired" in (e["reason"] or ""), "--type=session.end", "--user=vera", seconds=15)


STRICT_ROLE = LOGIN_ROLE.replace("options: {%s}", "options: {lock: strict}")


def test_a_strict_role_refuses_on_an_old_word_of_auths_and_others_go_on(c):
    """Auth is away, and for the nodes and the proxy six minutes pass."""
    c.tctl("create", "-f", "-", stdin=(STRICT_ROLE % "strict-lock").encode()).check()
    strict, lax = user_with_home(c, "stan", roles="strict-lock"), user_with_home(c, "lax")
    with own_clock(c, "proxy") as proxy, own_clock(c, "node-a") as a, own_clock(c, "node-r1") as r1:
        for node in NODES:
            until(20, f"sessions on {node}", lambda node=node: c.ssh(node, "true", home=strict).code == 0)
            c.ssh(node, "true", home=lax).check()
        c.dev("stop", "auth").check()
        try:
            for clock in (proxy, a, r1):
                clock.set("360", slept="360")
            for node in NODES:
                refused = c.ssh(node, "true", home=strict).check(255)
                assert "lock: strict" in refused.err and "has not heard from auth" in refused.err, (node, refused.err)
                c.ssh(node, "echo on an old word", home=lax).check()
        finally:
            proxy.set("0")  # the nodes come back through it
            c.dev("start", "auth").check()
    for node in NODES:
        until(30, "all to be as before", lambda node=node: c.ssh(node, "true", home=strict).code == 0)

    def says_so(e):
        return int(e["details"].get("policy_age_s", 0)) > 300

    c.wait_for_event(says_so, "--type=session.start", "--user=lax", seconds=15)
    assert not any(says_so(e) for e in c.events("--type=session.start", "--user=stan"))
