"""What both test programs of the SSH server need: keys, an account of their own, a server."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

USER = "rl-sshd-test"
UID = 61234


def why_not():
    """Why these tests cannot run here; None when they can."""
    if os.geteuid() != 0:
        return "run it as root: it makes an account that only its own mount namespace sees"
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        return "no mount namespace may be made here"
    return None


class Checks:
    """Counts what holds and what does not; prints each by name."""

    def __init__(self):
        self.failed = 0

    def equal(self, name, got, want):
        good = got == want
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}" + ("" if good else f": {got!r}, not {want!r}"), flush=True)

    def true(self, name, claim, shown=""):
        self.failed += not claim
        print(f"{'ok  ' if claim else 'FAIL'} {name}" + ("" if claim else f": {shown!r}"), flush=True)


    def run(self, part, *args):
        """A part of the test; what it could not finish has failed."""
        try:
            part(self, *args)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as e:
            self.true(part.__name__, False, str(e)[-3000:])


class Place:
    """A directory with keys, certificates, and accounts that only our mount namespace sees."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="rl-sshd-")
        os.chmod(self.dir, 0o755)
        os.mkdir(self.path("empty"), 0o755)
        os.mkdir(self.path("home"), 0o700)
        os.chown(self.path("home"), UID, UID)
        for name, kind in (("ca", "ed25519"), ("hostca", "ed25519"), ("otherca", "ed25519"), ("host", "ed25519"),
                           ("ed25519", "ed25519"), ("ecdsa", "ecdsa"), ("rsa", "rsa")):
            self.keygen("-q", "-N", "", "-t", kind, "-f", self.path(name), "-C", name)
        self.keygen("-q", "-s", self.path("hostca"), "-h", "-I", "host", "-n", "node-h", self.path("host.pub"))
        for name in ("ed25519", "ecdsa", "rsa"):
            self.sign(name)
        self.write("passwd", open("/etc/passwd").read().rstrip("\n") + f"\n{USER}:x:{UID}:{UID}::{self.path('home')}:/bin/bash\n")
        self.write("group", open("/etc/group").read().rstrip("\n") + f"\n{USER}:x:{UID}:\nrl-extra:x:61235:{USER}\n")
        line = open(self.path("hostca.pub")).read()
        self.write("known_ca", "@cert-authority node-h " + line)
        self.write("known_key", "node-h " + open(self.path("host.pub")).read())

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    @staticmethod
    def keygen(*args):
        subprocess.run(["ssh-keygen", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sign(self, name, principals=f"root,nobody,{USER},forbidden", out=None, ca="ca", extra=()):
        """Certifies the key `name`; with `out`, under that name."""
        if out:
            for suffix in ("", ".pub"):
                shutil.copy(self.path(name + suffix), self.path(out + suffix))
        self.keygen("-q", "-s", self.path(ca), "-I", "alice", "-n", principals, *extra, self.path((out or name) + ".pub"))

    def close(self):
        shutil.rmtree(self.dir)


def private_copy(place, program):
    """The rooms start where no other user may look, such as under /root."""
    os.mkdir(place.path("private"), 0o700)
    return shutil.copy(program, place.path("private/harness"))


class Server:
    """A harness process. Its lines are kept in `log`."""

    def __init__(self, place, program, *args, as_user=False, env=None):
        self.place = place
        self.log = ""
        mounts = f"mount --bind {place.path('passwd')} /etc/passwd && mount --bind {place.path('group')} /etc/group"
        become = f"setpriv --reuid={UID} --regid={UID} --clear-groups " if as_user else ""
        run = " ".join([program, f"--dir={place.dir}", *args])
        self.process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", f"{mounts} && exec {become}{run}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
            start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.port = int(self.wait(r"^port (\d+)$").group(1))
        self.config = self.config_for("ed25519")

    def config_for(self, key):
        """An ssh_config with this key and its certificate, and no other."""
        p = self.place
        name = f"ssh_config_{self.port}_{key}"
        p.write(name, f"""Host n
    HostName 127.0.0.1
    Port {self.port}
    HostKeyAlias node-h
    User root
    IdentityFile {p.path(key)}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {p.path('known_ca')}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    BatchMode yes
    ConnectTimeout 20
""")
        return p.path(name)

    def read(self):
        """Keeps reading: a server that cannot print its events would wait."""
        for line in self.process.stdout:
            self.log += line.decode(errors="replace")

    def wait(self, pattern, timeout=20):
        """Waits until a line of the log matches."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.log, re.M)
            if found:
                return found
            if time.monotonic() > end or not self.reader.is_alive():
                raise AssertionError(f"no {pattern!r} in:\n{self.log}")
            time.sleep(0.02)

    def ssh(self, *args, input=None, timeout=60, env=None, options=(), key=None):
        """Runs stock ssh; gives (exit status, stdout, stderr)."""
        config = self.config_for(key) if key else self.config
        done = subprocess.run(["ssh", "-F", config, *options, "n", *args], timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})},
                              **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}))
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def out(self, *args, **named):
        return self.ssh(*args, **named)[1].decode(errors="replace")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        # A transport that lies may wait for ever for what it kept to itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.reader.join(10)


def over_one_server(c, place, program, flags, parts):
    """The parts of a test that share a server; it says nothing of its own, under the sanitizers neither."""
    s = Server(place, program, *flags)
    try:
        for part in parts:
            c.run(part, s)
    finally:
        s.close()
        c.true("the server says nothing of its own", "ERROR" not in s.log and "runtime error" not in s.log, s.log[-2000:])


def run_in_place(tests):
    """A test program's exit status, of `tests(checks, place)`."""
    if why_not():
        print("skipped:", why_not())
        return 77
    c = Checks()
    place = Place()
    try:
        tests(c, place)
    finally:
        place.close()
    print(f"{c.failed} failed")
    return 1 if c.failed else 0
