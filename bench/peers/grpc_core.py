"""gRPC core's own server with mutual TLS, and its own clients: one channel, one bidirectional stream
for each, opened again by the channel's own reconnecting when the server was away."""

import pathlib
import shutil
import subprocess

import pairs

from . import clean_env, package_version
from .jumphost import free_port
from .tcp import first_line, start, stop


def make_certificates(directory):
    """An authority, a server's and a client's certificate, P-256 as Remoteler's are."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]

    def openssl(*words):
        subprocess.run(
            ["openssl", "req", "-x509", *curve, *words],
            check=True, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    openssl("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench authority")
    for name, subject in (("server", "bench"), ("client", "bench client")):
        openssl("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={subject}",
                "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=DNS:{subject.split()[0]}",
                "-addext", "basicConstraints=critical,CA:false")


class GrpcCore:
    name = "gRPC core"
    network = "the loopback interface"

    def __init__(self, directory, helpers):
        self.dir, self.program = pathlib.Path(directory), helpers / "bench_grpc"
        self.env = {k: v for k, v in clean_env().items() if "proxy" not in k.lower()}
        self.server = self.fleet = None

    def versions(self):
        return {"libgrpc++": package_version("libgrpc++1.51")}

    def start(self):
        if not self.program.exists():
            raise pairs.Failed("bench_grpc was not built: apt-get install libgrpc++-dev")
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(mode=0o700, parents=True)
        make_certificates(self.dir)
        self.port = free_port()
        self.start_server()

    def start_server(self):
        with open(self.dir / "server.log", "ab") as log:
            self.server = start([self.program, "server", self.port, self.dir], env=self.env, log=log)
        first_line(self.server, "gRPC core's server")

    def start_fleet(self, count):
        with open(self.dir / "fleet.log", "ab") as log:
            return start([self.program, "fleet", self.port, self.dir, count], env=self.env, log=log,
                         stdin=subprocess.PIPE)

    def kill_server(self):
        self.server.kill()
        self.server.wait()

    def server_pid(self):
        return self.server.pid

    def stop(self):
        if self.server:
            stop(self.server)
