"""The authorities of users and hosts are replaced while people work."""

import os
import signal
import subprocess

from cluster import until

GRACE = "--grace-period=12s"
NODES = ("node-a", "node-r1")
PHASES = ("init", "update_clients", "update_servers", "standby")


def kill_auth(c):
    """Whatever it was about to do, it has done all of it or nothing."""
    os.kill(c.process("auth")["pid"], signal.SIGKILL)
    c.dev("restart", "auth").check()
    until(10, "auth to answer", lambda: c.tctl("status").code == 0)


def become_admin_anew(c):
    """By the authority that signs now."""
    identity = c.dir / "admin.identity"
    identity.unlink(missing_ok=True)
    c.tctl("auth", "sign", "--user=admin", f"--out={identity}").check()
    c.env["REMOTELER_IDENTITY_FILE"] = str(identity)


def rotations(c):
    return {r["type"]: r["phase"] for r in c.tctl("status", "--format=json").check().json["rotations"]}


def authorities_in(known_hosts):
    return {line.split()[-1] for line in known_hosts.read_text().splitlines() if "@cert-authority" in line}


def known_hosts_of(home):
    return next(path for path in home.rglob("*known_hosts*"))


class Cat:
    """A session that is there all the while."""

    def __init__(self, c, node):
        words = ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", node, "cat"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=c.env)
        self.says("before")

    def says(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == word.encode() + b"\n"

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


def test_an_identity_for_a_program_works_and_signs_no_other(c):
    identity = c.dir / "robot.identity"
    c.tctl("auth", "sign", "--user=admin", f"--out={identity}", "--ttl=1h").check()
    assert identity.stat().st_mode & 0o777 == 0o600
    robot = {"REMOTELER_IDENTITY_FILE": str(identity)}
    c.tctl("status", env=robot).check()
    refused = c.tctl("auth", "sign", "--user=alice", f"--out={c.dir / 'other'}", env=robot)
    assert refused.code != 0 and "signs no others" in refused.err, refused.err
    assert not (c.dir / "other").exists()


def test_a_wrong_phase_says_which_may_follow(c):
    wrong = c.tctl("auth", "rotate", "--type=host", "--phase=standby").check(1)
    assert "init may follow, not standby" in wrong.err, wrong.err
    wrong = c.tctl("auth", "rotate", "--type=service", "--phase=init").check(1)
    assert "user and host" in wrong.err, wrong.err


def test_everybody_gets_over_a_rotation_and_a_session_lives_through_it(c):
    before = authorities_in(known_hosts_of(c.home))
    c.dev("stop", "node-r1").check()
    session = Cat(c, "node-a")
    for phase in PHASES:
        if phase == "standby":
            refused = c.tctl("auth", "rotate", "--phase=standby").check(1)
            assert "your own identity" in refused.err, refused.err
            become_admin_anew(c)
        c.tctl("auth", "rotate", f"--phase={phase}", GRACE).check()
        kill_auth(c)
        assert rotations(c) == ({} if phase == "standby" else {"user": phase, "host": phase})
        session.says(phase)
        if phase != "standby":  # who logged in before goes on until the old authority is gone
            c.ssh("node-a", "true").check()
        if phase == "update_servers":
            until(30, "node-a to show the new host authority", lambda: has_renewed(c, "node-a"))
    home = c.new_home("alice")
    c.login("alice", home).check()
    after = authorities_in(known_hosts_of(home))
    assert after and not after & before, (before, after)
    assert c.ssh("node-a", "echo new", home=home).check().out == "new\n"
    session.says("after")
    session.close()
    # With no authority that is still trusted, and the key that it always had.
    c.dev("start", "node-r1").check()
    until(30, "node-r1 to come back", lambda: c.ssh("node-r1", "true", home=home).code == 0)
    assert len(c.events("--type=auth.rotate")) == len(PHASES)


def has_renewed(c, node):
    return "certificates renewed" in (c.run_dir / "log" / f"{node}.log").read_text()


def test_who_logged_in_with_the_old_authority_logs_in_again(c):
    refused = c.ssh("node-a", "true")
    assert refused.code == 255, refused.err
    assert "run tsh login" in refused.err, refused.err
    c.login("alice", c.home).check()
    c.ssh("node-a", "true").check()
    c.ssh("node-r1", "true").check()


def test_a_rotation_by_itself_comes_to_its_end(c):
    c.tctl("auth", "rotate", "--type=host", GRACE).check()
    assert rotations(c) == {"host": "init"}
    until(30, "the rotation to end", lambda: rotations(c) == {})
    c.login("alice", c.home).check()
    until(60, "the nodes to have renewed", lambda: all(c.ssh(n, "true").code == 0 for n in NODES))
