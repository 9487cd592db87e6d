"""One `ssh -R` from the device to this machine: every connection is a channel of it. The device's
end is behind the same router namespace as Remoteler's agent."""

import getpass
import os
import pathlib
import shutil
import subprocess

from . import clean_env, package_version
from .jumphost import SERVER, free_port, greets_at
from .tcp import Target, listens, start, stop, until


class ReverseSsh:
    name = "ssh -R"
    network = "one ssh -R from behind the router namespace to an sshd on this machine"

    def __init__(self, directory, remoteler, helpers):
        self.dir, self.remoteler, self.helpers = pathlib.Path(directory), remoteler, helpers
        self.netns, self.router = remoteler.cluster.netns, remoteler.cluster.router
        self.env = clean_env()
        self.sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
        self.running = []

    def versions(self):
        return {"openssh_server": package_version("openssh-server")}

    def make_key(self, name):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.dir / name], check=True
        )

    def start(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.make_key("user")
        self.make_key("server.key")
        host, port, users = self.remoteler.host_address(), free_port(), free_port()
        config = self.dir / "server.conf"
        text = SERVER.format(port=port, dir=self.dir, name="server", user=getpass.getuser())
        config.write_text(text.replace("ListenAddress 127.0.0.1", f"ListenAddress {host}"))
        self.running.append(start([self.sshd, "-D", "-f", config, "-E", self.dir / "server.log"]))
        until(10, "sshd", lambda: greets_at(host, port))
        self.let_out(host, port)
        self.target = Target(self.helpers, self.netns)
        self.running.append(self.target.process)
        self.running.append(start(
            ["nsenter", f"--net=/run/netns/{self.netns}", "ssh", "-F", "/dev/null", "-N", "-p", port,
             "-i", self.dir / "user", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "ExitOnForwardFailure=yes",
             "-R", f"127.0.0.1:{users}:127.0.0.1:{self.target.port}", f"{getpass.getuser()}@{host}"],
            env=self.env,
        ))
        until(10, "the remote forwarding", lambda: listens(users))
        self.way = ["tcp", f"127.0.0.1:{users}"]

    def let_out(self, host, port):
        """The router lets the device reach the proxy only."""
        subprocess.run(
            ["ip", "netns", "exec", self.router, "nft", "insert", "rule", "inet", "router", "forward",
             "iifname", "lan", "oifname", "uplink", "ip", "daddr", host, "tcp", "dport", str(port), "accept"],
            check=True,
        )

    def stop(self):
        for process in reversed(self.running):
            stop(process)
        self.running = []
