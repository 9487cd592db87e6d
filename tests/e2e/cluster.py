"""A whole cluster in a directory of its own, made by ./dev up, and the stock clients that use it."""

import json
import os
import pathlib
import pty
import select
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Failed(Exception):
    """What a test says when the product did something else."""


class Skip(Exception):
    """Why a test cannot be made here."""


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def check(self, code=0):
        if self.code != code:
            raise Failed(
                f"{' '.join(map(str, self.args))}: exit {self.code}, not {code}\n"
                f"stdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"
            )
        return self

    @property
    def json(self):
        return json.loads(self.out)


def run(args, timeout=60, env=None, stdin=None, cwd=None):
    """Runs a command to its end; never raises for an exit status."""
    done = subprocess.run(
        [str(a) for a in args],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
        env=env,
        cwd=cwd,
    )
    return Result(
        args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


def until(seconds, what, ask):
    """Asks until the answer is true; how long it took."""
    start = time.monotonic()
    while True:
        answer = ask()
        if answer:
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise Failed(f"waited {seconds} s for {what}, in vain")
        time.sleep(0.1)


class Cluster:
    enter = []  # before a command that has to run where the cluster is

    def __init__(self, directory=None, name=None):
        """In a directory that does not exist yet, or in a temporary one; called dev, or otherwise."""
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(prefix="rl-e2e-"))
        self.run_dir = self.dir / "run"
        self.env = dict(os.environ, REMOTELER_DEV_DIR=str(self.run_dir), NO_COLOR="1")
        for key in list(self.env):
            if key.startswith(("REMOTELER_", "TSH_")) and key != "REMOTELER_DEV_DIR":
                del self.env[key]
        self.env.pop("SSH_AUTH_SOCK", None)
        if name:
            self.env["REMOTELER_DEV_CLUSTER"] = name

    # ---- the cluster itself ----

    def dev(self, *args, timeout=300):
        return run([ROOT / "dev", *args], timeout=timeout, env=self.env)

    def up(self, with_leaf=False):
        """Beside a second cluster that trusts it, as self.leaf, when that is asked for."""
        self.dev("up", *(["--with-leaf"] if with_leaf else []), timeout=900).check()
        if with_leaf:
            self.leaf = Leaf(self)
        self.read_env()
        self.home = self.new_home("alice")

    def read_env(self):
        """What people source."""
        for line in (self.run_dir / "env").read_text().splitlines():
            if line.startswith("export ") and "=" in line:
                name, value = line[len("export ") :].split("=", 1)
                self.env[name] = value.strip('"')
        self.env["PATH"] = f"{self.run_dir}/bin:{self.env['PATH']}"

    def down(self):
        self.dev("down", "--wipe")
        subprocess.run(["rm", "-rf", str(self.dir)], check=False)

    def logs(self):
        text = []
        for log in sorted([*self.run_dir.glob("log/*.log"), *self.run_dir.glob("leaf/log/*.log")]):
            lines = log.read_text(errors="replace").splitlines()[-25:]
            text.append(f"--- {log.relative_to(self.run_dir)}\n" + "\n".join(lines))
        return "\n".join(text)

    def process(self, name):
        return next(p for p in self.dev("ps", "--format=json").check().json if p["name"] == name)

    @property
    def netns(self):
        return self.env.get("REMOTELER_DEMO_NETNS", "")

    @property
    def router(self):
        return self.netns.replace("-dev", "-rtr")

    def in_device(self, *args, timeout=30):
        return run(["ip", "netns", "exec", self.netns, *args], timeout=timeout)

    # ---- users ----

    def new_home(self, name):
        home = self.dir / f"tsh-{name}-{time.monotonic_ns()}"
        home.mkdir(mode=0o700)
        return home

    def totp(self, user="alice"):
        return self.dev("totp", user).check().out.strip()

    def password_file(self, user="alice"):
        return self.run_dir / "users" / f"{user}.password"

    def tsh(self, *args, home=None, timeout=60, stdin=None, env=None):
        env = dict(self.env, TSH_HOME=str(home or self.home), **(env or {}))
        return run(["tsh", *args], timeout=timeout, env=env, stdin=stdin)

    def login(self, user="alice", home=None, *flags):
        return self.tsh(
            "login",
            f"--user={user}",
            f"--password-file={self.password_file(user)}",
            f"--otp={self.totp(user)}",
            "--no-ssh-config",
            *flags,
            home=home,
        )

    def tctl(self, *args, stdin=None, env=None):
        return run(["tctl", *args], env=dict(self.env, **(env or {})), stdin=stdin)

    def make_user(self, name, roles="access", logins="root"):
        """Invited, signed up, with files where `totp` and `login` look for them."""
        users = self.run_dir / "users"
        added = self.tctl("users", "add", name, f"--roles={roles}", f"--logins={logins}", "--format=json")
        url = added.check().json["invite_url"]
        (users / f"{name}.password").write_text("a password for " + name + "\n")
        self.tsh(
            "signup",
            url,
            f"--password-file={users / (name + '.password')}",
            f"--totp-secret-out={users / (name + '.totp')}",
        ).check()
        (users / f"{name}.totp.step").write_text(str(int(time.time()) // 30))

    # ---- clients ----

    def ssh_config(self, home=None):
        return str((home or self.home) / "ssh_config")

    def ssh(self, *args, home=None, timeout=60, stdin=None):
        return run(
            [*self.enter, "ssh", "-F", self.ssh_config(home), "-o", "BatchMode=yes", *args],
            timeout=timeout,
            env=self.env,
            stdin=stdin,
        )

    def nodes(self, home=None):
        return {n["name"] or n["id"]: n for n in self.tsh("ls", "--format=json", home=home).check().json}

    def events(self, *flags):
        return self.tctl("audit", "search", "--last=1h", "--format=json", *flags).check().json

    def wait_for_event(self, what, *flags, seconds=5):
        """The first event that `what` accepts."""
        found = []
        until(seconds, "an event in audit", lambda: found.extend(filter(what, self.events(*flags))) or found)
        return found[0]


class Leaf(Cluster):
    """The second cluster of a root's directory. It is in a network of its own, where one could be made,
    and so is whoever uses it; its user is bob."""

    nodes_of_its_own = ("node-b", "node-rb")

    def __init__(self, root):
        self.root, self.dir, self.run_dir = root, root.dir / "leaf", root.run_dir / "leaf"
        self.dir.mkdir()
        self.env = dict(root.env)
        self.read_env()
        self.home = self.new_home("bob")
        namespace = self.process("auth")["netns"]
        self.enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []

    def dev(self, verb, *args, timeout=300):
        """With names as the leaf has them."""
        if verb == "totp":
            args = [f"{user}@leaf" for user in args]
        elif verb != "ps":
            args = [self.public_name(name) for name in args]
        return self.root.dev(verb, *args, timeout=timeout)

    def public_name(self, name):
        return name if name in self.nodes_of_its_own else f"leaf-{name}"

    def process(self, name):
        return super().process(self.public_name(name))

    def in_network(self, *args, timeout=30):
        return run([*self.enter, *args], timeout=timeout, env=self.env)

    def set_link(self, is_up):
        """The leaf's way to the root: nothing comes through, and nobody says so."""
        rules = "table inet leaf_cut { chain forward { type filter hook forward priority -20; policy accept; " \
                'iifname "leaf" drop; oifname "leaf" drop; }; }'
        rules = "delete table inet leaf_cut" if is_up else rules
        run(["ip", "netns", "exec", self.root.router, "nft", rules]).check()

    def apply(self, document):
        """What an administrator writes in a file."""
        return self.tctl("create", "-f", "-", stdin=document.encode())


class Terminal:
    """A program on a terminal of its own, driven like a person would."""

    def __init__(self, args, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(args[0], args, env)
        self.seen = ""

    def send(self, text):
        os.write(self.fd, text.encode())

    def resize(self, columns, rows):
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text, seconds=15):
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.fd], [], [], left)[0]
            if not ready:
                raise Failed(f"no {text!r} on the terminal; there is: {self.seen[-1500:]!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise Failed(f"the terminal closed before {text!r}: {self.seen[-1500:]!r}")
            self.seen += data.decode("utf-8", "replace")
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def wait(self, seconds=15):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                while select.select([self.fd], [], [], 0.05)[0] and os.read(self.fd, 65536):
                    pass
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        raise Failed("the program on the terminal did not end")
