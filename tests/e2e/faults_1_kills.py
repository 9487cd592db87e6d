"""kill -9 in mid-session, under load: what runs elsewhere goes on, new sessions work within seconds,
and nothing that happened is missing in audit."""

import datetime
import signal
import subprocess
import time

from cluster import Failed, until
from load import Load, check_audit, events_since, is_alive, kill, pid_of, processes_of, unfinished

SECONDS = 10  # for new sessions to work again; under sanitizers and on two cores, generously


def test_a_user_logs_in(c):
    c.login().check()


def kill_and_start(c, name, load, away_s=1.0):
    kill(c, name)
    time.sleep(away_s)  # it is away for that long, not waited for
    c.dev("start", name).check()
    load.wait_for_recovery(SECONDS)


def test_audit_is_killed_and_no_session_notices(c):
    with Load(c) as load:
        kill_and_start(c, "audit", load, away_s=3)
    assert not load.failures(), load.failures()
    check_audit(c, load)


def test_auth_is_killed_and_no_session_notices(c):
    with Load(c) as load:
        kill_and_start(c, "auth", load, away_s=3)
    assert not load.failures(), load.failures()
    check_audit(c, load)
    until(5, "both nodes to be online", lambda: {n["status"] for n in c.nodes().values()} == {"online"})


def test_the_broker_is_killed_and_direct_nodes_do_not_notice(c):
    with Load(c) as load:
        kill_and_start(c, "broker", load)
    assert not load.failures("node-a"), load.failures("node-a")
    check_audit(c, load)


def test_the_proxy_is_killed(c):
    with Load(c) as load:
        kill_and_start(c, "proxy", load)
    check_audit(c, load)


def test_what_auth_and_the_proxy_had_to_tell_outlives_both_while_audit_is_away(c):
    since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    kill(c, "audit")
    other = c.dir / "not-her-password"
    other.write_text("not this one\n")
    other.chmod(0o600)
    c.tsh("login", "--user=alice", f"--password-file={other}", "--otp=000000", "--no-ssh-config").check(4)
    c.ssh("node-a", "true").check()
    for name in ("proxy", "auth"):
        kill(c, name)
        c.dev("start", name).check()
    until(30, "sessions again", lambda: c.ssh("node-a", "true").code == 0)
    c.dev("start", "audit").check()

    def told():
        events = events_since(c, since, "user.login", "proxy.dial")
        return [e for e in events if (e["type"], e["outcome"]) in (("user.login", "failure"), ("proxy.dial", "success"))]

    until(30, "auth's refusal and both dials to be in audit", lambda: len(told()) >= 3)
    assert len({e["uid"] for e in told()}) == len(told()), told()


def running_session(c, node, mark):
    """A session that would last; returns when it runs."""
    ssh = subprocess.Popen(
        ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", node, f"echo runs; sleep {mark}"],
        env=c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    if ssh.stdout.readline() != b"runs\n":
        raise Failed(f"no session on {node}: {ssh.stderr.read().decode()}")
    return ssh


def test_an_agent_is_killed_and_its_sessions_end_and_are_said_to_have_ended(c):
    for node, mark in (("node-a", 98761), ("node-r1", 98762)):
        with Load(c) as load:
            session = running_session(c, node, mark)
            assert processes_of(f"sleep {mark}")
            kill(c, node)
            try:
                until(5, "what ran in the session to be gone", lambda: not processes_of(f"sleep {mark}"))
            finally:
                c.dev("start", node).check()
            load.wait_for_recovery(SECONDS)
            assert session.wait(SECONDS) == 255  # the new agent does not know it: nothing to resume
        check_audit(c, load)
        end = c.wait_for_event(
            lambda e: (e["resource"] or {}).get("name") == node and e["outcome"] == "failure",
            "--type=session.end", seconds=10,
        )
        assert "agent" in end["reason"], end


def test_a_killed_client_is_a_session_that_ended(c):
    with Load(c) as load:
        for node, mark in (("node-a", 98763), ("node-r1", 98764)):
            running_session(c, node, mark).send_signal(signal.SIGKILL)
            until(10, "what ran in the session to be gone", lambda: not processes_of(f"sleep {mark}"))
    check_audit(c, load)


def test_every_service_is_killed_at_once(c):
    names = ("broker", "proxy", "audit", "auth")
    with Load(c) as load:
        for name in names:
            kill(c, name)
        for name in ("auth", "audit", "broker", "proxy"):
            c.dev("start", name).check()
        load.wait_for_recovery(2 * SECONDS)
    check_audit(c, load)
    assert all(is_alive(pid_of(c, name)) for name in names)


def test_at_the_end_no_session_is_without_its_end(c):
    assert not unfinished(c, "2020-01-01T00:00:00Z")
