"""Stock haproxy: pairs of them, the first of which wraps bytes in TLS and the second unwraps them.
Two such pairs in a row have as many TLS hops as proxy, broker and agent. A user may speak TLS to the
first of them, as a user of Remoteler does, or plain bytes.
"""

import shutil
import subprocess

from pairs import Failed

from . import package_version
from .jumphost import free_port
from .tcp import Target, listens, start, stop, until

CONFIG = """\
global
    log stderr format raw local0 err
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen way
    bind 127.0.0.1:{port}{listen_tls}
    server next 127.0.0.1:{next}{dial_tls}
"""


def certificate(directory):
    """A self-signed one, P-256 as Remoteler's are."""
    key, chain = directory / "key.pem", directory / "chain.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", chain, "-subj", "/CN=bench", "-days", "2"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    both = directory / "both.pem"
    both.write_text(chain.read_text() + key.read_text())
    both.chmod(0o600)
    return both


class HaproxyPairs:
    def __init__(self, directory, helpers, pairs, user_tls):
        self.dir, self.helpers, self.pairs, self.user_tls = directory, helpers, pairs, user_tls
        count = {1: "one haproxy pair", 2: "two chained haproxy pairs"}[pairs]
        self.name = f"{count}, {'TLS' if user_tls else 'plain bytes'} from the user"
        self.network = "the loopback interface"
        self.program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        self.env, self.running, self.target = None, [], None

    def versions(self):
        return {"haproxy": package_version("haproxy")}

    def start(self):
        if not self.program:
            raise Failed("there is no haproxy; apt-get install haproxy")
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(mode=0o700, parents=True)
        self.target = Target(self.helpers)
        pem = certificate(self.dir)
        following = self.target.port
        for number in range(2 * self.pairs, 0, -1):
            wraps, first = number % 2 == 1, number == 1
            takes_tls = not wraps or (first and self.user_tls)
            following = self.start_one(
                number, following,
                f" ssl crt {pem} ssl-min-ver TLSv1.3" if takes_tls else "",
                " ssl verify none ssl-min-ver TLSv1.3" if wraps else "",
            )
        self.way = ["tls" if self.user_tls else "tcp", f"127.0.0.1:{following}"]

    def start_one(self, number, following, listen_tls, dial_tls):
        port, config = free_port(), self.dir / f"{number}.cfg"
        config.write_text(
            CONFIG.format(port=port, next=following, listen_tls=listen_tls, dial_tls=dial_tls)
        )
        with open(self.dir / f"{number}.log", "wb") as log:
            process = start([self.program, "-db", "-f", config], log=log, stdout=log)
        self.running.append(process)
        until(10, f"haproxy {number}", lambda: listens(port) or process.poll() is not None)
        return port

    def stop(self):
        for process in self.running:
            stop(process)
        self.running = []
        if self.target:
            self.target.stop()
