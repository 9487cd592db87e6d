"""Two stock sshd on loopback, a jump host and a target, and `ssh -J` through the one to the other.

Everything of theirs is made anew in a directory: host keys, one key pair that may log in, both
sides' configuration. Only /run/sshd, which sshd demands as root, is outside of it. SFTP is sshd's own,
in its process: the login's shell would start a program, and what that shell reads first is not ours
to measure.
"""

import getpass
import os
import pathlib
import random
import shutil
import socket
import subprocess
import time

import pairs

from . import clean_env, package_version

PORTS = range(29000, 32768)  # below the range that clients' sockets take
READY_S = 10

SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {dir}/{name}.key
PidFile {dir}/{name}.pid
AuthorizedKeysFile {dir}/user.pub
AllowUsers {user}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""

CLIENT = """\
Host *
    HostName 127.0.0.1
    User {user}
    IdentityFile {dir}/user
    IdentitiesOnly yes
    UserKnownHostsFile {dir}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    ControlMaster no
    ControlPath none
{options}
Host jump
    Port {ports[jump]}
    HostKeyAlias jump
Host target
    Port {ports[target]}
    HostKeyAlias target
"""


def free_port():
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def greets_at(host, port):
    """Whether an SSH server answers there."""
    try:
        with socket.create_connection((host, port), timeout=1) as s:
            return s.recv(4) == b"SSH-"
    except OSError:
        return False


class JumpHost:
    name = "jump host"
    network = "OpenSSH through a jump host: two sshd on the loopback interface"

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.env = clean_env()
        self.sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
        self.ports, self.running, self.configs = {}, [], {}

    def missing(self):
        if not self.sshd:
            return "there is no sshd; apt-get install openssh-server"
        if not shutil.which("ssh"):
            return "there is no ssh; apt-get install openssh-client"
        return None

    def versions(self):
        return {"openssh_server": package_version("openssh-server")}

    def start(self):
        if self.missing():
            raise pairs.Failed(self.missing())
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.make_key("user")
        for name in ("jump", "target"):
            self.start_server(name)
        known = [f"{n} {(self.dir / f'{n}.key.pub').read_text()}" for n in ("jump", "target")]
        (self.dir / "known_hosts").write_text("".join(known))

    def make_key(self, name):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.dir / name], check=True
        )

    def start_server(self, name):
        self.make_key(f"{name}.key")
        self.ports[name] = free_port()
        config, log = self.dir / f"{name}.conf", self.dir / f"{name}.log"
        config.write_text(
            SERVER.format(port=self.ports[name], dir=self.dir, name=name, user=getpass.getuser())
        )
        # In a session of its own: Ctrl-C ends the benchmark first, and that ends sshd.
        server = subprocess.Popen(
            [self.sshd, "-D", "-f", config, "-E", log],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )
        self.running.append(server)
        deadline = time.monotonic() + READY_S
        while not greets_at("127.0.0.1", self.ports[name]):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd ({name}) does not answer: {log.read_text()[-1000:]}")
            time.sleep(0.05)

    def stop(self):
        for server in self.running:
            server.terminate()
            server.wait()
        self.running = []

    def config(self, options):
        """A client's configuration with these options: `ssh -J` hands the file on to the client of
        the jump host's connection, but no option that is on its command line."""
        key = tuple(sorted(options.items()))
        if key not in self.configs:
            path = self.dir / f"ssh_config.{len(self.configs)}"
            lines = "".join(f"    {name} {value}\n" for name, value in key)
            path.write_text(
                CLIENT.format(user=getpass.getuser(), dir=self.dir, ports=self.ports, options=lines)
            )
            self.configs[key] = path
        return self.configs[key]

    def ssh(self, command, options, flags=()):
        return ["ssh", "-F", str(self.config(options)), *flags, "-J", "jump", "target", command]
