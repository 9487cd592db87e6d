"""Remoteler's SSH server by itself: what a node has behind the tunnel, reached straight.

No node listens for SSH, so it is served by the program of its own tests, which accepts a connection,
forks the monitor as the agent does, and writes each event into a file. Keys and certificates are made
anew in a directory.
"""

import getpass
import pathlib
import re
import shutil
import subprocess

import pairs

from . import clean_env, package_version
from .tcp import READY_S, start, stop, until

CLIENT = """\
Host node-h
    HostName 127.0.0.1
    HostKeyAlias node-h
    Port {port}
    User {user}
    IdentityFile {dir}/user
    IdentitiesOnly yes
    UserKnownHostsFile {dir}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    ControlMaster no
    ControlPath none
"""


class SshServer:
    name = "remoteler's SSH server"
    network = "the agent's SSH server without tunnel, on the loopback interface"
    host = "node-h"

    def __init__(self, directory, programs):
        self.dir, self.program = pathlib.Path(directory), programs / "sshd_harness"
        self.env, self.process = clean_env(), None

    def versions(self):
        return {"libssh": package_version("libssh-dev")}

    def keygen(self, *words):
        subprocess.run(["ssh-keygen", "-q", *words], check=True, cwd=self.dir, stdin=subprocess.DEVNULL)

    def make_keys(self):
        for name in ("ca", "otherca", "host", "user"):
            self.keygen("-t", "ed25519", "-N", "", "-C", "", "-f", name)
        self.keygen("-s", "ca", "-I", "bench", "-n", getpass.getuser(), "user.pub")
        self.keygen("-s", "ca", "-h", "-I", "host", "-n", self.host, "host.pub")
        authority = (self.dir / "ca.pub").read_text()
        (self.dir / "known_hosts").write_text(f"@cert-authority {self.host} {authority}")

    def start(self):
        if not self.program.exists():
            raise pairs.Failed(f"{self.program} was not built")
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(mode=0o755, parents=True)
        (self.dir / "empty").mkdir(mode=0o755)
        self.make_keys()
        log = self.dir / "log"
        with open(log, "wb") as out:
            self.process = start([self.program, f"--dir={self.dir}", f"--login={getpass.getuser()}"],
                                 env=self.env, log=out, stdout=out)
        until(READY_S, "the SSH server's port", lambda: log.read_text() or self.process.poll() is not None)
        port = re.match(r"port (\d+)\n", log.read_text())
        if not port:
            raise pairs.Failed(f"the SSH server did not start: {log.read_text()[-1000:]}")
        self.config = self.dir / "ssh_config"
        self.config.write_text(CLIENT.format(port=port[1], user=getpass.getuser(), dir=self.dir))

    def stop(self):
        if self.process:
            stop(self.process)
