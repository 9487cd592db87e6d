"""Broken links: a reset, a silent drop, a restart."""

import socket
import subprocess
import time

from cluster import Skip, run, until


def status_of(c, node):
    return c.nodes()[node]["status"]


def works(c, node="node-r1"):
    return c.ssh("-o", "ConnectTimeout=2", node, "hostname", timeout=10).out == node + "\n"


def test_after_a_reset_new_sessions_work_within_two_seconds(c):
    if not c.netns:
        raise Skip("no network namespace here")
    assert works(c)
    c.in_device("ss", "-K", "state", "established")  # its exit status says nothing
    took = until(10, "a new session after a reset", lambda: works(c))
    assert took <= 2.0, f"took {took:.1f} s"


def drop(c, on):
    table = "table inet cut { chain forward { type filter hook forward priority -10; policy drop; }; }"
    args = ["nft", table] if on else ["nft", "delete table inet cut"]
    run(["ip", "netns", "exec", c.router, *args]).check()


def test_a_silent_drop_shows_as_offline_and_heals_by_itself(c):
    if not c.netns:
        raise Skip("no network namespace here")
    log = c.run_dir / "log" / "node-r1.log"
    said = len(log.read_text().splitlines())
    drop(c, True)
    try:
        took = until(40, "node-r1 to show as offline", lambda: status_of(c, "node-r1") == "offline")
        assert took <= 30, f"offline after {took:.1f} s"
        node = c.nodes()["node-r1"]
        assert node["last_seen"], node
        refused = c.ssh("node-r1", "true").check(255)
        assert "offline since" in refused.err, refused.err
        assert "offline since" in c.tsh("ls").check().out
        assert len(log.read_text().splitlines()) <= said + 4, log.read_text()
    finally:
        drop(c, False)
    took = until(15, "node-r1 to be back", lambda: status_of(c, "node-r1") == "online" and works(c))
    assert took <= 5, f"back after {took:.1f} s"


def test_an_agent_starts_again_without_token_or_auth_server_state(c):
    before = c.nodes()["node-r1"]["id"]
    (c.run_dir / "tokens" / "node-r1.token").write_text("spent\n")
    c.dev("restart", "node-r1").check()
    until(10, "node-r1 after its restart", lambda: works(c))
    assert c.nodes()["node-r1"]["id"] == before


def test_each_service_comes_back_and_sessions_with_it(c):
    for name in ("broker", "proxy", "audit", "auth"):
        c.dev("restart", name).check()
        until(15, f"a session after {name} restarted", lambda: works(c) and works(c, "node-a"))


def test_ssh_works_while_auth_is_away_for_those_who_are_logged_in(c):
    assert works(c) and works(c, "node-a")
    c.dev("stop", "auth").check()
    try:
        until(10, "a session without auth", lambda: works(c))
        until(10, "a session without auth", lambda: works(c, "node-a"))
    finally:
        c.dev("start", "auth").check()
    until(15, "auth to answer again", lambda: c.tsh("ls").code == 0)


def test_auth_waits_for_its_database(c):
    c.dev("stop", "postgres").check()
    try:
        time.sleep(1)
        refused = c.tsh("ls")
        assert refused.code == 1 and refused.err, (refused.code, refused.err)
    finally:
        c.dev("start", "postgres").check()
    until(20, "auth to have its database back", lambda: c.tsh("ls").code == 0)
    until(10, "a session", lambda: works(c))


def test_a_second_agent_on_one_data_directory_is_refused(c):
    r = run(
        ["remoteler", "start", f"--auth-server={c.env['REMOTELER_AUTH_SERVER']}",
         f"--data-dir={c.run_dir}/state/node-a", "--nodename=node-a"], env=c.env,
    ).check(1)
    assert "another" in r.err, r.err


def test_a_port_that_is_taken_is_said_in_one_sentence(c):
    proxy = c.env["REMOTELER_PROXY"]
    token = c.tctl("tokens", "add", "--type=node", "--format=json").check().json["token"]
    r = run(
        ["remoteler", "start", f"--auth-server={c.env['REMOTELER_AUTH_SERVER']}", f"--token={token}",
         f"--data-dir={c.dir}/agent-port", "--nodename=node-p", f"--listen={proxy}"], env=c.env,
    ).check(1)
    assert proxy in r.err, r.err


def test_a_taken_name_joins_under_its_id(c):
    token = c.tctl("tokens", "add", "--type=node", "--format=json").check().json["token"]
    data = c.dir / "agent-twin"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    twin = subprocess.Popen(
        ["remoteler", "start", f"--auth-server={c.env['REMOTELER_AUTH_SERVER']}", f"--token={token}",
         f"--data-dir={data}", "--nodename=node-a", f"--listen=127.0.0.1:{port}"],
        env=c.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        found = []
        until(10, "the twin to be listed without a name", lambda: found.extend(
            n for n in c.tsh("ls", "--format=json").check().json if n["name"] is None) or found)
        other = found[0]
        assert c.ssh("node-a", "hostname").check().out == "node-a\n"
        until(10, "the twin by its id", lambda: c.ssh(other["id"], "true").code == 0)
    finally:
        twin.terminate()
        twin.wait()
