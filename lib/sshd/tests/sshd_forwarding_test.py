#!/usr/bin/env python3
"""Forwarding to the client and to Unix sockets, agents, terminal modes: by stock ssh.
Usage: sshd_forwarding_test.py HARNESS"""
import os
import shutil
import socket
import stat
import subprocess
import sys
import termios
import threading
import time

from ssh_fixture import UID, USER, Server, over_one_server, private_copy, run_in_place
from terminal import Terminal


class Service:
    """Answers each connection with its own word in front of what it got."""

    def __init__(self, word, path=None):
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen(16)
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
        self.word = word
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            got = bytearray()
            while data := connection.recv(65536):
                got += data
            connection.sendall(self.word + bytes(got))

    def close(self):
        self.listener.close()


def ask(address, text, family=socket.AF_INET):
    """What comes back; nothing from who closes at once, however it looks."""
    try:
        return exchange(address, text, family)
    except (ConnectionResetError, BrokenPipeError):
        return b""


def send(s, text):
    try:
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side closed at once: what it says is what counts


def exchange(address, text, family):
    with socket.socket(family) as s:
        s.settimeout(30)
        s.connect(address)
        threading.Thread(target=send, args=(s, text), daemon=True).start()
        got = bytearray()
        while data := s.recv(65536):
            got += data
    return bytes(got)


def until(claim, timeout=10):
    end = time.monotonic() + timeout
    while not (got := claim()) and time.monotonic() < end:
        time.sleep(0.02)
    return got


class Client:
    """ssh -v in the background, with forwardings; its stderr is kept."""

    def __init__(self, s, *args, command="echo up; cat"):
        self.log = ""
        self.process = subprocess.Popen(["ssh", "-F", s.config, *args, "n", command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.first = self.process.stdout.readline()

    def read(self):
        for line in self.process.stderr:
            self.log += line.decode(errors="replace")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait(20)
        self.process.stdout.close()
        self.reader.join(10)
        self.process.stderr.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def remote(c, s):
    service = Service(b"home:")
    port = free_port()
    p = Client(s, "-l", USER, "-R", f"{port}:127.0.0.1:{service.port}")
    until(lambda: f"direction=remote" in s.log)
    c.equal("-R leads to the client", ask(("127.0.0.1", port), b"x" * 3000000), b"home:" + b"x" * 3000000)
    c.equal("on both loopbacks", ask(("::1", port), b"six", socket.AF_INET6) if socket.has_dualstack_ipv6() else b"home:six", b"home:six")
    results = []
    threads = [threading.Thread(target=lambda: results.append(ask(("127.0.0.1", port), b"y" * 100000))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    c.equal("eight at once", results, [b"home:" + b"y" * 100000] * 8)
    owner = subprocess.run(["ss", "-Htlne", f"sport = :{port}"], stdout=subprocess.PIPE, text=True).stdout
    c.true("the socket is the user's own", owner.count(f"uid:{UID}") == len(owner.splitlines()) and f"0.0.0.0:{port}" not in owner and f"*:{port}" not in owner, owner)
    p.close()
    c.true("it is gone with the connection", until(lambda: not answers(port)))
    s.wait(rf"port.forward .* outcome=0 .* port={port} direction=remote .* reason=a connection came")
    p = Client(s, "-R", f"0.0.0.0:0:127.0.0.1:{service.port}")
    allocated = until(lambda: [x for x in p.log.split() if x.isdigit() and int(x) > 1023])
    c.equal("a free port is found and said, and whatever is asked it is the loopback's", ask(("127.0.0.1", int(allocated[0])), b"free"), b"home:free")
    p.close()
    got = s.ssh("true", options=("-l", USER, "-R", "99:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"))
    c.true("a port that the user may not have", got[0] == 255 and "remote port forwarding failed" in got[2], got)
    taken = Service(b"")
    got = s.ssh("true", options=("-R", f"{taken.port}:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"))
    c.equal("a port that is taken", got[0], 255)
    p = Client(s, *(x for i in range(17) for x in ("-R", f"0:127.0.0.1:{i + 1}")))
    c.true("seventeen are one too many", until(lambda: "remote port forwarding failed" in p.log) and p.log.count("failed") == 1, p.log)
    p.close()
    closed = free_port()
    p = Client(s, "-R", f"{port}:127.0.0.1:{closed}")
    until(lambda: answers(port))
    c.equal("a client that cannot connect closes it", ask(("127.0.0.1", port), b"x"), b"")
    p.close()
    service.close()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def cancelled(c, s):
    service = Service(b"home:")
    control, port = s.place.path("control"), free_port()
    subprocess.run(["ssh", "-F", s.config, "-M", "-S", control, "-fN", "n"], timeout=20, check=True)
    ssh = ["ssh", "-F", s.config, "-S", control]
    subprocess.run([*ssh, "-O", "forward", "-R", f"{port}:127.0.0.1:{service.port}", "n"], timeout=20, check=True, stdout=subprocess.DEVNULL)
    c.equal("-O forward", ask(("127.0.0.1", port), b"a"), b"home:a")
    subprocess.run([*ssh, "-O", "cancel", "-R", f"{port}:127.0.0.1:{service.port}", "n"], timeout=20, check=True)
    c.true("-O cancel ends it", until(lambda: not answers(port)))
    subprocess.run([*ssh, "-O", "exit", "n"], stderr=subprocess.DEVNULL, timeout=20)
    service.close()


def unix_sockets(c, s):
    home = s.place.path("home")
    os.chmod(home, 0o711)
    there = Service(b"there:", os.path.join(home, "service"))
    os.chown(os.path.join(home, "service"), UID, UID)
    here, made = s.place.path("here"), os.path.join(home, "made")
    p = Client(s, "-l", USER, "-L", f"{here}:{home}/service")
    c.equal("-L to a Unix socket", until(lambda: os.path.exists(here)) and ask(here, b"z" * 1000000, socket.AF_UNIX), b"there:" + b"z" * 1000000)
    p.close()
    s.wait(rf"port.forward .* outcome=0 .* host={home}/service port=0 direction=local")
    os.remove(here)
    os.chown(os.path.join(home, "service"), 0, 0)
    os.chmod(os.path.join(home, "service"), 0o600)
    p = Client(s, "-l", USER, "-L", f"{here}:{home}/service")
    c.equal("one that the user may not connect to", until(lambda: os.path.exists(here)) and ask(here, b"z", socket.AF_UNIX), b"")
    p.close()
    os.remove(here)
    service = Service(b"home:")
    p = Client(s, "-l", USER, "-R", f"{made}:127.0.0.1:{service.port}")
    until(lambda: os.path.exists(made))
    st = os.stat(made)
    c.equal("-R of a Unix socket is the user's alone", (st.st_uid, stat.S_IMODE(st.st_mode)), (UID, 0o600))
    c.equal("and leads to the client", ask(made, b"hello", socket.AF_UNIX), b"home:hello")
    p.close()
    c.true("it is removed at the end", until(lambda: not os.path.exists(made)))
    with open(made, "w") as f:
        f.write("mine")
    got = s.ssh("true", options=("-l", USER, "-R", f"{made}:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"))
    c.true("a file that is there stays there", got[0] == 255 and open(made).read() == "mine", got)
    service.close()
    there.close()


def agents(c, s):
    agent = s.place.path("agent")
    p = subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL)
    try:
        until(lambda: os.path.exists(agent))
        env = {**os.environ, "SSH_AUTH_SOCK": agent}
        subprocess.run(["ssh-add", "-q", s.place.path("otherca")], env=env, check=True)
        options = ("-l", USER, "-A", "-o", f"IdentityAgent={agent}")
        got = s.out("ssh-add -L; echo $SSH_AUTH_SOCK; stat -c '%u %a' $SSH_AUTH_SOCK $(dirname $SSH_AUTH_SOCK)", options=options)
        lines = got.splitlines()
        c.true("-A leads to the client's agent", lines and lines[0].split()[:2] == open(s.place.path("otherca.pub")).read().split()[:2], got)
        c.equal("its socket is the user's alone, and so is the directory", lines[2:], [f"{UID} 600", f"{UID} 700"])
        c.true("both are gone at the end", until(lambda: not os.path.exists(os.path.dirname(lines[1]))), lines)
        s.wait(r"port.forward .* outcome=0 .* direction=agent .* reason=a connection came")
        c.equal("not without -A", s.out("echo [$SSH_AUTH_SOCK]", options=("-l", USER, "-o", f"IdentityAgent={agent}")), "[]\n")
        s.place.sign("ed25519", out="noagent", extra=("-O", "no-agent-forwarding"))
        c.equal("not without permit-agent-forwarding", s.out("echo [$SSH_AUTH_SOCK]", options=options, key="noagent"), "[]\n")
        s.wait(r"port.forward .* outcome=2 .* direction=agent")
    finally:
        p.terminate()
        p.wait()


def terminals(c, s):
    got = Terminal(s.config, 24, 80, characters={termios.VINTR: b"\x07", termios.VERASE: b"\x08"})
    got.say("stty -a; echo en''d")
    shown = got.until("end\r")
    c.true("the client's terminal modes are set", "intr = ^G" in shown and "erase = ^H" in shown, shown)
    got.say("exit")
    got.wait()
    with open(s.place.path("motd"), "w") as f:
        f.write("Welcome to the test\n" + "line\n" * 2000)
    t = Terminal(s.config, 24, 80)
    shown = t.until("Welcome to the test")
    c.true("the message of the day is shown in a shell", "Welcome to the test" in shown, shown)
    t.say("exit")
    t.wait()
    c.true("all of it", t.seen.count("line") >= 2000, t.seen.count("line"))
    c.equal("and not before a command", s.out("echo only", options=("-tt",)), "only\r\n")


def x11(c, s):
    env = {"DISPLAY": ":77"}
    xauth = s.place.path("xauth")
    s.place.write("xauth", "#!/bin/sh\necho ':77 MIT-MAGIC-COOKIE-1 00112233445566778899aabbccddeeff'\n")
    os.chmod(xauth, 0o755)
    got = s.ssh("echo [$DISPLAY]", env=env, options=("-X", "-o", f"XAuthLocation={xauth}", "-o", "ForwardX11Trusted=yes"))
    c.true("X11 is refused in words", got[1] == b"[]\n" and "X11 forwarding request failed" in got[2], got)


def refused(c, place, program):
    s = Server(place, program, "--login=root", "--no-forwarding", "--agent")
    try:
        fail = ("-o", "ExitOnForwardFailure=yes")
        c.equal("no -R that the role does not allow", s.ssh("true", options=("-R", "0:127.0.0.1:1", *fail))[0], 255)
        s.wait(r"port.forward .* outcome=2 .* direction=remote .* reason=your roles allow no forwarding")
        c.equal("nor of a Unix socket", s.ssh("true", options=("-R", f"{place.path('no')}:127.0.0.1:1", *fail))[0], 255)
        s.wait(rf"port.forward .* outcome=2 .* host={place.path('no')} .*direction=remote")
        here = place.path("here2")
        p = Client(s, "-L", f"{here}:{place.path('no')}")
        c.equal("nor -L to one", until(lambda: os.path.exists(here)) and ask(here, b"z", socket.AF_UNIX), b"")
        s.wait(rf"port.forward .* outcome=2 .* host={place.path('no')} .*direction=local")
        p.close()
    finally:
        s.close()


def not_root(c, place, program):
    copy = place.path("harness-forwarding")
    shutil.copy(program, copy)
    os.chmod(copy, 0o755)
    os.chown(place.path("host"), UID, UID)
    s = Server(place, copy, f"--login={USER}", as_user=True)
    service = Service(b"home:")
    try:
        port = free_port()
        p = Client(s, "-l", USER, "-R", f"{port}:127.0.0.1:{service.port}")
        until(lambda: answers(port))
        c.equal("-R of an agent that is not root", ask(("127.0.0.1", port), b"x"), b"home:x")
        p.close()
    finally:
        service.close()
        s.close()


def all_parts(c, place):
    program = private_copy(place, sys.argv[1])
    over_one_server(c, place, program, ("--login=root", f"--login={USER}", "--agent", f"--motd={place.path('motd')}"),
                    (remote, cancelled, unix_sockets, agents, terminals, x11))
    for part in (refused, not_root):
        c.run(part, place, program)


if __name__ == "__main__":
    sys.exit(run_in_place(all_parts))
