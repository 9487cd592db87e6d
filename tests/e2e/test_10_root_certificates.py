"""A certificate of the root, shown at the leaf itself: it gets there what it gets through the root, and no more."""

import json
import re
import subprocess
import sys
import time

import strangers
from cluster import ROOT, run, until

NEEDS_LEAF = True
SNI = "proxy.leaf.remoteler.internal"
DENIED = 7


def alice(c):
    """Of the root."""
    return strangers.user_of(c, c.home)


def bob(c):
    """Of the leaf."""
    home = c.leaf.home
    if not (home / "profiles").exists():
        c.leaf.login("bob", home).check()
    return strangers.user_of(c, home)


def proxy_command(at, sni, holder, target):
    program = ROOT / "tests/e2e/as_holder.py"
    return [*at.enter, sys.executable, program, at.env["REMOTELER_PROXY"], sni, holder.certificate, holder.key, target]


def direct(c, node, *command, login=None, home=None):
    """Stock ssh with the root's key and certificate (alice's, or of that home), by the leaf's own proxy."""
    via = " ".join(map(str, proxy_command(c.leaf, SNI, strangers.user_of(c, home or c.home), node)))
    flags = ["-l", login] if login else []
    return c.ssh("-o", f"ProxyCommand={via}", *flags, f"{node}.leaf", *command, home=home)


def calls(c, at, cluster, service, names, holder):
    """As strangers.call_all, where the cluster is."""
    host, port = strangers.address_of(at.env["REMOTELER_PROXY"])
    sni = f"{service}.{cluster}.remoteler.internal"
    args = [*at.enter, "curl", "-sk", "--http2", "--max-time", "20", "--resolve", f"{sni}:{port}:{host}"]
    args += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-X", "POST", *holder.curl_flags]
    args += ["-D", "-", "-w", "\nend %{url}\n"]
    for name in names:
        args += ["-o", "/dev/null", f"https://{sni}:{port}/remoteler.v1.{name}"]
    answers = {}
    for part, name in re.findall(r"(.*?)\nend https://.*?/remoteler.v1.(\S+)\n", run(args, timeout=40).out, re.S):
        status = re.search(r"^grpc-status: (\d+)", part, re.M | re.I)
        answers[name] = int(status[1]) if status else None
    assert set(answers) == set(names), (answers, names)
    return answers


def methods(*services):
    return [n for n in strangers.method_names() if n.split("/")[0] in services]


def set_link(c, enabled, role_map):
    spec = c.leaf.tctl("get", "trusted_cluster/dev", "--format=json").check().json[0]
    spec["spec"].update(enabled=enabled, role_map=role_map)
    for shown in ("status", "last_seen"):
        spec["spec"].pop(shown, None)
    c.leaf.apply(json.dumps(spec)).check()


MAP = [{"remote": "access", "local": ["guest"]}]


def test_a_certificate_of_the_root_reaches_the_leafs_nodes_by_the_leafs_own_proxy(c):
    for node in ("node-b", "node-rb"):
        marker = f"hostname; true direct-{time.monotonic_ns()}"
        assert direct(c, node, marker).check().out == f"{node}\n"
        event = c.leaf.wait_for_event(lambda e: e["command"] == marker, "--type=session.start")
        assert (event["user"], event["user_cluster"], event["cluster"]) == ("alice", "dev", "leaf"), event
        assert event["root_session_id"] is None and "client_address_by" not in event["details"], event


def test_it_has_the_same_logins_and_no_others_there(c):
    refused = direct(c, "node-b", "true", login="nobody").check(255)
    assert "do not allow login" in refused.err, refused.err
    through = c.ssh("-l", "nobody", "node-b.leaf", "true").check(255)
    assert "do not allow login" in through.err, through.err


def test_what_is_not_there_is_not_there(c):
    refused = direct(c, "node-nowhere", "true").check(255)
    assert "no such node" in refused.err, refused.err


def test_it_calls_what_a_user_of_a_root_may_and_nothing_that_administrates(c):
    holder = alice(c)
    admin = calls(c, c.leaf, "leaf", "auth", methods("Admin"), holder)
    assert set(admin.values()) == {DENIED}, admin
    session = calls(c, c.leaf, "leaf", "auth", methods("Session"), holder)
    allowed = {"Session/ListNodes", "Session/Authorities"}
    assert {n for n, status in session.items() if status != DENIED} == allowed, session
    audit = calls(c, c.leaf, "leaf", "audit", methods("Audit"), holder)
    allowed = {"Audit/Search", "Audit/ListRecordings", "Audit/Play"}
    assert {n for n, status in audit.items() if status != DENIED} == allowed, audit


def test_it_is_nobody_when_the_root_is_not_enabled(c):
    """Everything that is open ends, and nothing new begins."""
    with_direct = proxy_command(c.leaf, SNI, alice(c), "node-b")
    set_link(c, False, MAP)
    try:
        until(2, "the direct way to be closed", lambda: run(with_direct, stdin=b"", timeout=20).code != 0)
        session = calls(c, c.leaf, "leaf", "auth", ["Session/ListNodes"], alice(c))
        assert session["Session/ListNodes"] is None, session
        audit = calls(c, c.leaf, "leaf", "audit", ["Audit/Search"], alice(c))
        assert audit["Audit/Search"] is None, audit
    finally:
        set_link(c, True, MAP)
        until(30, "the direct way to be open again", lambda: direct(c, "node-b", "true").code == 0)


def test_what_the_root_locks_by_role_ends_what_does_not_pass_through_it(c):
    """The root's proxy sees nothing of this session; its auth has told the leaf's."""
    via = " ".join(map(str, proxy_command(c.leaf, SNI, alice(c), "node-b")))
    argv = ["ssh", "-F", c.ssh_config(), "-o", "BatchMode=yes", "-o", f"ProxyCommand={via}", "node-b.leaf"]
    session = subprocess.Popen([*argv, "echo up; sleep 60"], env=c.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert session.stdout.readline() == b"up\n"
    c.tctl("lock", "--role=access", "--ttl=5m", "--message=everybody out").check()
    try:
        _, said = session.communicate(timeout=15)
        assert b"everybody out" in said, said
        refused = direct(c, "node-b", "true").check(255)
        assert "everybody out" in refused.err, refused.err
    finally:
        session.kill()
        for row in c.tctl("locks", "ls", "--format=json").check().json:
            c.tctl("locks", "rm", row["id"]).check()
    until(15, "the lock to be gone in the leaf", lambda: direct(c, "node-b", "true").code == 0)


def test_a_certificate_that_the_root_has_cut_is_void_in_the_leaf(c):
    """A role taken back at the root: what was certified before counts nowhere, past the root neither."""
    c.make_user("cuno")
    home = c.new_home("cuno")
    c.login("cuno", home).check()
    direct(c, "node-b", "true", home=home).check()
    c.tctl("users", "update", "cuno", "--roles=auditor").check()
    took = until(15, "it to be void there", lambda: direct(c, "node-b", "true", home=home).code != 0)
    print(f"  void after {took:.1f} s")
    refused = direct(c, "node-b", "true", home=home).check(255)
    assert refused.err, refused


def test_a_role_that_is_mapped_to_an_administrators_administrates_nothing(c):
    set_link(c, True, [*MAP, {"remote": "access", "local": ["admin"]}])
    try:
        admin = calls(c, c.leaf, "leaf", "auth", methods("Admin"), alice(c))
        assert set(admin.values()) == {DENIED}, admin
    finally:
        set_link(c, True, MAP)


def test_a_certificate_of_the_leaf_is_nobodys_at_the_root(c):
    holder = bob(c)
    assert None not in calls(c, c, "dev", "auth", ["Session/ListNodes"], alice(c)).values()
    for service in ("auth", "audit"):
        answers = calls(c, c, "dev", service, methods("Session", "Admin", "Audit"), holder)
        assert set(answers.values()) == {None}, answers
    refused = run(proxy_command(c, "proxy.dev.remoteler.internal", holder, "node-a"), stdin=b"", timeout=20)
    assert refused.code != 0 and refused.out == "", (refused.code, refused.out, refused.err)
