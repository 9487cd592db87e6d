"""A whole cluster of its own by `./dev up`, and stock ssh to node-r1, which only the tunnel reaches."""

import os
import pathlib
import subprocess
import sys

from . import package_version

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "e2e"))
import cluster as e2e  # noqa: E402 - the harness of the end-to-end tests brings clusters up


class Remoteler:
    name = "remoteler"

    def __init__(self, directory, programs):
        """Of the release build, which is made first, or of RL_BIN."""
        self.cluster = e2e.Cluster(directory)
        self.cluster.env["RL_BIN"] = os.environ.get("RL_BIN", str(programs))

    def missing(self):
        return None

    @property
    def env(self):
        return self.cluster.env

    @property
    def network(self):
        way = "ssh, tsh proxy ssh, proxy, broker, agent, all on this machine"
        if self.cluster.netns:
            return way + "; the agent behind a router namespace that masquerades (two veth pairs)"
        return way + "; no namespace could be made, so the agent dials over the loopback interface"

    def versions(self):
        return {
            "remoteler": self.cluster.tsh("version", "--format=json").check().json,
            "libssh": package_version("libssh-dev"),
            "libnghttp2": package_version("libnghttp2-14"),
        }

    def start(self):
        if "RL_BIN" not in os.environ:
            subprocess.run([e2e.ROOT / "dev", "build", "release"], check=True)
        self.cluster.down()
        self.cluster.dir.mkdir(parents=True)
        self.cluster.up()
        self.cluster.login().check()

    def stop(self):
        self.cluster.down()

    def ssh(self, command, options, flags=()):
        settings = [word for item in sorted(options.items()) for word in ("-o", "=".join(item))]
        config = self.cluster.ssh_config()
        return ["ssh", "-F", config, "-o", "BatchMode=yes", *settings, *flags, "node-r1", command]
