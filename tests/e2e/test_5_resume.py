"""Sessions that outlive what carries them: stock ssh, and a path that dies in the middle."""

import hashlib
import os
import subprocess
import threading
import time

from cluster import Failed, Skip, Terminal, run, until
from test_4_links import drop, works

BLOB_BYTES = 24 << 20
FIRST_BYTES = 1 << 20


class Sessions:
    """A person at a prompt, a download and an upload, all begun before the fault."""

    def __init__(self, c):
        self.blob = c.dir / "blob"
        if not self.blob.exists():
            self.blob.write_bytes(os.urandom(BLOB_BYTES))
        self.content = self.blob.read_bytes()
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        ssh = ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes"]
        self.terminal = Terminal([*ssh, "-tt", "node-r1"], c.env)
        self.say("before")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": c.env}
        self.down = subprocess.Popen([*ssh, "node-r1", f"cat {self.blob}"], **pipes)
        self.got = self.down.stdout.read(FIRST_BYTES)
        self.up = subprocess.Popen([*ssh, "node-r1", "sha256sum"], **pipes)
        self.up.stdin.write(self.content[:FIRST_BYTES])
        self.up.stdin.flush()

    def say(self, word, seconds=30):
        self.terminal.send(f"echo =$((6*7))-{word}=\n")
        self.terminal.expect(f"=42-{word}=", seconds)

    def finish(self):
        reader = threading.Thread(target=self.read_on)
        reader.start()
        try:
            self.up.stdin.write(self.content[FIRST_BYTES:])
            out, err = self.up.communicate(timeout=60)
        except (BrokenPipeError, subprocess.TimeoutExpired) as problem:
            raise Failed(f"the upload: {problem!r}: {self.up.stderr.read()!r}") from problem
        assert self.up.returncode == 0 and out.decode().split()[0] == self.sha256, (out, err)
        reader.join(60)
        err = self.down.communicate(timeout=10)[1]
        assert self.down.returncode == 0, (self.down.returncode, err)
        assert hashlib.sha256(self.got).hexdigest() == self.sha256, len(self.got)
        self.terminal.send("exit 7\n")
        code = self.terminal.wait()
        assert code == 7, code

    def read_on(self):
        self.got += self.down.stdout.read()

    def close(self):
        for process in (self.down, self.up):
            process.kill()
            process.communicate()


def survives(c, fault, seconds=30):
    if not c.netns:
        raise Skip("no network namespace here")
    sessions = Sessions(c)
    try:
        sessions.terminal.send("echo typed-$((2*4))\n")  # on its way, or not yet
        fault(c)
        start = time.monotonic()
        sessions.terminal.expect("typed-8", seconds)
        sessions.say("after", seconds)
        print(f"  back after {time.monotonic() - start:.1f} s")
        sessions.finish()
    finally:
        sessions.close()


def reset(c):
    c.in_device("ss", "-K", "state", "established")  # its exit status says nothing


def test_sessions_survive_a_reset_of_the_devices_link(c):
    survives(c, reset, 10)


def test_sessions_survive_three_resets_in_a_row(c):
    def thrice(c):
        for _ in range(3):
            reset(c)
            time.sleep(0.7)

    survives(c, thrice, 15)


def test_sessions_survive_a_restart_of_the_broker(c):
    survives(c, lambda c: c.dev("restart", "broker").check())


def test_sessions_survive_twenty_seconds_of_silence(c):
    def silence(c):
        drop(c, True)
        time.sleep(20)
        drop(c, False)

    survives(c, silence, 40)


def address_of(netns, device):
    out = run(["ip", "-n", netns, "-4", "-o", "addr", "show", device]).check().out
    return out.split(" inet ")[1].split()[0]


def renumber(c, gateway, device):
    """The device's network gets other addresses; what was connected from the old ones hangs."""
    for netns, link, address in ((c.router, "lan", gateway), (c.netns, "eth0", device)):
        run(["ip", "-n", netns, "addr", "add", address, "dev", link]).check()
        run(["ip", "-n", netns, "addr", "del", old_address(netns, link, address), "dev", link]).check()
    run(["ip", "-n", c.netns, "route", "replace", "default", "via", gateway.split("/")[0]]).check()


def old_address(netns, link, new):
    out = run(["ip", "-n", netns, "-4", "-o", "addr", "show", link]).check().out
    addresses = [line.split(" inet ")[1].split()[0] for line in out.splitlines()]
    return next(a for a in addresses if a != new)


def test_sessions_survive_a_change_of_the_devices_address(c):
    if not c.netns:
        raise Skip("no network namespace here")
    gateway, device = address_of(c.router, "lan"), address_of(c.netns, "eth0")
    network = gateway.rsplit(".", 1)[0]
    try:
        survives(c, lambda c: renumber(c, f"{network}.5/30", f"{network}.6/30"))
    finally:
        renumber(c, gateway, device)
    until(30, "node-r1 to be back", lambda: works(c))


def test_a_session_whose_node_stays_away_ends_after_a_minute(c):
    if not c.netns:
        raise Skip("no network namespace here")
    ssh = ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", "node-r1", "cat"]
    process = subprocess.Popen(ssh, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=c.env)
    try:
        process.stdin.write(b"here\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"here\n"
        drop(c, True)
        reset(c)
        start = time.monotonic()
        err = process.communicate(timeout=110)[1].decode()
        took = time.monotonic() - start
        assert process.returncode == 255 and 50 < took < 100, (process.returncode, took, err)
        assert "tsh:" in err and "broke" in err, err
    finally:
        drop(c, False)
        process.kill()
        process.communicate()
    until(30, "node-r1 to be back", lambda: works(c))


