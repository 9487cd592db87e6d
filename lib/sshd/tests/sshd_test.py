#!/usr/bin/env python3
"""The SSH server, by stock ssh, scp, sftp and rsync. Usage: sshd_test.py HARNESS"""
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from ssh_fixture import UID, USER, Server, over_one_server, private_copy, run_in_place
from terminal import Terminal

MB = 1 << 20


def logins(c, s):
    for key in ("ed25519", "ecdsa", "rsa"):
        got = s.ssh("id -un; exit 42", key=key)
        c.equal(f"login by {key} with the exit status", got[:2], (42, b"root\n"))
    got = s.out("id -un", key="rsa", options=("-o", "PubkeyAcceptedAlgorithms=rsa-sha2-256-cert-v01@openssh.com"))
    c.equal("login by rsa-sha2-256", got, "root\n")
    got = s.out("id -u; id -g; id -G", options=("-l", USER))
    c.equal("a session has its user's groups", got, f"{UID}\n{UID}\n{UID} 61235\n")
    got = s.ssh("true", options=("-l", "nobody"))
    c.true("nologin speaks for itself", got[0] == 1 and b"not available" in got[1], got)


def host_keys(c, s):
    got = s.out("echo ok", options=("-o", f"UserKnownHostsFile={s.place.path('known_key')}",
                                    "-o", "HostKeyAlgorithms=ssh-ed25519"))
    c.equal("the host's plain key, where no authority is known", got, "ok\n")
    got = s.out("echo ok", options=("-o", "HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com"))
    c.equal("the host's certificate by @cert-authority only", got, "ok\n")
    got = s.ssh("echo ok", options=("-o", "HostKeyAlias=node-other"))
    c.equal("the host's certificate is for its own name only", got[:2], (255, b""))


def algorithms(c, s):
    for kex in ("curve25519-sha256", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"):
        c.equal(f"key exchange {kex}", s.out("echo ok", options=("-o", f"KexAlgorithms={kex}")), "ok\n")
    for cipher in ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr"):
        c.equal(f"cipher {cipher}", s.out("echo ok", options=("-c", cipher)), "ok\n")
    c.equal("compression", s.out("seq 100000 | tail -1", options=("-C",)), "100000\n")


def streams(c, s):
    c.equal("an exit signal", s.ssh("kill -TERM $$")[0], 255)
    s.wait(r"session.end .* signal=TERM ")
    c.equal("stdout and stderr apart", s.ssh("echo o; echo e >&2")[1:], (b"o\n", "e\n"))
    c.equal("the end of stdin", s.out("cat; echo done", input=b"abc\n"), "abc\ndone\n")
    c.equal("a background process keeps stdout, not the leader", s.ssh("sleep 1 & echo x", timeout=15)[:2], (0, b"x\n"))
    c.equal("a command of 100 kB", s.ssh("true " + "x" * 100000)[0], 0)
    c.equal("a reader that is slow", slow_read(s), 20 * MB)
    c.equal("a command that does not read", s.ssh("exec true", input=os.urandom(4 * MB))[0], 0)
    c.equal("keepalives are answered", s.out("sleep 3; echo alive", options=(
        "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1")), "alive\n")


def slow_read(s):
    p = subprocess.Popen(["ssh", "-F", s.config, "n", f"head -c {20 * MB} /dev/zero"], stdout=subprocess.PIPE)
    time.sleep(1)
    n = len(p.stdout.read())
    p.wait()
    p.stdout.close()
    return n


def environment(c, s):
    env = {"LC_FOO": "bar", "LANG": "C.UTF-8", "COLORTERM": "truecolor", "LD_PRELOAD_": "x", "BASH_ENV": "/nonexistent",
           "LC_x": "no"}
    got = s.out("env", env=env, options=("-l", USER, "-o", "SendEnv=LC_* LANG COLORTERM BASH_ENV LD_PRELOAD_"))
    lines = got.splitlines()
    c.true("LANG, LC_* and COLORTERM come through",
           {"LC_FOO=bar", "LANG=C.UTF-8", "COLORTERM=truecolor"} <= set(lines), got)
    c.true("nothing else does", not [x for x in lines if x.startswith(("BASH_ENV", "LD_PRELOAD_", "LC_x"))], got)
    names = {x.split("=")[0] for x in lines}
    c.true("HOME, USER, LOGNAME, SHELL, PATH and SSH_CONNECTION are set",
           {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "SSH_CONNECTION"} <= names, got)
    c.true("MAIL, TERM and SSH_TTY are not", not names & {"MAIL", "TERM", "SSH_TTY"} or "TERM" in os.environ, got)


def isolation(c, s):
    got = s.out("ls /proc/self/fd | wc -l", options=("-l", USER))
    c.true("a session inherits no descriptors", int(got) <= 5, got)
    client = forwarding_client(s)
    rooms = transports(s)
    stop(client)
    c.true("the transport runs under a user id of its own", rooms and all(64000 <= r["uid"] < 65000 for r in rooms), rooms)
    c.true("it sees an empty root and can gain no rights", rooms and all(r["root"] == [] and r["no_new_privs"] for r in rooms), rooms)


def children(pid):
    return [int(x) for x in subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout.split()]


def transports(s):
    """The transports of this server: its monitors are its children, theirs are the rooms."""
    found = []
    for monitor in children(s.process.pid):
        for room in children(monitor):
            if not open(f"/proc/{room}/cmdline").read().startswith("remoteler-ssh-transport"):
                continue
            status = open(f"/proc/{room}/status").read()
            found.append({"uid": int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1)),
                          "no_new_privs": "NoNewPrivs:\t1" in status, "root": os.listdir(f"/proc/{room}/root")})
    return found


def terminals(c, s):
    got = s.out("test -t 0 && test -t 1 && test -t 2 && echo tty $TERM", options=("-tt",), env={"TERM": "vt220"})
    c.equal("a terminal, with TERM", got, "tty vt220\r\n")
    t = Terminal(s.config, 30, 100)
    t.say("stty size; echo A$((1+1))B")
    c.true("the window's size", "30 100" in t.until("A2B"), t.seen)
    t.resize(50, 133)
    s.wait(r"session.resize .* size=133x50")
    t.say("stty size; echo C$((1+2))D")
    c.true("a new size", "50 133" in t.until("C3D"), t.seen)
    t.say("sed -u s/x/ready/")
    t.say("x")
    t.until("ready\r")
    t.type(b"\x03")
    for _ in range(5):  # readline drops what is typed before its prompt
        t.say("echo E$((2+2))F")
        if "E4F" in t.until("E4F", 2):
            break
    c.true("Ctrl-C ends the command and not the shell", "E4F" in t.until("E4F"), t.seen)
    t.say("shopt -q login_shell && echo log''in")
    c.true("it is a login shell", "login" in t.until("login\r"), t.seen)
    t.say("exit 5")
    c.equal("its exit status", t.wait(), 5)
    end = s.wait(r"session.end .* kind=0 .* exit=5 signal= in=(\d+) out=(\d+)")
    c.true("the relay counted both ways", int(end.group(1)) > 100 and int(end.group(2)) > 300, end.group(0))
    got = s.ssh("seq 200000", options=("-tt",))
    c.true("all of a terminal's output arrives", got[1].endswith(b"\r\n200000\r\n"), got[1][-20:])


def signals(c, s):
    p = subprocess.Popen(["ssh", "-F", s.config, "-tt", "n", "trap 'echo hup > " + s.place.path("home/hup") + "; exit' HUP; echo up; read x"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    p.stdout.readline()
    p.kill()
    p.wait()
    p.stdin.close()
    p.stdout.close()
    end = time.monotonic() + 15
    while not os.path.exists(s.place.path("home/hup")) and time.monotonic() < end:
        time.sleep(0.05)
    c.true("a client that vanishes hangs the terminal up", os.path.exists(s.place.path("home/hup")))


def transfers(c, s):
    data = os.urandom(40 * MB)
    there = s.place.path("there")
    with open(s.place.path("data"), "wb") as f:
        f.write(data)
    want = hashlib.sha256(data).hexdigest()

    def digest(path):
        return hashlib.sha256(open(path, "rb").read()).hexdigest()

    for mode in ("-s", "-O"):
        for source, target in ((s.place.path("data"), f"n:{there}"), (f"n:{there}", s.place.path("back"))):
            subprocess.run(["scp", "-q", mode, "-F", s.config, source, target], timeout=60, check=False)
        c.equal(f"scp {mode} there and back", digest(s.place.path("back")), want)
        os.remove(there)
        os.remove(s.place.path("back"))
    batch = f"mkdir {there}.d\nput {s.place.path('data')} {there}.d/x\nrename {there}.d/x {there}.d/y\nget {there}.d/y {s.place.path('back')}\nrm {there}.d/y\nrmdir {there}.d\n"
    done = subprocess.run(["sftp", "-q", "-b", "-", "-F", s.config, "n"], input=batch.encode(), timeout=60,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    c.equal("sftp", (done.returncode, digest(s.place.path("back"))), (0, want))
    s.wait(r"event sftp .* command=sftp")
    if shutil.which("rsync"):
        subprocess.run(["rsync", "-e", f"ssh -F {s.config}", s.place.path("data"), f"n:{there}.r"], timeout=60, check=False)
        c.equal("rsync", digest(f"{there}.r"), want)
    rekey(c, s, data, want)


def rekey(c, s, data, want):
    small = ("-o", "RekeyLimit=1M")
    c.equal("keys renewed on the way up", s.out("sha256sum", input=data, options=small).split()[0], want)
    got = s.out(f"head -c {40 * MB} /dev/zero | sha256sum; cat {s.place.path('data')} | sha256sum", options=small)
    c.equal("keys renewed (the file is whole)", got.split()[2], want)
    c.equal("keys renewed on the way down", hashlib.sha256(s.ssh(f"cat {s.place.path('data')}", options=small)[1]).hexdigest(), want)
    c.equal("keys renewed both ways", hashlib.sha256(s.ssh("cat", input=data, options=small)[1]).hexdigest(), want)
    got = s.ssh("head -c 3000000 /dev/zero | tr '\\0' x", options=("-tt", "-o", "RekeyLimit=64K"))
    c.equal("keys renewed under a terminal", len(got[1]), 3000000)


def sharing(c, s):
    path = s.place.path("control")
    subprocess.run(["ssh", "-F", s.config, "-M", "-S", path, "-fN", "n"], timeout=20, check=True)
    runs = [subprocess.Popen(["ssh", "-F", s.config, "-S", path, "n", f"echo m{i}; sleep 0.3"], stdout=subprocess.PIPE) for i in range(4)]
    c.equal("four sessions at once on one connection", sorted(r.communicate(timeout=20)[0] for r in runs),
            [b"m0\n", b"m1\n", b"m2\n", b"m3\n"])
    for i in range(30):
        got = subprocess.run(["ssh", "-F", s.config, "-S", path, "n", "exit 3"], timeout=20).returncode
        if got != 3:
            break
    c.equal("thirty one after another", got, 3)
    subprocess.run(["ssh", "-F", s.config, "-S", path, "-O", "exit", "n"], stderr=subprocess.DEVNULL, timeout=20)


class Echo:
    """Sends back what it gets, then how much it was."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        n = 0
        with connection:
            while data := connection.recv(65536):
                n += len(data)
                connection.sendall(data)
            connection.sendall(b"END%d" % n)


def through(port, n):
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.settimeout(30)

    def send():
        s.sendall(b"z" * n)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=send, daemon=True).start()
    got = bytearray()
    while data := s.recv(65536):
        got += data
    s.close()
    return len(got), bytes(got[-20:]).lstrip(b"z")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def forwarding_client(s, *args):
    p = subprocess.Popen(["ssh", "-F", s.config, "-v", *args, "n", "echo up; cat"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    p.stdout.readline()
    return p


def stop(p):
    p.stdin.close()
    p.stdout.read()
    p.wait(timeout=20)
    p.stdout.close()


def forwarding(c, s):
    echo = Echo()
    local, closed, dynamic, metadata = free_port(), free_port(), free_port(), free_port()
    p = forwarding_client(s, "-L", f"{local}:localhost:{echo.port}", "-L", f"{closed}:127.0.0.1:1",
                          "-L", f"{metadata}:169.254.169.254:80", "-D", str(dynamic))
    c.equal("-L with a half-closed connection", through(local, 5000000), (5000010, b"END5000000"))
    s.wait(rf"port.forward .* outcome=0 .* host=localhost port={echo.port} direction=local")
    results = []
    threads = [threading.Thread(target=lambda: results.append(through(local, 1000000))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    c.equal("four connections at once through -L", results, [(1000010, b"END1000000")] * 4)
    c.equal("-L to a closed port ends", through_closed(closed), b"")
    s.wait(r"port.forward .* outcome=1 .* port=1 ")
    c.equal("-L to the metadata address ends", through_closed(metadata), b"")
    s.wait(r"port.forward .* outcome=2 .* host=169.254.169.254 .* reason=link-local")
    c.equal("-D", socks(dynamic, echo.port), b"hello")
    stop(p)
    c.equal("agent forwarding that no role allows gives no agent", s.out("echo [$SSH_AUTH_SOCK]", options=("-A",)), "[]\n")
    got = subprocess.run(["ssh", "-F", s.config, "-W", f"127.0.0.1:{echo.port}", "n"], input=b"through", timeout=20, stdout=subprocess.PIPE)
    c.equal("-W, as ProxyJump uses it", got.stdout, b"throughEND7")
    echo.listener.close()


def through_closed(port):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(20)
        return s.recv(10)


def socks(port, target):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(20)
        s.sendall(b"\5\1\0")
        s.recv(2)
        s.sendall(b"\5\1\0\3\x09localhost" + target.to_bytes(2, "big"))
        s.recv(10)
        s.sendall(b"hello")
        return s.recv(5)


def refusals(c, s):
    p = s.place
    got = s.ssh("id", options=("-l", "games"))
    c.true("a login that the certificate does not have", got[0] == 255 and "access denied on node-h" in got[2]
           and 'does not allow login "games"' in got[2] and "Permission denied" in got[2], got)
    got = s.ssh("id", options=("-l", "forbidden2"))
    c.true("no such login", got[0] == 255, got)
    p.sign("ed25519", principals="www-data", out="wd")
    got = s.ssh("id", key="wd", options=("-l", "www-data"))
    c.true("a refusal by the roles is shown, and ends it", got[0] == 255 and
           got[2].count('access denied: role(s) access do not allow login "www-data" on node-h') >= 1, got)
    s.wait(r"session.rejected .* login=www-data .* reason=access denied: role")
    cases = {
        "an expired certificate": dict(extra=("-V", "20200101:20200102")),
        "one that is not valid yet": dict(extra=("-V", "20400101:20400102")),
        "another authority's certificate": dict(ca="otherca"),
        "a critical option that nobody knows": dict(extra=("-O", "critical:future@example=1")),
        "another source address": dict(extra=("-O", "source-address=192.0.2.0/24")),
        "a host's certificate": dict(extra=("-h",)),
    }
    for i, (name, how) in enumerate(cases.items()):
        p.sign("ed25519", out=f"bad{i}", **how)
        got = s.ssh("id", key=f"bad{i}")
        c.true(f"refuses {name}", got[0] == 255 and not got[1] and "Permission denied" in got[2], got)
    got = s.ssh("id", key="otherca")
    c.true("refuses a plain key", got[0] == 255 and "Permission denied" in got[2], got)
    p.sign("ed25519", out="source", extra=("-O", "source-address=127.0.0.0/8"))
    c.equal("takes its own source address", s.out("echo ok", key="source"), "ok\n")


def certificates_options(c, s):
    p = s.place
    p.sign("ed25519", out="forced", extra=("-O", "force-command=echo forced: $SSH_ORIGINAL_COMMAND"))
    c.equal("a forced command runs instead", s.out("id", key="forced"), "forced: id\n")
    done = subprocess.run(["sftp", "-q", "-b", "-", "-F", s.config_for("forced"), "n"], input=b"ls\n", timeout=20,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    c.true("instead of sftp too", done.returncode != 0)
    p.sign("ed25519", out="nopty", extra=("-O", "no-pty"))
    got = s.ssh("test -t 0 && echo tty", options=("-tt",), key="nopty")
    c.true("no terminal without permit-pty", not got[1] and "PTY allocation request failed" in got[2], got)
    p.sign("ed25519", out="noforward", extra=("-O", "no-port-forwarding"))
    got = subprocess.run(["ssh", "-F", s.config_for("noforward"), "-W", "127.0.0.1:1", "n"],
                         timeout=20, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    c.true("no forwarding without permit-port-forwarding", got.returncode == 255 and b"prohibited" in got.stderr, got)


def foreigners(c, place, program):
    place.sign("ed25519", out="foreign", ca="otherca", principals="elsewhere")
    place.sign("ed25519", out="elsewhere", principals="elsewhere")
    s = Server(place, program, "--login=root", "--foreign")
    try:
        c.equal("another cluster's user, whose principals are logins there", s.out("id -un", key="foreign"), "root\n")
        got = s.ssh("id", key="foreign", options=("-l", USER))
        c.true("has the logins that the node says, and no other", got[0] == 255 and "do not allow login" in got[2], got)
        c.equal("a principal of this cluster's still counts", s.ssh("id", key="elsewhere")[:2], (255, b""))
    finally:
        s.close()
    s = Server(place, program, "--login=root")
    try:
        c.equal("nobody is let in by an authority that is not trusted", s.ssh("id", key="foreign")[:2], (255, b""))
    finally:
        s.close()


def limits(c, place, program):
    s = Server(place, program, "--login=root", "--no-pty", "--no-forwarding", "--no-file-copy", "--max-sessions=2",
               "--grace=2", "--attempts=3", "--message=this-session-is-recorded")
    try:
        got = s.ssh("echo ok")
        c.true("the grant's message is shown", got[1] == b"ok\n" and "this-session-is-recorded" in got[2], got)
        got = s.ssh("test -t 0 && echo tty", options=("-tt",))
        c.true("no terminal that the grant does not give", not got[1] and "PTY allocation request failed" in got[2], got)
        got = subprocess.run(["scp", "-q", "-F", s.config, place.path("host.pub"), f"n:{place.path('copied')}"], timeout=20, stderr=subprocess.PIPE)
        c.true("no copying by sftp", got.returncode != 0 and b"copying files is not allowed" in got.stderr and not os.path.exists(place.path("copied")), got)
        got = subprocess.run(["scp", "-O", "-q", "-F", s.config, place.path("host.pub"), f"n:{place.path('copied')}"], timeout=20, stderr=subprocess.PIPE)
        c.true("nor by scp -O", got.returncode != 0 and not os.path.exists(place.path("copied")), got)
        s.wait(r"session.rejected .* command=sftp reason=.*copying")
        got = subprocess.run(["ssh", "-F", s.config, "-W", "127.0.0.1:1", "n"], timeout=20, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        c.true("no forwarding", got.returncode == 255 and b"prohibited" in got.stderr, got)
        got = s.ssh("id", key="otherca", options=("-i", place.path("hostca"), "-i", place.path("host"), "-i", place.path("ca")))
        c.true("who offers too many keys is cut off", got[0] == 255 and "too many keys" in got[2], got)
        too_many_sessions(c, s)
        with socket.create_connection(("127.0.0.1", s.port)) as idle:
            idle.settimeout(20)
            begun = time.monotonic()
            while idle.recv(4096):
                pass
            c.true("who does not log in in time is cut off", 1 < time.monotonic() - begun < 10)
        s.wait(r"served DEADLINE_EXCEEDED")
    finally:
        s.close()


def too_many_sessions(c, s):
    path = s.place.path("control2")
    subprocess.run(["ssh", "-F", s.config, "-M", "-S", path, "-fN", "n"], timeout=20, check=True, stderr=subprocess.DEVNULL)
    runs = [subprocess.Popen(["ssh", "-F", s.config, "-S", path, "n", "echo in; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for r in runs:
        r.stdout.readline()
    got = subprocess.run(["ssh", "-F", s.config, "-S", path, "n", "echo third"], timeout=20, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    c.true("a third session where two are allowed", got.returncode == 255 and not got.stdout and b"too many sessions" in got.stderr, got)
    for r in runs:
        r.communicate(b"\n", timeout=20)
    got = subprocess.run(["ssh", "-F", s.config, "-S", path, "n", "echo third"], timeout=20, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    c.equal("and again when one has ended", got.stdout, b"third\n")
    subprocess.run(["ssh", "-F", s.config, "-S", path, "-O", "exit", "n"], stderr=subprocess.DEVNULL, timeout=20)


def endings(c, place, program):
    s = Server(place, program, "--login=root", "--idle=2")
    try:
        begun = time.monotonic()
        got = s.ssh("echo up; exec sleep 60", timeout=30)
        c.true("an idle session ends, with a reason", got[0] == 255 and "nothing was typed for 2 s" in got[2] and time.monotonic() - begun < 15, got)
        s.wait(r"session.end .* signal=HUP")
        t = Terminal(s.config, 24, 80)
        for _ in range(6):
            t.say("echo al''ive")
            t.until("alive")
            t.seen = ""
            time.sleep(0.6)
        t.say("exit 9")
        c.equal("one that is used goes on", t.wait(), 9)
    finally:
        s.close()
    s = Server(place, program, "--login=root", "--expire=2")
    try:
        got = s.ssh("echo up; trap '' HUP; sleep 60", timeout=30)
        c.true("an expired right ends it, even what ignores SIGHUP", got[0] == 255 and "has expired" in got[2], got)
        s.wait(r"session.end .* signal=KILL")
        s.wait(r"event client.disconnect")
        c.true("nothing of it is left", "trap '' HUP" not in processes(), processes())
    finally:
        s.close()


def processes():
    return subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True).stdout


def locks(c, s):
    p = subprocess.Popen(["ssh", "-F", s.config, "-tt", "n", "echo up; sleep 60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline()
    begun = time.monotonic()
    s.process.send_signal(signal.SIGUSR1)
    _, err = p.communicate(timeout=20)
    c.true("a lock ends the session at once and says so", p.returncode == 255 and b"a lock on user alice" in err and time.monotonic() - begun < 5, (p.returncode, err))
    s.wait(r"client.disconnect .* reason=access was taken away")


def not_root(c, place, program):
    copy = place.path("harness")
    shutil.copy(program, copy)
    os.chmod(copy, 0o755)
    os.chown(place.path("host"), UID, UID)
    s = Server(place, copy, "--login=root", f"--login={USER}", as_user=True)
    try:
        c.equal("not as root: serves its own user", s.out("id -u; cat", input=b"x", options=("-l", USER)), f"{UID}\nx")
        c.equal("with a terminal", s.out("test -t 0 && echo tty", options=("-tt", "-l", USER)), "tty\r\n")
        got = s.ssh("id")
        c.true("and nobody else, and says so", got[0] == 255 and "its own user only" in got[2], got)
    finally:
        s.close()


def all_parts(c, place):
    program = private_copy(place, sys.argv[1])
    over_one_server(c, place, program, ("--login=root", "--login=nobody", f"--login={USER}"),
                    (logins, host_keys, algorithms, streams, environment, isolation, terminals, signals, transfers,
                     sharing, forwarding, refusals, certificates_options, locks))
    for part in (foreigners, limits, endings, not_root):
        c.run(part, place, program)


if __name__ == "__main__":
    sys.exit(run_in_place(all_parts))
