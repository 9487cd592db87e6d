"""A root with two leaves, whose nodes have one name; and what passes between a root and its leaf, looked at
where the root has it in clear."""

import atexit
import contextlib
import json
import pathlib
import subprocess
import sys
import time

from cluster import Cluster, Terminal, run, until
from clocks import asan
from respawn import free_port, otherwise
from test_10_trusted_clusters import clusters, dump, proxy_of, session, token, trust, works

NEEDS_LEAF = True
SECOND = "leaf-two"
HERE = pathlib.Path(__file__).parent


# ---- two leaves ----


def second_leaf(c):
    """Another whole cluster, that trusts the same root; with a node that is called as one of the leaf's."""
    two = Cluster(name=SECOND)
    c.two = two
    atexit.register(two.down)
    two.up()
    guest = c.leaf.tctl("get", "role/guest", "--format=json").check().json
    for document in guest:
        document["metadata"].pop("revision", None)
    two.tctl("create", "-f", "-", stdin=json.dumps(guest[0]).encode()).check()
    proxy = c.env["REMOTELER_PROXY"]
    two.tctl("create", "-f", "-", stdin=trust(c, "dev", token(c), proxy=proxy).encode()).check()
    node_token = two.tctl("tokens", "add", "--type=node", "--names=node-b", "--format=json").check().json["token"]
    listen = f"127.0.0.1:{free_port()}"
    program = f"hostname node-b-of-two && exec remoteler start --auth-server={two.env['REMOTELER_AUTH_SERVER']} " \
              f"--token={node_token} --ca-pin={two.env['REMOTELER_CA_PIN']} --nodename=node-b --listen={listen} " \
              f"--data-dir={two.dir}/node-b"
    with open(two.dir / "node-b.log", "wb") as log:
        two.node = subprocess.Popen(["unshare", "--uts", "sh", "-c", program], env=two.env, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)
    atexit.register(two.node.terminate)  # before the cluster goes
    until(30, "the second leaf to be online", lambda: clusters(c).get(SECOND, {}).get("status") == "online")
    until(30, "its node", lambda: c.ssh(f"node-b.{SECOND}", "true").code == 0)


def test_each_session_lands_at_the_leaf_that_is_named(c):
    second_leaf(c)
    assert {row["name"] for row in c.tsh("clusters", "--format=json").check().json} == {"dev", "leaf", SECOND}
    assert c.ssh("node-b.leaf", "hostname").check().out == "node-b\n"
    assert c.ssh(f"node-b.{SECOND}", "hostname").check().out == "node-b-of-two\n"
    assert c.tsh("ssh", f"--cluster={SECOND}", "node-b", "hostname").check().out == "node-b-of-two\n"
    assert c.tsh("ssh", "--cluster=leaf", "node-b", "hostname").check().out == "node-b\n"
    ids = {}
    for name in ("leaf", SECOND):
        nodes = {n["name"]: n for n in c.tsh("ls", f"--cluster={name}", "--format=json").check().json}
        assert all(n["cluster"] == name for n in nodes.values()), nodes
        ids[name] = nodes["node-b"]["id"]
        assert c.ssh(f"{ids[name]}.{name}", "true").code == 0
    # an id is of one cluster
    c.ssh(f"{ids['leaf']}.{SECOND}", "true").check(255)
    c.ssh(f"{ids[SECOND]}.leaf", "true").check(255)
    # and node-a is another in the root than in the second leaf
    node_a = {"": c.ssh("node-a", "cat /proc/sys/kernel/random/boot_id; readlink /proc/self/ns/uts").check().out,
              f".{SECOND}": c.ssh(f"node-a.{SECOND}",
                                  "cat /proc/sys/kernel/random/boot_id; readlink /proc/self/ns/uts").check().out}
    assert node_a[""] != node_a[f".{SECOND}"], node_a


def test_each_leafs_log_has_its_own_sessions_and_no_others(c):
    markers = {where: f"true in-{where}-{time.monotonic_ns()}" for where in ("leaf", SECOND)}
    for where, marker in markers.items():
        c.ssh(f"node-b.{where}", marker).check()
    for where, cluster in (("leaf", c.leaf), (SECOND, c.two)):
        said = cluster.wait_for_event(lambda e, m=markers[where]: e["command"] == m, "--type=session.command")
        assert (said["user"], said["user_cluster"], said["cluster"]) == ("alice", "dev", where), said
        others = [m for name, m in markers.items() if name != where]
        assert not [e for e in cluster.events() if e["command"] in others]


def test_a_leaf_and_its_sibling_are_nothing_to_each_other(c):
    """Neither is the other's root, nor reaches it through theirs."""
    assert {row["name"] for row in c.two.tsh("clusters", "--format=json", home=second_home(c)).check().json} == {SECOND}
    c.two.ssh("node-b.leaf", "true", home=second_home(c)).check(255)
    c.two.tsh("ls", "--cluster=leaf", home=second_home(c)).check(1)
    # nor does the root's user get from one to the other, or to an address there
    for target in (f"node-b.{SECOND}.leaf", "127.0.0.1.leaf", f"cluster/{SECOND}.leaf", "localhost.leaf"):
        refused = c.tsh("proxy", "ssh", f"{target}:22")
        assert refused.code != 0 and refused.out == "" and refused.err, (target, refused.code, refused.out)


def second_home(c):
    if c.two.tsh("status").code != 0:
        c.two.login().check()
    return c.two.home


def test_one_leaf_that_is_off_takes_nothing_from_the_other(c):
    with session(c) as s:
        c.two.tctl("rm", "trusted_cluster/dev").check()
        until(15, "the root to have forgotten it", lambda: SECOND not in clusters(c))
        assert works(c)
        s.says("as before")
    c.ssh(f"node-b.{SECOND}", "true").check(255)


def test_a_name_that_has_become_free_is_anothers_to_take(c):
    """It is the same cluster that comes back here; a name is held by authorities, not by a word."""
    proxy = c.env["REMOTELER_PROXY"]
    c.two.tctl("create", "-f", "-", stdin=trust(c, "dev", token(c), proxy=proxy).encode()).check()
    until(30, "it to be back", lambda: clusters(c).get(SECOND, {}).get("status") == "online")
    assert c.ssh(f"node-b.{SECOND}", "hostname").check().out == "node-b-of-two\n"


def certificate_of(c):
    """That its auth shows."""
    shown = run([*c.enter, "openssl", "s_client", "-connect", c.env["REMOTELER_AUTH_SERVER"], "-alpn", "h2",
                 "-servername", "auth.remoteler.internal"], env=c.env, stdin=b"").out
    return shown[shown.index("-----BEGIN CERT"):shown.index("-----END CERT")]


def dialled(c):
    """The proxy's connections to the broker, by their ports."""
    port = next(line.split("=")[1] for line in (c.run_dir / "ports").read_text().split() if line.startswith("PORT_broker="))
    return set(run(["ss", "-tnH", "state", "established", f"( dport = :{port} )"]).check().out.split()[2::4])


def test_nothing_is_made_anew_within_a_cluster_when_another_changes(c):
    """Each change of a root's policy is one; and so is each leaf that comes or goes."""
    c.ssh("node-r1", "true").check()
    before, open_before = [certificate_of(c), certificate_of(c.leaf)], dialled(c)
    assert open_before
    lock = c.tctl("lock", "--user=nobody-at-all", "--ttl=1m", "--format=json").check().json["id"]
    until(10, "the leaf to have taken it over",
          lambda: f"dev/{lock}" in [row["id"] for row in c.leaf.tctl("locks", "ls", "--format=json").check().json])
    c.two.tctl("rm", "trusted_cluster/dev").check()
    until(15, "the root to have forgotten it", lambda: SECOND not in clusters(c))
    c.ssh("node-r1", "true").check()
    assert [certificate_of(c), certificate_of(c.leaf)] == before
    assert dialled(c) >= open_before, (dialled(c), open_before)
    c.tctl("locks", "rm", lock).check()


# ---- what passes through the root, in clear ----


@contextlib.contextmanager
def tapped(c, name):
    """A process of the root, with tls_tap.c between it and OpenSSL; the file with what it says and hears."""
    library, heard = c.dir / "tls_tap.so", c.dir / f"heard-{name}"
    if not library.exists():
        run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "tls_tap.c"]).check()
    env = {"LD_PRELOAD": ":".join([*asan(), str(library)]), "TLS_TAP": str(heard)}
    with otherwise(c, name, env=env):
        yield heard


def forms(secret):
    """As it may be written in a message or in a column."""
    return {form.encode() for form in (secret, secret.replace("-", ""), secret.encode().hex())}


def test_nothing_of_a_session_is_in_clear_at_the_root_nor_kept_there(c):
    """The link is TLS and what is in it is SSH: that a capture of it shows no word proves little. So it is looked at
    inside the root's own TLS, at both that carry it; and all that the root keeps is searched."""
    said, command = f"confidential{time.monotonic_ns()}", f"true secret-{time.monotonic_ns()}"
    with tapped(c, "broker") as by_broker, tapped(c, "proxy") as by_proxy:
        until(30, "sessions in the leaf", lambda: works(c) and works(c, "node-rb"))
        for node in ("node-b", "node-rb"):
            t = Terminal(["ssh", "-F", c.ssh_config(), "-tt", f"{node}.leaf"], dict(c.env, TERM="xterm"))
            t.send(f"echo {said}; exit\n")
            t.expect(said)
            t.wait()
            c.ssh(f"{node}.leaf", command).check()
        ended = c.leaf.wait_for_event(lambda e: e["command"] == command and e["resource"]["name"] == "node-rb",
                                      "--type=session.command")
        c.leaf.wait_for_event(lambda e: e["session_id"] == ended["session_id"], "--type=session.end")
        in_clear = by_broker.read_bytes() + by_proxy.read_bytes()
    kept = dump(c).encode()
    # the taps heard what there is to hear
    assert b"cluster/leaf/" in in_clear and ended["root_session_id"].encode() in in_clear
    assert b"node-rb" in in_clear, "the name that is asked for passes the root's proxy"
    assert ended["root_session_id"].encode() in kept, "the dial is in the root's log"
    for secret in (said, command, ended["session_id"]):
        for form in forms(secret):
            assert form not in in_clear, f"{form} passes the root in clear"
            assert form not in kept, f"{form} is in the root's database"
    for event in ("session.start", "session.command", "session.end"):
        assert event.encode() not in in_clear, f"an event {event} passes the root"
    recorded = [e for e in c.events(f"--session={ended['root_session_id']}")]
    assert {e["type"] for e in recorded} == {"proxy.dial"} and "node-rb" not in json.dumps(recorded), recorded


# ---- a way out through an HTTP proxy ----


@contextlib.contextmanager
def http_proxy(c):
    """In the leaf's network; its URL, and what it was asked for."""
    log, port_file = c.dir / "connects", c.dir / "connects.port"
    with subprocess.Popen([*c.leaf.enter, sys.executable, HERE / "connect_proxy.py", port_file, log]) as process:
        try:
            until(10, "the HTTP proxy", lambda: port_file.exists() and port_file.read_text())
            yield f"http://127.0.0.1:{port_file.read_text()}", log
        finally:
            process.terminate()


def test_a_leaf_reaches_its_root_through_an_http_proxy(c):
    """Both that call the root: its auth, to establish and end trust, and its broker."""
    root = proxy_of(c)
    with http_proxy(c) as (url, log):
        env = {"HTTPS_PROXY": url, "NO_PROXY": ""}
        with otherwise(c.leaf, "auth", env=env):
            c.leaf.tctl("rm", "trusted_cluster/dev").check()
            until(15, "the root to have heard of it", lambda: "leaf" not in clusters(c))
            c.leaf.apply(trust(c, "dev", token(c), proxy=root)).check()
            by_auth = log.read_text().split()
            assert by_auth and set(by_auth) == {root}, by_auth
            with otherwise(c.leaf, "broker", env=env):
                until(30, "the leaf to be back", lambda: clusters(c).get("leaf", {}).get("status") == "online")
                until(10, "sessions there", lambda: works(c) and works(c, "node-rb"))
                assert len(log.read_text().split()) > len(by_auth), "the broker went past the proxy"
                assert set(log.read_text().split()) == {root}
    until(30, "the leaf as it was", lambda: works(c))
