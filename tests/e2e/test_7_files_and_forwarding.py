"""Files and forwarding on both kinds of node, by stock OpenSSH, and what audit has of it."""

import contextlib
import hashlib
import os
import pathlib
import socket
import subprocess
import threading

from cluster import run, until

NODES = ("node-a", "node-r1")

ROLE = """
kind: role
version: v1
metadata: {{name: {name}}}
spec:
  allow: {{logins: [root], node_labels: {{"*": "*"}}}}
  options: {{port_forwarding: {forwarding}, forward_agent: {agent}, ssh_file_copy: {copy}}}
"""


def user_with(c, name, forwarding="false", agent="false", copy="false"):
    """A home of somebody whose only role says so."""
    role = ROLE.format(name=name, forwarding=forwarding, agent=agent, copy=copy)
    c.tctl("create", "-f", "-", stdin=role.encode()).check()
    c.make_user(name, roles=name)
    home = c.new_home(name)
    c.login(name, home).check()
    return home


def sftp(c, node, batch, *options, home=None):
    return run(["sftp", "-q", "-b", "-", "-F", c.ssh_config(home), *options, node], env=c.env, stdin=batch.encode())


def scp(c, *args, home=None):
    return run(["scp", "-q", "-F", c.ssh_config(home), *args], env=c.env, timeout=120)


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


@contextlib.contextmanager
def service(word):
    """At home, on a port of its own: answers with its word in front of a line."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                with peer:
                    peer.sendall(word + peer.recv(100))

    threading.Thread(target=serve, daemon=True).start()
    with server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def agent_with_a_key(c, name):
    directory = c.dir / f"agent-{name}"
    directory.mkdir()
    key, path = directory / "key", directory / "socket"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]).check()
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until(10, "the agent", path.exists)
        run(["ssh-add", "-q", key], env=dict(os.environ, SSH_AUTH_SOCK=str(path))).check()
        yield path, pathlib.Path(f"{key}.pub").read_text().split()[1]
    finally:
        process.terminate()
        process.wait()


def test_sftp_needs_no_program_and_tells_what_it_does(c):
    source = c.dir / "file"
    source.write_bytes(os.urandom(300000))
    for node in NODES:
        there = c.dir / f"sftp-{node}"
        batch = f"""mkdir {there}
put {source} {there}/a
rename {there}/a {there}/b
chmod 600 {there}/b
ln -s b {there}/link
get {there}/link {c.dir}/back
-get {there}/none
rm {there}/link
rm {there}/b
rmdir {there}
!echo d''one
"""
        r = sftp(c, node, batch).check()
        assert "done" in r.out and digest(source) == digest(c.dir / "back"), r
        expected = {
            ("mkdir", f"{there}", "success"), ("write", f"{there}/a", "success"), ("rename", f"{there}/a", "success"),
            ("setstat", f"{there}/b", "success"), ("symlink", f"{there}/link", "success"), ("read", f"{there}/b", "success"),
            ("remove", f"{there}/link", "success"), ("remove", f"{there}/b", "success"), ("rmdir", f"{there}", "success"),
        }

        def told():
            seen = {
                (e["details"].get("operation"), e["details"].get("path"), e["outcome"]): e
                for e in c.events("--type=sftp") if e["resource"]["name"] == node
            }
            return seen if expected <= set(seen) else None

        until(10, f"all that was done on {node}", told)
        seen = told()
        assert seen["write", f"{there}/a", "success"]["bytes_in"] == 300000, seen
        assert seen["read", f"{there}/b", "success"]["bytes_out"] == 300000, seen
        assert seen["rename", f"{there}/a", "success"]["details"]["target"] == f"{there}/b", seen
        assert {e["user"] for e in seen.values()} == {"alice"}, seen
        assert len({e["session_id"] for e in seen.values()}) == 1, seen


def test_a_tree_is_copied_there_and_back(c):
    tree = c.dir / "scp-tree"
    (tree / "sub").mkdir(parents=True)
    for i in range(200):
        (tree / "sub" / f"f{i}").write_text(f"{i}\n" * i)
    (tree / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (tree / "sub" / "run.sh").chmod(0o755)
    for node in NODES:
        there, back = c.dir / f"there-{node}", c.dir / f"back-{node}"
        scp(c, "-r", "-p", tree, f"{node}:{there}").check()
        scp(c, "-r", "-p", f"{node}:{there}", back).check()
        assert run(["diff", "-r", tree, back]).code == 0
        assert (back / "sub" / "run.sh").stat().st_mode & 0o777 == 0o755


def test_files_are_copied_both_ways_while_keys_are_renewed(c):
    source, there, back = c.dir / "rekey-file", c.dir / "rekey-there", c.dir / "rekey-back"
    source.write_bytes(os.urandom(1 << 20) * 8)
    for node in NODES:
        scp(c, "-o", "RekeyLimit=1M", source, f"{node}:{there}").check()
        scp(c, "-o", "RekeyLimit=1M", f"{node}:{there}", back).check()
        assert digest(source) == digest(there) == digest(back), node
        rsync = ["rsync", "-e", f"ssh -F {c.ssh_config()} -o RekeyLimit=1M"]
        back.unlink()
        run([*rsync, source, f"{node}:{there}.rsync"], env=c.env, timeout=120).check()
        run([*rsync, f"{node}:{there}.rsync", back], env=c.env, timeout=120).check()
        assert digest(source) == digest(back), node
        back.unlink()


def test_a_login_copies_only_what_it_may(c):
    source = c.dir / "demo-file"
    source.write_text("text")
    for node in NODES:
        r = sftp(c, node, f"-get /etc/shadow {c.dir}/shadow\nput {source} /tmp/rl-e2e-demo\nls -l /tmp/rl-e2e-demo\nrm /tmp/rl-e2e-demo\n",
                 "-o", "User=remoteler-demo").check()
        listed = next(line for line in r.out.splitlines() if line.startswith("-rw"))
        assert "remoteler-demo" in listed.split("/tmp")[0], r.out
        assert not (c.dir / "shadow").exists() and "Permission denied" in r.err, r.err


def test_connections_come_back_through_the_tunnel(c):
    """-R, to a port and to a Unix socket."""
    ask = "exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; cat <&3"
    with service(b"home says ") as home_port:
        for i, node in enumerate(NODES):
            with socket.create_server(("127.0.0.1", 0)) as s:
                port = s.getsockname()[1]
            r = c.ssh("-R", f"{port}:127.0.0.1:{home_port}", node, f"bash -c '{ask.format(port=port)}'").check()
            assert r.out == "home says hello\n", r
            event = c.wait_for_event(lambda e: e["details"].get("port") == str(port), "--type=port.forward")
            assert event["outcome"] == "success" and event["details"]["direction"] == "remote", event
            path = c.dir / f"remote-{i}"
            say = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"{path}\"); s.sendall(b\"you\"); print(s.recv(100).decode())"
            r = c.ssh("-R", f"{path}:127.0.0.1:{home_port}", node, f"stat -c %a {path}; python3 -c '{say}'").check()
            assert r.out == "600\nhome says you\n", r
            until(5, "the socket to go", lambda: not path.exists())


def test_a_unix_socket_of_the_node_is_reached(c):
    path = c.dir / "node-socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                with peer:
                    peer.sendall(b"socket says " + peer.recv(100))

    threading.Thread(target=serve, daemon=True).start()
    for node in NODES:
        here = c.dir / f"here-{node}"
        p = subprocess.Popen(["ssh", "-F", c.ssh_config(), "-N", "-L", f"{here}:{path}", node], env=c.env, stdin=subprocess.DEVNULL)
        try:
            until(15, "the forwarding", here.exists)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(str(here))
                s.sendall(b"you")
                assert s.recv(100) == b"socket says you"
        finally:
            p.terminate()
            p.wait(10)
    server.close()


def test_an_agent_is_forwarded_to_whom_a_role_allows_it(c):
    home = user_with(c, "agnes", agent="true")
    with agent_with_a_key(c, "agnes") as (path, key):
        agent = ("-A", "-o", f"IdentityAgent={path}")
        for node in NODES:
            r = c.ssh(*agent, node, "ssh-add -L; stat -c '%a' $(dirname $SSH_AUTH_SOCK)", home=home).check()
            assert key in r.out and r.out.endswith("700\n"), r
        other = user_with(c, "olaf")
        r = c.ssh(*agent, "node-r1", "echo [$SSH_AUTH_SOCK]", home=other).check()
        assert r.out == "[]\n", r
    c.wait_for_event(lambda e: e["user"] == "olaf" and e["outcome"] == "denied" and e["details"]["direction"] == "agent",
                     "--type=port.forward")


def test_without_the_role_nothing_is_forwarded_and_nothing_copied(c):
    home = user_with(c, "nina")
    source = c.dir / "nina-file"
    source.write_text("text")
    for node in NODES:
        for what in ("0:127.0.0.1:1", f"{c.dir}/nina-socket:127.0.0.1:1"):
            r = c.ssh("-R", what, "-o", "ExitOnForwardFailure=yes", node, "echo RAN", home=home).check(255)
            assert "RAN" not in r.out, r
        r = c.ssh("-W", "127.0.0.1:1", node, home=home).check(255)
        assert "prohibited" in r.err, r.err
        assert not (c.dir / "nina-socket").exists()
        r = sftp(c, node, f"put {source} {c.dir}/nina-copy\n", home=home)
        assert r.code != 0 and "copying files is not allowed by your roles" in r.err, r
        for mode in ("-s", "-O"):
            assert scp(c, mode, source, f"{node}:{c.dir}/nina-copy", home=home).code != 0
        assert not (c.dir / "nina-copy").exists()
        assert c.ssh(node, "echo in", home=home).check().out == "in\n"
    events = [e for e in c.events("--type=port.forward") if e["user"] == "nina"]
    until(5, "each refusal in audit", lambda: len([e for e in c.events("--type=port.forward") if e["user"] == "nina"]) >= 6)
    assert {e["outcome"] for e in events} == {"denied"}, events


def test_sftp_and_sessions_share_one_connection(c):
    control = c.dir / "cp7"
    base = ("-o", f"ControlPath={control}")
    for node in NODES:
        master = subprocess.Popen(["ssh", "-F", c.ssh_config(), *base, "-o", "ControlMaster=yes", "-N", node], env=c.env, stdin=subprocess.DEVNULL)
        try:
            until(15, "the shared connection", control.exists)
            assert "Remote working directory" in sftp(c, node, "pwd\n", *base).check().out
            assert c.ssh(*base, node, "echo one").check().out == "one\n"
            scp(c, *base, c.ssh_config(), f"{node}:{c.dir}/shared").check()
        finally:
            c.ssh(*base, "-O", "exit", node)
            master.wait(10)


def test_who_opens_and_does_not_log_in_keeps_nobody_out(c):
    """16 of one address at once: said in words, and over as soon as they go."""
    def open_one():
        p = subprocess.Popen(["tsh", "proxy", "ssh", "node-r1:22"], env=dict(c.env, TSH_HOME=str(c.home)), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return p, p.stdout.readline()  # the node's greeting, or nothing

    held = []
    try:
        for _ in range(16):
            held.append(open_one())
        assert all(line.startswith(b"SSH-2.0-") for _, line in held), held
        refused = c.ssh("node-r1", "true").check(255)
        assert "have not logged in yet" in refused.err, refused.err
        p, _ = held.pop()
        p.stdin.close()
        p.kill()
        p.wait()
        until(10, "a place", lambda: c.ssh("node-r1", "true").code == 0)
    finally:
        for p, _ in held:
            p.kill()
            p.wait()
    until(10, "all to go", lambda: c.ssh("node-r1", "true").code == 0)
