"""The main job: plain ssh to a machine behind NAT."""

import os
import socket

from cluster import Failed, Skip, run


def test_a_user_logs_in_by_file_and_flag(c):
    out = c.login("alice", None, "--format=json").check().json
    assert out["user"] == "alice" and out["roles"] == ["access"], out
    assert out["mfa"] == "otp" and out["ca_pin"] == c.env["REMOTELER_CA_PIN"], out
    status = c.tsh("status", "--format=json").check().json
    assert status == out, (status, out)


def test_both_nodes_are_listed_with_labels_and_modes(c):
    nodes = c.nodes()
    assert nodes["node-a"]["mode"] == "direct", nodes
    assert nodes["node-r1"]["mode"] == "tunnel", nodes
    assert nodes["node-a"]["labels"] == {"env": "dev", "site": "local"}, nodes
    assert nodes["node-r1"]["labels"] == {"env": "dev", "site": "edge"}, nodes
    for node in nodes.values():
        assert node["status"] == "online", node
        assert "root" in node["logins"], node
    names = [n["name"] for n in c.tsh("ls", "--format=json", "site=edge").check().json]
    assert names == ["node-r1"], names


def test_plain_ssh_reaches_the_direct_node(c):
    assert c.ssh("node-a", "hostname").check().out == "node-a\n"


def test_plain_ssh_reaches_the_node_behind_nat(c):
    assert c.ssh("node-r1", "hostname").check().out == "node-r1\n"


def test_a_node_is_reached_by_id_and_by_its_full_name(c):
    node = c.nodes()["node-r1"]
    assert c.ssh(node["id"], "hostname").check().out == "node-r1\n"
    assert c.ssh("node-r1.dev", "hostname").check().out == "node-r1\n"


def test_an_unprivileged_login_gets_its_own_user(c):
    assert c.ssh("remoteler-demo@node-r1", "id -un; pwd").check().out == "remoteler-demo\n/home/remoteler-demo\n"


def test_a_login_that_is_not_hers_is_refused_with_a_reason(c):
    refused = c.ssh("nobody@node-r1", "id")
    refused.check(255)
    assert "nobody" in refused.err and "Permission denied" in refused.err, refused.err


def test_a_node_that_is_not_there_is_no_such_node(c):
    refused = c.tsh("ssh", "node-x", "true")
    refused.check(4)
    assert 'no such node "node-x"' in refused.err, refused.err
    refused = c.ssh("node-x.dev", "true")
    refused.check(255)
    assert 'tsh: no such node "node-x"' in refused.err, refused.err


def test_tsh_ssh_gives_the_remote_status(c):
    c.tsh("ssh", "node-r1", "exit 7").check(7)
    assert c.tsh("ssh", "root@node-r1", "hostname").check().out == "node-r1\n"
    assert c.tsh("ssh", "site=edge", "hostname").check().out == "node-r1\n"


def test_plain_ssh_works_with_no_flags_by_one_include(c):
    """In a mount namespace, so that nobody's ~/.ssh is touched."""
    if os.geteuid() != 0:
        raise Skip("needs root for a mount namespace")
    home = c.new_home("include")
    ssh_dir = c.dir / "dot-ssh"
    ssh_dir.mkdir(mode=0o700, exist_ok=True)
    (ssh_dir / "config").write_text("Host other\n    HostName 192.0.2.9\n")
    (ssh_dir / "config").chmod(0o640)
    script = """
        set -e
        real=$(getent passwd $(id -un) | cut -d: -f6)
        mkdir -p "$real/.ssh"
        mount --bind "$DOT_SSH" "$real/.ssh"
        tsh login --user=alice --password-file="$PASSWORD_FILE" --otp="$OTP"
        head -1 "$real/.ssh/config"
        ssh -o BatchMode=yes node-a hostname
        ssh -o BatchMode=yes node-r1 hostname
        ssh -G other | grep '^hostname'
        ssh -G node-zz | grep -c proxycommand || true
        stat -c %a "$real/.ssh/config"
        tsh logout
        cat "$real/.ssh/config"
    """
    env = dict(c.env, TSH_HOME=str(home), DOT_SSH=str(ssh_dir), PASSWORD_FILE=str(c.password_file()), OTP=c.totp())
    out = run(["unshare", "--mount", "sh", "-c", script], env=env).check().out.splitlines()
    assert out[0].startswith(f'Include "{home}/ssh_config"'), out
    assert out[1:6] == ["node-a", "node-r1", "hostname 192.0.2.9", "0", "640"], out
    assert out[6:] == ["Host other", "    HostName 192.0.2.9"], out


def test_a_second_up_changes_nothing_and_succeeds(c):
    before = [(p["name"], p["pid"]) for p in c.dev("ps", "--format=json").check().json]
    c.dev("up", timeout=300).check()
    after = [(p["name"], p["pid"]) for p in c.dev("ps", "--format=json").check().json]
    assert before == after, (before, after)


def test_the_agent_listens_nowhere_and_nothing_reaches_it(c):
    if not c.netns:
        raise Skip("no network namespace here")
    listening = c.in_device("ss", "-Hltun").check().out
    assert listening == "", listening
    agent = c.process("node-r1")
    own = run(["ss", "-Hltnp"]).out
    assert f"pid={agent['pid']}," not in own, own
    device = c.in_device("ip", "-4", "-o", "addr", "show", "eth0").check().out.split()[3].split("/")[0]
    router = run(["ip", "netns", "exec", c.router, "ip", "-4", "-o", "addr", "show", "uplink"])
    uplink = router.check().out.split()[3].split("/")[0]
    for port in (22, 3022, 80):
        # from the host, by its only wire to there: neither the router nor what is behind it answers
        for address in (uplink, device):
            assert not can_connect(c, address, port), f"the host reached {address}:{port}"
        # and from the router itself, which can reach the device: nobody listens
        beside = ["ip", "netns", "exec", c.router, "timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{device}/{port}"]
        assert run(beside).code != 0, f"the router reached {device}:{port}"


def can_connect(c, address, port):
    """Over the host's end of the wire: other routes of this machine do not count."""
    wire = "rl" + c.netns[3:9] + "h"
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, wire.encode())
        s.settimeout(1)
        try:
            s.connect((address, port))
        except OSError:
            return False
        return True


def test_the_proxy_sees_the_router_and_not_the_device(c):
    if not c.netns:
        raise Skip("no network namespace here")
    router = run(["ip", "netns", "exec", c.router, "ip", "-4", "-o", "addr", "show", "uplink"])
    address = router.check().out.split()[3].split("/")[0]
    event = c.wait_for_event(
        lambda e: (e["resource"] or {}).get("name") == "node-r1" and e["peer_addr"], "--type=instance.attach"
    )
    assert event["peer_addr"].startswith(address + ":"), event


def test_the_log_says_who_what_where_and_how_it_ended(c):
    c.ssh("node-r1", "exit 3").check(3)
    end = c.wait_for_event(lambda e: e["exit_code"] == 3, "--type=session.end", "--user=alice", seconds=3)
    session = [e for e in c.events(f"--session={end['session_id']}")]
    kinds = [e["type"] for e in session]
    for kind in ("session.start", "session.command", "session.end"):
        assert kind in kinds, kinds
    assert end["user"] == "alice" and end["login"] == "root", end
    assert end["resource"]["name"] == "node-r1" and end["client_addr"].startswith("127.0.0.1:"), end
    command = next(e for e in session if e["type"] == "session.command")
    assert command["command"] == "exit 3", command
    everything = {e["type"] for e in c.events()}
    for kind in ("user.login", "cert.issue", "instance.join", "instance.attach", "user.create"):
        assert kind in everything, (kind, everything)


def test_nothing_of_a_password_or_code_is_in_a_log(c):
    secrets = [c.password_file().read_text().strip()]
    secrets.append((c.run_dir / "users" / "alice.totp").read_text().strip())
    for log in (c.run_dir / "log").glob("*.log"):
        text = log.read_text(errors="replace")
        for secret in secrets:
            assert secret not in text, f"a secret stands in {log.name}"
