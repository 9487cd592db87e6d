"""A root, and a leaf behind NAT that trusts it: sessions across, whose rights count, what each one's log
has, and what ends it."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import time

from cluster import Failed, Skip, Terminal, run, until
from test_8_rotation import GRACE, PHASES, become_admin_anew

NEEDS_LEAF = True
NODES = ("node-b", "node-rb")
NOBODYS = "01234567-0123-4123-8123-0123456789ab"


def clusters(c, home=None):
    return {row["name"]: row for row in c.tsh("clusters", "--format=json", home=home).check().json}


def works(c, node="node-b", home=None):
    """Whether a session there begins now."""
    return c.ssh("-o", "ConnectTimeout=5", f"{node}.leaf", "hostname", home=home, timeout=20).out == node + "\n"


def link_map(role_map, enabled=True):
    """The leaf's document about its root, which has the token already."""
    entries = "".join(f"\n    - {{remote: {json.dumps(remote)}, local: {json.dumps(local)}}}" for remote, local in role_map)
    return f"""
kind: trusted_cluster
version: v1
metadata: {{name: dev}}
spec:
  enabled: {str(enabled).lower()}
  token: <redacted>
  proxy: "{{proxy}}"
  role_map: {entries or "[]"}
"""


def set_link(c, role_map=(("access", ["guest"]),), enabled=True):
    document = link_map(role_map, enabled).replace("{proxy}", proxy_of(c))
    c.leaf.apply(document).check()


def proxy_of(c):
    """The root's, as the leaf reaches it."""
    return c.leaf.tctl("get", "trusted_cluster/dev", "--format=json").check().json[0]["spec"]["proxy"]


@contextlib.contextmanager
def link(c, *args, **kwargs):
    """The link otherwise, for a while."""
    set_link(c, *args, **kwargs)
    try:
        yield
    finally:
        set_link(c)
        until(30, "the leaf as it was", lambda: works(c))


class Open:
    """A session that lasts: a shell that answers."""

    def __init__(self, c, node="node-b", home=None, enter=()):
        argv = [*enter, "ssh", "-F", c.ssh_config(home), "-o", "BatchMode=yes", "-T", node if "." in node else f"{node}.leaf", "sh"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=c.env)
        self.says("begun")

    def says(self, word):
        self.process.stdin.write(f"echo {word}\n".encode())
        self.process.stdin.flush()
        said = self.process.stdout.readline().decode()
        if said != word + "\n":
            raise Failed(f"the session said {said!r}, not {word}: {self.process.stderr.read()!r}")

    def ends(self, seconds):
        start = time.monotonic()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"the session goes on after {seconds} s") from None
        return time.monotonic() - start

    def close(self):
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def session(c, *args, **kwargs):
    s = Open(c, *args, **kwargs)
    try:
        yield s
    finally:
        s.close()


# ---- what a user of the root has ----


def a_user(c, name, **how):
    """Of her own for a test: nobody waits for alice's next code. Logged in; her home."""
    c.make_user(name, **how)
    home = c.new_home(name)
    c.login(name, home).check()
    return home


def test_clusters_are_listed_with_their_last_heartbeats(c):
    c.expiring, c.expires_at = token(c, "--ttl=1m"), time.monotonic() + 61
    rows = clusters(c)
    assert set(rows) == {"dev", "leaf"}, rows
    assert (rows["dev"]["type"], rows["dev"]["status"], rows["dev"]["selected"]) == ("root", "online", True), rows
    assert (rows["leaf"]["type"], rows["leaf"]["status"], rows["leaf"]["selected"]) == ("leaf", "online", False), rows
    assert rows["leaf"]["last_seen"], rows


def test_a_leafs_nodes_are_listed_by_its_own_auth(c):
    nodes = {n["name"]: n for n in c.tsh("ls", "--cluster=leaf", "--format=json").check().json}
    assert set(nodes) == set(NODES), nodes
    assert (nodes["node-b"]["mode"], nodes["node-rb"]["mode"]) == ("direct", "tunnel"), nodes
    for node in nodes.values():
        assert node["cluster"] == "leaf" and node["status"] == "online" and "root" in node["logins"], node
    named = c.tsh("ls", "--cluster=leaf", "--format=json", "site=edge").check().json
    assert [n["name"] for n in named] == ["node-rb"], named


def test_plain_ssh_reaches_a_direct_and_a_tunnelled_node_of_the_leaf(c):
    for node in NODES:
        assert c.ssh(f"{node}.leaf", "hostname").check().out == node + "\n"
    node = next(n for n in c.tsh("ls", "--cluster=leaf", "--format=json").check().json if n["name"] == "node-rb")
    assert c.ssh(f"{node['id']}.leaf", "hostname").check().out == "node-rb\n"
    assert c.ssh("node-r1", "hostname").check().out == "node-r1\n"


def test_tsh_reaches_them_by_flag_name_label_and_choice(c):
    assert c.tsh("ssh", "--cluster=leaf", "node-b", "hostname").check().out == "node-b\n"
    assert c.tsh("ssh", "node-rb.leaf", "hostname").check().out == "node-rb\n"
    assert c.tsh("ssh", "--cluster=leaf", "site=edge", "hostname").check().out == "node-rb\n"
    assert c.tsh("ssh", "node-b", "exit 7", env={"TSH_CLUSTER": "leaf"}).check(7)
    # what is selected is what commands mean; plain ssh knows names of the root as before
    c.make_user("sela")
    home = c.new_home("sela")
    c.login("sela", home, "leaf").check()
    assert clusters(c, home)["leaf"]["selected"]
    assert c.tsh("ssh", "node-rb", "hostname", home=home).check().out == "node-rb\n"
    assert {n["name"] for n in c.tsh("ls", "--format=json", home=home).check().json} == set(NODES)
    assert c.ssh("node-a", "hostname", home=home).check().out == "node-a\n"
    block = c.tsh("config", "--cluster=leaf").check().out
    assert "Host *.leaf " in block and "node-a" not in block, block


def test_files_go_there_and_back(c):
    sent, got = c.dir / "sent", c.dir / "got"
    sent.write_bytes(os.urandom(3 << 20))
    wanted = hashlib.sha256(sent.read_bytes()).hexdigest()
    for node in NODES:
        there = f"{c.dir}/there-{node}"
        run(["scp", "-F", c.ssh_config(), "-o", "BatchMode=yes", sent, f"{node}.leaf:{there}"], env=c.env).check()
        assert c.ssh(f"{node}.leaf", f"sha256sum {there}").check().out.split()[0] == wanted
        run(["rsync", "-e", f"ssh -F {c.ssh_config()} -o BatchMode=yes", f"{node}.leaf:{there}", got], env=c.env).check()
        assert hashlib.sha256(got.read_bytes()).hexdigest() == wanted


def test_what_is_not_there_is_said_with_the_cluster(c):
    refused = c.tsh("ssh", "--cluster=leaf", "node-x", "true").check(4)
    assert 'no such node "node-x"' in refused.err, refused.err
    refused = c.ssh("node-x.leaf", "true").check(255)
    assert "node-x" in refused.err and "leaf" in refused.err, refused.err
    refused = c.tsh("ls", "--cluster=nowhere").check(1)
    assert 'no such cluster "nowhere"' in refused.err, refused.err
    refused = c.tsh("proxy", "ssh", "node-b.nowhere:22").check(1)
    assert "nowhere" in refused.err, refused.err
    # the root's nodes are not the leaf's, nor the other way round
    c.ssh("node-a.leaf", "true").check(255)
    c.ssh("node-b.dev", "true").check(255)


def test_a_login_that_the_leafs_role_does_not_give_is_refused_there(c):
    refused = c.ssh("nobody@node-b.leaf", "id").check(255)
    assert 'role(s) guest do not allow login "nobody"' in refused.err, refused.err


# ---- the two of them, as ./dev makes them ----


def test_a_second_up_with_a_leaf_changes_nothing_and_succeeds(c):
    before = [(p["name"], p["pid"]) for p in c.dev("ps", "--format=json").check().json]
    assert {"leaf-auth", "leaf-postgres", "node-b", "node-rb"} <= {name for name, _ in before}, before
    c.dev("up", "--with-leaf").check()
    assert [(p["name"], p["pid"]) for p in c.dev("ps", "--format=json").check().json] == before


def test_the_leaf_reaches_the_roots_public_port_and_nothing_else(c):
    if not c.netns:
        raise Skip("no network namespace here")
    host, port = proxy_of(c).rsplit(":", 1)
    others = [str(c.process(name)["ports"]["main"]) for name in ("auth", "postgres", "node-a")]
    for each in [port, "22", *others]:
        reached = c.leaf.in_network("timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{each}").code == 0
        assert reached == (each == port), (each, reached)


# ---- logs ----


def test_the_leafs_log_has_the_session_and_the_roots_that_she_dialled(c):
    marker = f"true on-the-record-{time.monotonic_ns()}"
    c.ssh("node-rb.leaf", marker).check()
    said = c.leaf.wait_for_event(lambda e: e["command"] == marker, "--type=session.command")
    assert said["user"] == "alice" and said["login"] == "root" and said["resource"]["name"] == "node-rb", said
    whole = [e for e in c.leaf.events(f"--session={said['session_id']}")]
    c.leaf.wait_for_event(lambda e: e["session_id"] == said["session_id"], "--type=session.end")
    assert {"session.start", "session.command"} <= {e["type"] for e in whole}, whole
    for event in whole:
        assert event["user"] == "alice" and event["root_session_id"], event
    root_session = said["root_session_id"]
    assert root_session != said["session_id"], said
    at_root = c.events(f"--session={root_session}")
    assert {e["type"] for e in at_root} == {"proxy.dial"}, at_root
    assert at_root[0]["user"] == "alice" and "leaf" in json.dumps(at_root[0]["resource"]), at_root
    assert not [e for e in c.events() if e["command"] == marker or e["session_id"] == said["session_id"]]


def dump(c):
    """All that the root's database holds, as text; what is stored in bytes is in hexadecimal."""
    port = next(line.split("=")[1] for line in (c.run_dir / "ports").read_text().split() if line.startswith("PORT_postgres="))
    env = dict(c.env, PGPASSWORD=(c.run_dir / "keys" / "postgres_password").read_text().strip())
    return run(["pg_dump", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "--data-only", "remoteler"], env=env).check().out


def test_nothing_of_the_leaf_is_in_the_roots_database(c):
    marker = f"confidential{time.monotonic_ns()}"
    t = Terminal(["ssh", "-F", c.ssh_config(), "-tt", "node-b.leaf"], dict(c.env, TERM="xterm"))
    t.send(f"echo {marker}; exit\n")
    t.expect(marker)
    t.wait()
    ended = c.leaf.wait_for_event(lambda e: e["user"] == "alice" and e["resource"]["name"] == "node-b", "--type=session.end")
    text = dump(c).lower()
    node = next(n for n in c.tsh("ls", "--cluster=leaf", "--format=json").check().json if n["name"] == "node-rb")
    for secret in (marker, ended["session_id"], node["id"]):
        for form in (secret, secret.encode().hex(), secret.replace("-", "")):
            assert form not in text, f"{form} is in the root's database"


def bytes_on_link(c):
    stats = run(["ip", "-s", "-j", "-n", c.router, "link", "show", "dev", "leaf"]).check().json[0]["stats64"]
    return stats["rx"]["bytes"] + stats["tx"]["bytes"]


def leafs_own_login(c):
    """As bob, of the leaf, at the leaf's own proxy."""
    if c.leaf.tsh("status").code != 0:
        c.leaf.login("bob", c.leaf.home).check()
    return c.leaf.home


def test_what_is_recorded_in_the_leaf_stays_off_the_link(c):
    if not c.netns:
        raise Skip("no network namespace here")
    leafs_own_login(c)
    before = bytes_on_link(c)
    t = Terminal([*c.leaf.enter, "ssh", "-F", c.leaf.ssh_config(), "-tt", "node-rb"], dict(c.leaf.env, TERM="xterm"))
    t.send("head -c 3000000 /dev/urandom | base64 -w 120; echo all-se''nt; exit\n")
    t.expect("all-sent", 40)
    t.wait()
    c.leaf.wait_for_event(lambda e: e["user"] == "bob", "--type=session.upload", seconds=20)
    carried = bytes_on_link(c) - before
    assert carried < 100_000, f"{carried} bytes went over the link"


def recorded(c, marker):
    t = Terminal(["ssh", "-F", c.ssh_config(), "-tt", "node-rb.leaf"], dict(c.env, TERM="xterm"))
    t.send(f"echo {marker}; exit\n")
    t.expect(marker)
    t.wait()
    ids = set()

    def found():
        for r in c.tsh("recordings", "ls", "--cluster=leaf", "--format=json").check().json:
            if r["status"] == "complete" and r["node_name"] == "node-rb" and r["interactive"]:
                if marker in c.tsh("play", "--cluster=leaf", r["session_id"], "--format=text").out:
                    ids.add(r["session_id"])
        return ids

    until(20, "the recording in the leaf", found)
    return ids.pop()


def test_a_recording_is_played_by_who_has_a_role_of_the_leaf_for_it(c):
    marker = f"played-{time.monotonic_ns()}"
    recording = recorded(c, marker)
    assert recording not in json.dumps(c.tsh("recordings", "ls", "--format=json").check().json)
    # the leaf's own auditor
    leafs_own_login(c)
    assert marker in c.leaf.tsh("play", recording, "--format=text").check().out
    # a user of the root who has no part in it, and an auditor of the root
    homes = {"rita": a_user(c, "rita"), "odin": a_user(c, "odin", roles="auditor", logins="")}
    for home in homes.values():
        refused = c.tsh("play", "--cluster=leaf", recording, "--format=text", home=home)
        assert refused.code != 0 and marker not in refused.out, refused.out
    with link(c, [("access", ["guest"]), ("auditor", ["auditor"])]):
        played = until_ok(10, lambda: c.tsh("play", "--cluster=leaf", recording, "--format=text", home=homes["odin"]))
        assert marker in played.out, played.out
    refused = c.tsh("play", "--cluster=leaf", recording, "--format=text", home=homes["odin"])
    assert refused.code != 0 and marker not in refused.out, refused.out


def until_ok(seconds, ask):
    """The first answer that worked."""
    kept = []

    def once():
        kept[:] = [ask()]
        return kept[0].code == 0

    try:
        until(seconds, "it to work", once)
    except Failed:
        kept[0].check()
    return kept[0]


# ---- the leaf's terms ----


def test_a_change_of_the_role_map_counts_at_once(c):
    with session(c) as s:
        with link(c, [("nobody-has-this", ["guest"])]):
            took = until(10, "a new session to be refused", lambda: c.ssh("node-b.leaf", "true").code != 0)
            print(f"  refused after {took:.1f} s")
            refused = c.ssh("node-b.leaf", "true").check(255)
            assert "leaf" in refused.err, refused.err
            listed = c.tsh("ls", "--cluster=leaf", "--format=json")
            assert listed.code == 4 or listed.json == [], (listed.code, listed.out, listed.err)
            s.ends(15)
    c.leaf.apply(ROLE % ("root-access", "[root]", '["dev"]')).check()
    with link(c, [("^(a.*)$", ["root-$1"])]):
        until(10, "a captured name to count", lambda: c.ssh("node-b.leaf", "true").code == 0)
        c.leaf.apply(ROLE % ("root-access", "[root]", "[]")).check()
        until(10, "a role that does not allow it to count no longer", lambda: c.ssh("node-b.leaf", "true").code != 0)


ROLE = """
kind: role
version: v1
metadata: {name: %s}
spec:
  allow: {logins: %s, node_labels: {"*": "*"}}
  assignable_by: %s
"""


def test_a_role_of_the_root_counts_as_the_map_says_and_not_by_its_name(c):
    """The leaf has a role that is called as the root's, and that gives nothing to a user of the root."""
    with link(c, [("auditor", ["access"])]):
        until(10, "her role to count no longer", lambda: c.ssh("node-b.leaf", "true").code != 0)


def test_a_role_map_that_can_not_be_is_refused(c):
    for role_map in ([("^(a+)+$", ["$1", "$2"])], [("^(unclosed$", ["guest"])], [("x" * 300, ["guest"])]):
        refused = c.leaf.apply(link_map(role_map).replace("{proxy}", proxy_of(c)))
        assert refused.code == 1 and refused.err, (role_map, refused.out, refused.err)
    # one that would take for ever matches nobody, and in time
    with link(c, [("^(([a-z])+.)+[A-Z]([a-z])+$", ["guest"])]):
        start = time.monotonic()
        until(10, "it to match nobody", lambda: c.ssh("node-b.leaf", "true").code != 0)
        assert time.monotonic() - start < 10


def test_a_leaf_that_is_not_enabled_is_cut_off_and_comes_back(c):
    words = "the users of cluster dev are not, or no longer, trusted here"
    with session(c, "node-b") as at_direct, session(c, "node-rb") as at_tunnelled:
        begun = {e["session_id"] for e in c.leaf.events("--type=session.end")}
        with link(c, enabled=False):
            took = max(s.ends(10) for s in (at_direct, at_tunnelled))
            print(f"  ended after {took:.1f} s")
            assert took <= 2, took
            for s in (at_direct, at_tunnelled):
                said = s.process.stderr.read().decode()
                assert words in said, said
            for node in NODES:
                c.leaf.wait_for_event(lambda e, node=node: e["resource"]["name"] == node and words in (e["reason"] or "")
                                      and e["session_id"] not in begun, "--type=session.end")
            until(30, "the leaf to be offline", lambda: clusters(c)["leaf"]["status"] == "offline")
            refused = c.ssh("node-b.leaf", "true").check(255)
            assert "leaf" in refused.err and "offline since" in refused.err, refused.err
            start = time.monotonic()
            c.login().check()
            assert time.monotonic() - start < 10
            c.ssh("node-r1", "true").check()
        until(10, "the leaf to be online", lambda: clusters(c)["leaf"]["status"] == "online")


def test_a_lock_at_the_root_ends_the_users_session_in_the_leaf(c):
    home = a_user(c, "lucy")
    with session(c, "node-rb", home=home) as s:
        lock = c.tctl("lock", "--user=lucy", "--message=gone", "--format=json")
        lock.check()
        took = s.ends(20)
        print(f"  ended after {took:.1f} s")
    refused = c.ssh("node-rb.leaf", "true", home=home).check(255)
    assert refused.err, refused
    made = lock.json
    assert made["origin"] is None, made
    shown = [row for row in locks_of(c.leaf) if row["origin"]]
    assert [(row["id"], row["origin"], row["target"]["name"], row["message"]) for row in shown] == [
        (f"dev/{made['id']}", "dev", "lucy", "gone")], shown
    refused = c.leaf.tctl("locks", "rm", shown[0]["id"]).check(1)
    assert "is taken back there" in refused.err, refused.err
    assert "lucy" not in c.leaf.tctl("get", "lock").check().out, "what get prints is what create -f would make"
    for row in locks_of(c):
        c.tctl("locks", "rm", row["id"]).check()
    until(10, "the leaf to know", lambda: not [row for row in locks_of(c.leaf) if row["origin"]])


def locks_of(c):
    return c.tctl("locks", "ls", "--format=json").check().json


def test_a_leaf_that_her_roles_do_not_name_is_not_there(c):
    c.tctl("create", "-f", "-", stdin=b"""
kind: role
version: v1
metadata: {name: inland}
spec:
  allow: {logins: ["{{internal.logins}}"], node_labels: {"*": "*"}, cluster_labels: {}}
""").check()
    home = a_user(c, "irma", roles="inland")
    assert set(clusters(c, home)) == {"dev"}
    hidden = c.tsh("proxy", "ssh", "node-b.leaf:22", home=home)
    absent = c.tsh("proxy", "ssh", "node-b.nowhere:22", home=home)
    assert hidden.code == absent.code != 0, (hidden.code, absent.code)
    assert hidden.err.replace("leaf", "X") == absent.err.replace("nowhere", "X"), (hidden.err, absent.err)


# ---- one direction ----


def test_a_user_of_the_leaf_sees_nothing_of_the_root(c):
    home = leafs_own_login(c)
    assert set(clusters(c.leaf, home)) == {"leaf"}
    assert c.leaf.ssh("node-b", "hostname", home=home).check().out == "node-b\n"
    c.leaf.ssh("node-a.dev", "true", home=home).check(255)
    c.leaf.tsh("ls", "--cluster=dev", home=home).check(1)


def test_a_user_with_both_has_both(c):
    home = c.new_home("both")
    root = c.env["REMOTELER_PROXY"].rsplit(":", 1)
    if c.leaf.enter:
        root[0] = proxy_of(c).rsplit(":", 1)[0]
    c.make_user("bea")
    at_root = [f"--proxy={':'.join(root)}", "--user=bea", f"--password-file={c.password_file('bea')}",
               f"--ca-pin={c.env['REMOTELER_CA_PIN']}", "--no-ssh-config"]
    c.leaf.login("bob", home).check()
    c.leaf.tsh("login", *at_root, f"--otp={c.totp('bea')}", home=home).check()
    own = f"--proxy={c.leaf.env['REMOTELER_PROXY']}"
    assert c.leaf.tsh("status", own, "--format=json", home=home).check().json["user"] == "bob"
    assert c.leaf.tsh("status", "--format=json", home=home).check().json["user"] == "bea"
    assert c.leaf.ssh("node-b", "hostname", home=home).check().out == "node-b\n"  # only the leaf lists that name
    assert c.leaf.ssh("node-a", "hostname", home=home).check().out == "node-a\n"
    marker = f"true both-{time.monotonic_ns()}"
    c.leaf.ssh("node-b.leaf", marker, home=home).check()
    event = c.leaf.wait_for_event(lambda e: e["command"] == marker, "--type=session.command")
    assert event["user"] == "bea" and event["root_session_id"], event


# ---- authorities ----


def test_the_users_authorities_rotate_at_the_root(c):
    """Until the old authority is gone its certificates count in the leaf; then they do not, nor do the
    sessions that began with one."""
    old = a_user(c, "olga")
    with session(c, "node-rb", home=old) as s:
        for phase in PHASES:
            if phase == "standby":
                s.says("before the end")
                become_admin_anew(c)
            c.tctl("auth", "rotate", "--type=user", f"--phase={phase}", GRACE).check()
            if phase == "update_servers":
                c.login().check()
            took = until(20, f"the leaf to know of {phase}", lambda: works(c) and works(c, "node-rb"))
            print(f"  {phase} after {took:.1f} s")
        s.ends(20)
    assert c.ssh("node-rb.leaf", "true", home=old).code == 255


def test_the_hosts_authorities_rotate_in_the_leaf(c):
    before = known_hosts(c)
    with session(c, "node-rb") as s:
        for phase in PHASES:
            c.leaf.tctl("auth", "rotate", "--type=host", f"--phase={phase}", GRACE).check()
            s.says(phase)
            until(30, f"sessions after {phase}", lambda: works(c) and works(c, "node-rb"))
        s.says("after")
    own = [line for line in before.splitlines() if "*.leaf" in line]
    assert own

    def is_forgotten():  # the leaf tells its root as soon as it can
        c.tsh("clusters").check()
        return not [line for line in own if line in known_hosts(c)]

    until(20, "the old authority to be forgotten", is_forgotten)


# ---- tokens, names, loops ----


def token(c, *flags):
    return c.tctl("tokens", "add", "--type=trusted_cluster", "--format=json", *flags).check().json["token"]


def trust(c, name, secret, **spec):
    proxy = spec.get("proxy") or proxy_of(c)
    return f"""
kind: trusted_cluster
version: v1
metadata: {{name: {name}}}
spec:
  enabled: true
  token: "{secret}"
  proxy: "{proxy}"
  role_map: [{{remote: access, local: [guest]}}]
"""


def test_a_token_of_another_kind_or_expired_or_of_another_cluster_is_refused(c):
    node = c.tctl("tokens", "add", "--type=node", "--format=json").check().json["token"]
    pin = c.env["REMOTELER_CA_PIN"]
    time.sleep(max(c.expires_at - time.monotonic(), 0))  # mostly over by now
    refusals = {f"{node}@{pin}": "is for node", c.expiring: "expired", f"nonsense@{pin}": "not a token", "nonsense": "",
                token(c).replace(pin, "sha256:" + "0" * 64): ""}
    for secret, words in refusals.items():
        refused = c.leaf.apply(trust(c, "dev", secret))
        assert refused.code != 0 and refused.err and words in refused.err, (words, refused.err)
        assert secret not in refused.err, refused.err
    refused = c.leaf.apply(trust(c, "dev-2", token(c)))
    assert refused.code != 0 and "dev-2" in refused.err, refused.err
    assert works(c), "the trust that is there is not touched"


def test_a_cluster_trusts_neither_itself_nor_one_that_trusts_it(c):
    refused = c.tctl("create", "-f", "-", stdin=trust(c, "dev", token(c), proxy=c.env["REMOTELER_PROXY"]).encode())
    assert refused.code != 0 and "dev" in refused.err, refused.err
    back = c.leaf.tctl("tokens", "add", "--type=trusted_cluster", "--format=json").check().json["token"]
    refused = c.tctl("create", "-f", "-", stdin=trust(c, "leaf", back, proxy=c.leaf.env["REMOTELER_PROXY"]).encode())
    assert refused.code != 0 and "leaf" in refused.err, refused.err


# ---- the end ----


def test_a_leaf_that_leaves_is_forgotten_and_may_come_back(c):
    proxy = proxy_of(c)
    with session(c) as s:
        c.leaf.tctl("rm", "trusted_cluster/dev").check()
        s.ends(15)
    until(15, "the root to have forgotten it", lambda: set(clusters(c)) == {"dev"})
    refused = c.ssh("node-b.leaf", "true").check(255)
    assert refused.err, refused
    assert "@cert-authority *.leaf" not in known_hosts(c)
    used = come_back(c, proxy)
    c.leaf.tctl("rm", "trusted_cluster/dev").check()
    until(15, "the root to have forgotten it", lambda: set(clusters(c)) == {"dev"})
    refused = c.leaf.apply(used)
    assert refused.code != 0 and "used up" in refused.err, refused.err
    come_back(c, proxy)


def come_back(c, proxy):
    """With a token that is good once."""
    document = trust(c, "dev", token(c), proxy=proxy)
    c.leaf.apply(document).check()
    until(30, "the leaf to be back", lambda: clusters(c).get("leaf", {}).get("status") == "online")
    until(10, "a session", lambda: works(c))
    return document


def known_hosts(c, home=None):
    return "".join(p.read_text() for p in (home or c.home).glob("profiles/*/known_hosts"))


def test_a_root_that_removes_a_leaf_ends_it_on_both_sides(c):
    proxy = proxy_of(c)
    with session(c) as s:
        c.tctl("rm", "remote_cluster/leaf").check()
        s.ends(15)
    assert set(clusters(c)) == {"dev"}
    until(30, "the leaf to have forgotten the root", lambda: c.leaf.tctl("get", "trusted_cluster/dev").code != 0)
    come_back(c, proxy)
