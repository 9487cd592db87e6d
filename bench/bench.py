"""What the benchmarks share: the cluster, the peers, the programs; each made when it is first asked
for and taken down at the end."""

import contextlib
import functools

from peers.jumphost import JumpHost
from peers.remoteler import Remoteler
from peers.ssh_server import SshServer
from peers.tcp import TcpNode


class Bench:
    def __init__(self, directory, programs, is_noise):
        """`programs`: the product's; `programs`/../bench: those of the benchmarks alone."""
        self.dir, self.programs, self.is_noise = directory, programs, is_noise
        self.helpers = programs.parent / "bench"
        self.stack = contextlib.ExitStack()

    def started(self, party):
        self.stack.callback(party.stop)
        party.start()
        return party

    def close(self):
        self.stack.close()

    @functools.cached_property
    def remoteler(self):
        return self.started(Remoteler(self.dir / "cluster", self.programs))

    @functools.cached_property
    def with_leaf(self):
        """Another cluster than the one above, and a leaf that trusts it, in a network of its own."""
        return self.started(Remoteler(self.dir / "clusters", self.programs, with_leaf=True))

    @functools.cached_property
    def jump_host(self):
        return self.started(JumpHost(self.dir / "jumphost"))

    @functools.cached_property
    def ssh_server(self):
        return self.started(SshServer(self.dir / "ssh-server", self.programs))

    def ssh_ways(self):
        """Subject and peer; with --noise the peer twice."""
        return (self.jump_host if self.is_noise else self.remoteler, self.jump_host)

    @functools.cached_property
    def tcp_here(self):
        """An agent on the loopback interface, with a TCP server for a node."""
        return self.started(TcpNode("bench-here", self.remoteler, self.helpers, in_device=False))

    @functools.cached_property
    def tcp_edge(self):
        """The same behind the router namespace."""
        return self.started(TcpNode("bench-edge", self.remoteler, self.helpers, in_device=True))

    def conditions(self):
        """Of the parties that took part."""
        parties = [v for k, v in vars(self).items() if hasattr(v, "versions")]
        versions = {}
        for party in parties:
            versions.update(party.versions())
        return {"versions": versions, "networks": {p.name: p.network for p in parties}}
