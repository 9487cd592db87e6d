"""What people do with a session, by stock OpenSSH, over the tunnel."""

import hashlib
import os
import pathlib
import socket
import subprocess
import threading
import time

from cluster import Skip, Terminal, run, until


def terminal(c, *args):
    return Terminal(["ssh", "-F", c.ssh_config(), *args], dict(c.env, TERM="xterm"))


def test_a_shell_on_a_terminal_is_resized_and_interrupted(c):
    t = terminal(c, "node-r1")
    t.send("PS1='ready> '; stty -echo; echo o''ne\n")
    t.expect("one")
    t.resize(123, 45)
    t.send("stty size\n")
    t.expect("45 123")
    t.send("echo sl''eeps; sleep 60\n")
    t.expect("sleeps")
    time.sleep(0.5)
    t.send("\x03")
    t.expect("ready>")
    t.send("echo st''atus=$?\n")
    t.expect("status=130")
    t.send("exit 5\n")
    assert t.wait() == 5


def test_exit_codes_stderr_and_stdin_are_the_commands_own(c):
    r = c.ssh("node-r1", "echo out; echo err >&2; exit 42")
    r.check(42)
    assert r.out == "out\n" and r.err.endswith("err\n"), r.err
    assert c.ssh("node-r1", "cat; echo done", stdin=b"abc\n").check().out == "abc\ndone\n"


def test_a_command_that_a_signal_ends_says_so(c):
    c.tsh("ssh", "node-r1", "kill -TERM $$").check(255)


def test_the_environment_is_an_allow_list(c):
    env = dict(c.env, LC_CTYPE="C.UTF-8", EVIL="x", LD_PRELOAD="")
    r = run(
        ["ssh", "-F", c.ssh_config(), "-o", "SendEnv=LC_CTYPE EVIL", "node-r1", "env"], env=env
    ).check()
    assert "LC_CTYPE=C.UTF-8" in r.out and "EVIL" not in r.out, r.out
    assert "REMOTELER_" not in r.out and "HOME=/root" in r.out, r.out


def big_file(c, size):
    path = c.dir / f"big-{size}"
    if not path.exists():
        path.write_bytes(os.urandom(1 << 20) * (size >> 20))
    return path


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_scp_copies_both_ways_in_both_modes(c):
    source = big_file(c, 8 << 20)
    for mode in ("-s", "-O"):
        for node in ("node-a", "node-r1"):
            there, back = c.dir / "there", c.dir / "back"
            scp = ["scp", mode, "-q", "-F", c.ssh_config()]
            run([*scp, source, f"{node}:{there}"], env=c.env).check()
            run([*scp, f"{node}:{there}", back], env=c.env).check()
            assert digest(source) == digest(there) == digest(back), (mode, node)
            there.unlink(), back.unlink()


def test_sftp_and_rsync_work(c):
    source = big_file(c, 8 << 20)
    r = run(["sftp", "-q", "-F", c.ssh_config(), "-b", "-", "node-r1"], env=c.env, stdin=f"put {source} {c.dir}/by-sftp\nls {c.dir}/by-sftp\n".encode())
    r.check()
    assert digest(c.dir / "by-sftp") == digest(source)
    tree = c.dir / "tree"
    (tree / "sub").mkdir(parents=True, exist_ok=True)
    for i in range(50):
        (tree / "sub" / f"f{i}").write_text(str(i) * 100)
    for _ in range(2):
        run(["rsync", "-a", "-e", f"ssh -F {c.ssh_config()}", f"{tree}/", f"node-r1:{c.dir}/copy/"], env=c.env).check()
    assert run(["diff", "-r", tree, c.dir / "copy"]).code == 0


def test_a_transfer_survives_rekeying_under_load(c):
    source = big_file(c, 32 << 20)
    r = run(
        ["sh", "-c", f"ssh -F {c.ssh_config()} -o RekeyLimit=1M node-r1 cat < {source} | sha256sum"],
        env=c.env, timeout=120,
    ).check()
    assert r.out.split()[0] == digest(source)


def test_a_local_port_is_forwarded(c):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def answer():
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"hello " + peer.recv(100))

    threading.Thread(target=answer, daemon=True).start()
    # node-a shares the host's loopback; node-r1 does not, by design
    r = run(
        ["ssh", "-F", c.ssh_config(), "-W", f"127.0.0.1:{port}", "node-a"], env=c.env, stdin=b"you"
    ).check()
    assert r.out == "hello you", r.out
    event = c.wait_for_event(lambda e: e["details"].get("port") == str(port), "--type=port.forward")
    assert event["outcome"] == "success", event


def test_a_metadata_address_is_not_forwarded_to(c):
    r = c.ssh("-W", "169.254.169.254:80", "node-a")
    assert r.code == 255 and "refused" in r.err or "prohibited" in r.err, (r.code, r.err)


def test_several_sessions_share_one_connection(c):
    control = c.dir / "control"
    base = ["ssh", "-F", c.ssh_config(), "-o", f"ControlPath={control}"]
    master = subprocess.Popen([*base, "-o", "ControlMaster=yes", "-N", "node-r1"], env=c.env, stdin=subprocess.DEVNULL)
    try:
        until(10, "the shared connection", control.exists)
        for i in range(3):
            assert run([*base, "node-r1", f"echo {i}"], env=c.env).check().out == f"{i}\n"
    finally:
        run([*base, "-O", "exit", "node-r1"], env=c.env)
        master.wait(10)


PLAYBOOK = """
- hosts: all
  gather_facts: true
  tasks:
    - command: hostname
      register: name
      changed_when: false
    - assert: {that: "name.stdout == inventory_hostname"}
    - copy: {content: "one", dest: "%(dir)s/{{ inventory_hostname }}.copy"}
    - template: {src: "%(dir)s/t.j2", dest: "%(dir)s/{{ inventory_hostname }}.template"}
    - command: id -un
      become: true
      become_user: remoteler-demo
      register: who
      changed_when: false
    - assert: {that: "who.stdout == 'remoteler-demo'"}
"""


def test_an_ansible_playbook_runs_and_changes_nothing_the_second_time(c):
    if run(["which", "ansible-playbook"]).code != 0:
        raise Skip("ansible is not installed")
    (c.dir / "t.j2").write_text("{{ inventory_hostname }}\n")
    (c.dir / "play.yml").write_text(PLAYBOOK % {"dir": c.dir})
    (c.dir / "hosts").write_text("node-a\nnode-r1\n")
    env = dict(
        c.env,
        ANSIBLE_SSH_ARGS=f"-F {c.ssh_config()} -o ControlMaster=auto -o ControlPersist=30s",
        ANSIBLE_SSH_CONTROL_PATH_DIR=str(c.dir / "cp"),
        ANSIBLE_FORKS="10",
        ANSIBLE_HOME=str(c.dir / "ansible"),
        ANSIBLE_LOCAL_TEMP=str(c.dir / "ansible-tmp"),
        ANSIBLE_PIPELINING="True",
        ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3",
        ANSIBLE_BECOME_METHOD="su",
    )
    play = ["ansible-playbook", "-i", c.dir / "hosts", c.dir / "play.yml"]
    first = run(play, env=env, timeout=180, cwd=c.dir).check()
    assert "failed=0" in first.out and "changed=2" in first.out, first.out
    second = run(play, env=env, timeout=180, cwd=c.dir).check()
    assert second.out.count("changed=0") == 2, second.out
