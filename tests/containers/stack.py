"""A stack of docker-compose.yml under a project name of its own, and a person at its published port."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from cluster import Failed, Skip, run, until  # noqa: E402, F401

STEP_S = 30
SERVICES = ("auth", "audit", "broker", "proxy")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_range():
    """Two ports beside each other, for two proxies."""
    while True:
        first = free_port()
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", first + 1))
                return first
            except OSError:
                continue


def docker(*args, **more):
    return run(["docker", *args], timeout=more.pop("timeout", 120), **more)


class Stack:
    """`docker compose -p PROJECT`, its port, and where its user keeps what is hers."""

    def __init__(self, project, directory, port=None, **settings):
        self.project, self.port = project, port or free_port()
        self.dir = pathlib.Path(directory) / project
        self.home = self.dir / "tsh"
        self.home.mkdir(parents=True, mode=0o700)
        self.profiles = []
        self.waited_s = 0  # for one-time codes: a person's new one is always there
        self.env = dict(
            os.environ,
            REMOTELER_PORT=f"127.0.0.1:{self.port}",
            REMOTELER_ADDRESS=f"127.0.0.1:{self.port}",
            NO_COLOR="1",
            **settings,
        )
        self.env.pop("SSH_AUTH_SOCK", None)
        self.user_env = dict(
            self.env, TSH_HOME=str(self.home), PATH=f"{directory}/bin:{self.env['PATH']}", HOME=str(self.dir)
        )

    # ---- the stack ----

    def compose(self, *args, timeout=180, stdin=None):
        words = ["docker", "compose", "-p", self.project, "-f", ROOT / "docker-compose.yml"]
        for profile in self.profiles:
            words += ["--profile", profile]
        return run([*words, *args], timeout=timeout, env=self.env, stdin=stdin)

    def up(self, *args):
        return self.compose("up", "--detach", "--no-build", *args, timeout=300)

    def down(self, *args):
        return self.compose("down", "--timeout", "5", *args, timeout=300)

    def containers(self, service=None):
        """Of the service, or of all; also those that have ended."""
        filters = ["--filter", f"label=com.docker.compose.project={self.project}"]
        if service:
            filters += ["--filter", f"label=com.docker.compose.service={service}"]
        ids = docker("ps", "-aq", *filters).check().out.split()
        return json.loads(docker("inspect", *ids).check().out) if ids else []

    def container(self, service):
        return self.containers(service)[0]

    def health(self, service):
        return {c["State"].get("Health", {}).get("Status") for c in self.containers(service)}

    def wait_healthy(self, *services, seconds=90):
        for service in services or (*SERVICES, "postgres", "node-a", "node-r1"):
            until(seconds, f"{service} to be healthy", lambda s=service: self.health(s) == {"healthy"})

    def kill(self, service, index=0):
        """As the kernel would, not as somebody who wants it to stay away."""
        victim = self.containers(service)[index]
        os.kill(victim["State"]["Pid"], signal.SIGKILL)

        def is_back():
            now = json.loads(docker("inspect", victim["Id"]).check().out)[0]
            return now["State"]["Running"] and now["State"]["StartedAt"] != victim["State"]["StartedAt"]

        until(60, f"the engine to start {service} again", is_back)

    def exec(self, service, *args, timeout=60, stdin=None):
        return self.compose("exec", "-T", service, *args, timeout=timeout, stdin=stdin)

    def tctl(self, *args):
        return self.exec("auth", "tctl", *args)

    def logs(self, *services):
        return self.compose("logs", "--no-color", "--tail=40", *services).out

    # ---- the user ----

    def tsh(self, *args, timeout=60):
        return run(["tsh", *args], timeout=timeout, env=self.user_env)

    def sign_up(self, user="alice"):
        pin = self.tctl("status", "--format=json").check().json["ca_pin"]
        self.user_env["REMOTELER_CA_PIN"] = pin
        added = self.tctl("users", "add", user, "--roles=access", "--logins=demo", "--format=json").check()
        (self.dir / "password").write_text("a password of some length\n")
        self.tsh(
            "signup",
            added.json["invite_url"],
            f"--password-file={self.dir}/password",
            f"--totp-secret-out={self.dir}/totp",
        ).check()
        self.used_step = int(time.time()) // STEP_S

    def code(self):
        """One that was not used yet."""
        self.waited_s += until(
            STEP_S + 5, "the next one-time code", lambda: int(time.time()) // STEP_S > self.used_step)
        self.used_step = int(time.time()) // STEP_S
        secret = (self.dir / "totp").read_text().strip()
        key = base64.b32decode(secret + "=" * (-len(secret) % 8))
        digest = hmac.new(key, struct.pack(">Q", self.used_step), hashlib.sha1).digest()
        at = digest[-1] & 15
        return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06d}"

    def login(self, port=None, user="alice"):
        return self.tsh(
            "login",
            f"--proxy=127.0.0.1:{port or self.port}",
            f"--user={user}",
            f"--password-file={self.dir}/password",
            f"--otp={self.code()}",
            "--no-ssh-config",
        )

    def ssh_words(self, node, *command):
        return ["ssh", "-F", str(self.home / "ssh_config"), "-o", "BatchMode=yes", "-l", "demo", node, *command]

    def ssh(self, node, *command, timeout=60):
        return run(self.ssh_words(node, *command), timeout=timeout, env=self.user_env)

    def hostname_of(self, node):
        done = self.ssh(node, "hostname", timeout=20)
        return done.out.strip() if done.code == 0 else None

    def events(self, *flags):
        return self.tctl("audit", "search", "--last=1h", "--limit=10000", "--format=json", *flags).check().json


class Session:
    """A session that is open for as long as the test wants: what is sent comes back."""

    def __init__(self, stack, node):
        self.child = subprocess.Popen(
            stack.ssh_words(node, "cat"), env=stack.user_env, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.count = 0
        self.echo(20)

    def echo(self, seconds=60):
        self.count += 1
        line = f"line {self.count}\n".encode()
        self.child.stdin.write(line)
        self.child.stdin.flush()
        ready = select.select([self.child.stdout], [], [], seconds)[0]
        got = self.child.stdout.readline() if ready else b""
        if got != line:
            self.child.kill()
            raise Failed(f"sent {line!r}, got {got!r}: {self.child.stderr.read()[-500:]!r}")

    def has_ended(self, seconds=60):
        try:
            self.child.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def close(self):
        self.child.stdin.close()
        code = self.child.wait(20)
        self.child.stdout.close()
        self.child.stderr.close()
        return code
