"""A whole cluster of its own by `./dev up`, and stock ssh to node-r1, which only the tunnel reaches."""

import json
import os
import pathlib
import subprocess
import sys

import pairs

from . import package_version

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "e2e"))
import cluster as e2e  # noqa: E402 - the harness of the end-to-end tests brings clusters up
import respawn  # noqa: E402,F401 - and starts their processes again


class Remoteler:
    name = "remoteler"

    def __init__(self, directory, programs, with_leaf=False):
        """Of the release build, which is made first, or of RL_BIN."""
        self.cluster = e2e.Cluster(directory)
        self.with_leaf = with_leaf
        self.cluster.env["RL_BIN"] = os.environ.get("RL_BIN", str(programs))

    @property
    def ports(self):
        """By the names of tools/dev/ports.sh."""
        lines = (self.cluster.run_dir / "ports").read_text().split()
        return {k[len("PORT_") :]: int(v) for k, v in (line.split("=") for line in lines)}

    def host_address(self):
        """This machine's, as the router namespace sees it."""
        said = subprocess.run(
            ["ip", "-j", "-n", self.cluster.router, "-4", "addr", "show", "uplink"],
            check=True, stdout=subprocess.PIPE,
        ).stdout
        first, last = json.loads(said)[0]["addr_info"][0]["local"].rsplit(".", 1)
        return f"{first}.{int(last) - 1}"

    def pid(self, name):
        return self.cluster.process(name)["pid"]

    def sql(self, text):
        """By the database's administrator."""
        password = (self.cluster.run_dir / "keys" / "postgres_password").read_text().strip()
        done = subprocess.run(
            [*self.cluster.enter, "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
             str(self.ports["postgres"]), "-U", "postgres", "-d", "remoteler"],
            input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(os.environ, PGPASSWORD=password),
        )
        if done.returncode != 0:
            raise pairs.Failed(f"psql: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

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
        self.cluster.down()
        self.cluster.dir.mkdir(parents=True)
        self.cluster.up(self.with_leaf)
        self.cluster.login().check()

    def stop(self):
        self.cluster.down()

    def ssh(self, command, options, flags=(), node="node-r1"):
        settings = [word for item in sorted(options.items()) for word in ("-o", "=".join(item))]
        config = self.cluster.ssh_config()
        return ["ssh", "-F", config, "-o", "BatchMode=yes", *settings, *flags, node, command]
