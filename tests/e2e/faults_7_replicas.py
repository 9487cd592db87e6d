"""Two brokers, two proxies, each killed in turn; and a proxy that moves to another address."""

import contextlib
import os
import signal
import subprocess
import time

from cluster import Failed, run, until
from load import Load, check_audit
from respawn import (command_of, end, environment_of, free_ports, is_alive, log_size, log_text, otherwise, pid_of,
                     replace_flag, respawn, spawn)
from test_4_links import works
from test_5_resume import Sessions

SECONDS = 15


def test_a_user_logs_in(c):
    c.login().check()


@contextlib.contextmanager
def second(c, kind, listeners, public=None):
    """Another replica, with a state, an identity and ports of its own: its pid file is KIND-2's."""
    name = f"{kind}-2"
    ports = dict(zip([*listeners, "health-listen"], free_ports(len(listeners) + 1)))
    token = c.dir / f"{name}.token"
    added = c.tctl("tokens", "add", f"--type={kind}", "--format=json").check().json
    token.touch(0o600)
    token.write_text(added["token"] + "\n")
    argv = command_of(pid_of(c, kind))
    for flag, port in ports.items():
        argv = replace_flag(argv, flag, f"127.0.0.1:{port}")
    argv = replace_flag(argv, "state-dir", str(c.dir / name))
    argv = replace_flag(argv, "join-token-file", str(token))
    if public:
        argv = replace_flag(argv, "public-address", f"127.0.0.1:{ports[public]}")
    twin = Twin(c, name, argv, environment_of(pid_of(c, kind)), ports)
    twin.start()
    try:
        yield twin
    finally:
        end(twin.child)
        (c.run_dir / "pids" / name).unlink(missing_ok=True)


class Twin:
    def __init__(self, c, name, argv, env, ports):
        self.c, self.name, self.argv, self.env, self.ports = c, name, argv, env, ports
        self.child = None

    def start(self):
        self.child = spawn(self.c, self.name, self.argv, self.env)
        url = f"http://127.0.0.1:{self.ports['health-listen']}/readyz"
        until(30, f"{self.name} to be ready",
              lambda: run([*self.c.enter, "curl", "-fsS", "--max-time", "1", url]).code == 0)

    def kill(self):
        self.child.kill()
        self.child.wait()

    @property
    def id(self):
        return next(a["id"] for a in services(self.c, self.name.split("-")[0]) if str(self.ports_seen()) in str(a))

    def ports_seen(self):
        return self.ports.get("dial-listen", 0)


def services(c, kind):
    return [s for s in c.tctl("status", "--format=json").check().json["services"] if s["kind"] == kind]


def broker_of(c, node="node-r1"):
    """The id of the broker that the node is attached to."""
    for item in c.tctl("inventory", "ls", "--format=json").check().json:
        if item["name"] == node:
            return item["broker"]
    return None


def id_of_first_broker(c):
    text = log_text(c, "broker")
    line = [l for l in text.splitlines() if "member of the cluster" in l][-1]
    return __import__("json").loads(line)["id"]


def test_two_brokers_each_killed_in_turn(c):
    with second(c, "broker", ("dial-listen", "attach-listen")) as twin:
        until(SECONDS, "auth to know both", lambda: len([s for s in services(c, "broker")
                                                          if s["status"] == "online"]) == 2)
        first = id_of_first_broker(c)
        for _ in range(2):
            held_by_first = broker_of(c) == first
            sessions = Sessions(c)
            try:
                with Load(c) as load:
                    start = time.monotonic()
                    if held_by_first:
                        os.kill(pid_of(c, "broker"), signal.SIGKILL)
                    else:
                        twin.kill()
                    sessions.say("after", 20)
                    print(f"  sessions back after {time.monotonic() - start:.1f} s")
                    load.wait_for_recovery(SECONDS)
                    until(SECONDS, "node-r1 to be with the other broker",
                          lambda: broker_of(c) not in (None, first if held_by_first else "") and works(c))
                    sessions.finish()
                    if held_by_first:
                        c.dev("start", "broker").check()
                    else:
                        twin.start()
                    load.wait_for_recovery(SECONDS)
                assert not load.failures("node-a"), load.failures("node-a")
                check_audit(c, load)
            finally:
                sessions.close()
    until(SECONDS, "a session through what is left", lambda: works(c))


def test_a_broker_that_stops_hands_its_sessions_to_the_other(c):
    with second(c, "broker", ("dial-listen", "attach-listen")) as twin:
        first = id_of_first_broker(c)
        if broker_of(c) != first:  # the one that will be stopped has the node
            end(twin.child)
            until(SECONDS, "node-r1 to be with the first", lambda: broker_of(c) == first and works(c))
            twin.start()
        sessions = Sessions(c)
        try:
            start = time.monotonic()
            c.dev("stop", "broker").check()
            sessions.say("after", 10)
            took = time.monotonic() - start
            print(f"  sessions back after {took:.1f} s")
            assert took < 5, took
            sessions.finish()
        finally:
            sessions.close()
            c.dev("start", "broker").check()
    until(SECONDS, "a session through what is left", lambda: works(c))


# ---- proxies: an agent finds them by a name, in a hosts file of its own ----


@contextlib.contextmanager
def found_by_name(c, proxies):
    """node-r1 beside the cluster instead of behind its router, and its proxy is a name: what that means
    is in a hosts file that only this agent has."""
    hosts = c.dir / "hosts"
    name = "proxy.test"

    def means(*addresses):
        new = hosts.with_suffix(".new")
        new.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {name}\n" for a in addresses))
        hosts.write_text(new.read_text())  # the same file: it is bound into the namespace

    means(*proxies)
    port = c.env["REMOTELER_PROXY"].rsplit(":", 1)[1]
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    own = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(hosts)]
    with otherwise(c, "node-r1", wrap=own, net_of=os.getpid(),
                   edit=lambda argv: replace_flag(argv, "proxy", f"{name}:{port}")):
        until(SECONDS, "node-r1", lambda: works(c))
        yield means


def test_a_proxy_that_moves_to_another_address_is_found_there(c):
    port = c.env["REMOTELER_PROXY"].rsplit(":", 1)[1]
    with found_by_name(c, ["127.0.0.1"]) as means:
        with otherwise(c, "proxy", edit=lambda argv: replace_flag(argv, "listen", f"127.0.0.7:{port}")):
            means("127.0.0.7")
            until(SECONDS, "node-r1 to have found it", lambda: online(c))
        means("127.0.0.1")
        until(SECONDS, "node-r1 to have found it again", lambda: works(c))
    until(SECONDS, "node-r1 as it was", lambda: works(c))


def online(c):
    return any(i["name"] == "node-r1" and i["status"] == "online"
               for i in c.tctl("inventory", "ls", "--format=json").check().json)


def test_two_proxies_each_killed_in_turn(c):
    port = int(c.env["REMOTELER_PROXY"].rsplit(":", 1)[1])
    with second(c, "proxy", ("listen",), public="listen") as twin:
        # the twin on the same port of another address, as behind one name
        end(twin.child)
        twin.argv = replace_flag(twin.argv, "listen", f"127.0.0.8:{port},127.0.0.1:{twin.ports['listen']}")
        twin.argv = replace_flag(twin.argv, "certificate-address", "127.0.0.1")
        twin.start()
        with found_by_name(c, ["127.0.0.1", "127.0.0.8"]):
            other = c.new_home("alice-other")
            c.tsh("login", "--user=alice", f"--proxy=127.0.0.1:{twin.ports['listen']}",
                  f"--password-file={c.password_file()}", f"--otp={c.totp()}", "--no-ssh-config", home=other).check()

            def works_by(home, node):
                return c.ssh("-o", "ConnectTimeout=2", node, "hostname", home=home, timeout=10).out == node + "\n"

            for home, kill_one, start_one in (
                (other, lambda: os.kill(pid_of(c, "proxy"), signal.SIGKILL), lambda: c.dev("start", "proxy").check()),
                (c.home, twin.kill, twin.start),
            ):
                until(SECONDS, "both nodes by both", lambda: all(
                    works_by(h, n) for h in (other, c.home) for n in ("node-a", "node-r1")))
                kill_one()
                for node in ("node-a", "node-r1"):
                    took = until(SECONDS, f"{node} by the other proxy", lambda node=node: works_by(home, node))
                    print(f"  {node} by the other proxy after {took:.1f} s")
                start_one()
    until(SECONDS, "node-r1 as it was", lambda: works(c))
