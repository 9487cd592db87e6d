"""Those who mean harm, against the whole cluster. docs/security-tests.md says where each item is shown."""

import os
import select
import socket
import time

import strangers
from cluster import Failed, run, until

PROXY = "proxy.dev.remoteler.internal"
OK, DENIED, NOT_HERE, UNAUTHENTICATED = 0, 7, 12, 16
ANYONE = {f"Auth/{m}" for m in ("Ping", "Time", "Join", "Login", "Invitation", "Signup")} | {
    "Trust/Establish",
    "Trust/State",
}
FLEET = {"Fleet/Renew", "Fleet/Follow"}
SESSION = {f"Session/{m}" for m in ("Logout", "ChangePassword", "ListNodes", "ListClusters", "Authorities")}
CARRYING = {"TunnelBroker/Attach", "TunnelBroker/Carry"}
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"


def proxy_answers(c):
    host, port = strangers.address_of(c.env["REMOTELER_PROXY"])
    return run(["curl", "-skf", "--max-time", "5", f"https://{host}:{port}/v1/ping"]).code == 0


def descriptors(c, name):
    return len(os.listdir(f"/proc/{c.process(name)['pid']}/fd"))


def pids(c):
    return {p["name"]: p["pid"] for p in c.dev("ps", "--format=json").check().json}


# ---- the public port ----


def test_a_client_hello_cut_at_every_byte_gets_nothing_and_leaves_nothing(c):
    hello = strangers.client_hello(PROXY, ["remoteler-connect"])
    before, open_before = pids(c), descriptors(c, "proxy")
    for cut in range(len(hello)):
        with strangers.dial(c) as s:
            s.sendall(hello[:cut])
            s.shutdown(socket.SHUT_WR)
            answer = strangers.read_to_the_end(s)
            assert answer == b"", (cut, answer)
    with strangers.dial(c) as s:  # whole, it is answered: the cuts are what was refused
        s.sendall(hello)
        assert s.recv(5)[:1] == b"\x16"
    assert pids(c) == before
    until(5, "the proxy to have closed them", lambda: descriptors(c, "proxy") <= open_before + 2)


def test_a_changed_client_hello_never_stops_the_proxy(c):
    hello = strangers.client_hello(PROXY, ["remoteler-connect"])
    before = pids(c)
    for at in range(0, min(len(hello), 160)):
        with strangers.dial(c) as s:
            s.sendall(hello[:at] + bytes([hello[at] ^ 0xFF]) + hello[at + 1 :])
            s.shutdown(socket.SHUT_WR)
            strangers.read_to_the_end(s)
    assert pids(c) == before and proxy_answers(c)


def test_slow_and_silent_handshakes_are_ended_and_keep_nobody_out(c):
    hello = strangers.client_hello(PROXY, ["remoteler-connect"])
    silent = [strangers.dial(c) for _ in range(40)]
    slow = [strangers.dial(c) for _ in range(10)]
    half = [strangers.dial(c) for _ in range(10)]  # the server's flight is there, the client's last is not
    for s in half:
        s.sendall(hello)
    start, at = time.monotonic(), 0
    waiting = set(silent + slow)
    while waiting and time.monotonic() - start < 15:
        for s in [s for s in slow if s in waiting]:
            try:
                s.sendall(hello[at : at + 1])
            except OSError:
                waiting.discard(s)
        at += 1
        if at == 3:
            assert c.ssh("node-r1", "hostname").check().out == "node-r1\n"
        for s in select.select(list(waiting), [], [], 0.2)[0]:
            assert strangers.read_to_the_end(s) == b""
            waiting.discard(s)
    assert not waiting, f"{len(waiting)} connections are still there after {time.monotonic() - start:.0f} s"
    for s in half:
        strangers.read_to_the_end(s)  # a time-out here fails the test
    for s in silent + slow + half:
        s.close()


def test_names_and_protocols_that_lead_nowhere_are_refused(c):
    for sni, alpn in (
        ("nowhere.dev.remoteler.internal", ["remoteler-connect"]),
        ("proxy.other.remoteler.internal", ["remoteler-connect"]),
        ("auth.dev.remoteler.internal.remoteler.internal", ["h2"]),
        ("127.0.0.1.broker.dev.remoteler.internal", ["h2"]),  # a replica is auth's word, never a name to resolve
        ("localhost.broker.dev.remoteler.internal", ["h2"]),
        ("kube.dev.remoteler.internal", ["http/1.1"]),
        (PROXY, ["h2"]),
        (PROXY, ["remoteler-connec"]),
        (PROXY, ["remoteler-connect\0"]),
        ("localhost", ["h2"]),
    ):
        assert strangers.refused_handshake(c, sni, alpn), (sni, alpn)
    assert proxy_answers(c)


def test_a_proxy_header_counts_from_nobody_who_is_not_a_proxy(c):
    """At the public port, where no balancer is listed, and at the listeners behind it without a signature."""
    addresses = socket.inet_aton("192.0.2.66") + socket.inet_aton("127.0.0.1") + b"\x10\x00\x01\xbb"
    version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + addresses
    version_1 = b"PROXY TCP4 192.0.2.66 127.0.0.1 4096 443\r\n"
    ports = dict(line.split("=") for line in (c.run_dir / "ports").read_text().split())
    public = strangers.address_of(c.env["REMOTELER_PROXY"])[1]
    for port, sni in (
        (public, PROXY),
        (int(ports["PORT_auth_proxied"]), "auth.dev.remoteler.internal"),
        (int(ports["PORT_broker_proxied"]), "broker.dev.remoteler.internal"),
        (int(ports["PORT_audit_proxied"]), "audit.dev.remoteler.internal"),
    ):
        for header in (version_2, version_1, b""):
            if port == public and not header:
                continue
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                s.sendall(header + strangers.client_hello(sni, ["h2"]))
                assert strangers.read_to_the_end(s)[:1] != b"\x16", (sni, header)


def test_http_that_is_none_or_means_two_things_gets_no_page(c):
    host, _ = strangers.address_of(c.env["REMOTELER_PROXY"])
    for request in (
        b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET https://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n",
        b"GET /\0/v1/ping HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n",
        b"\0" * 2000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        with strangers.context(alpn=["http/1.1"]).wrap_socket(strangers.dial(c), server_hostname="localhost") as s:
            s.settimeout(1)
            try:
                s.sendall(request)
                answer = s.recv(65536)
            except OSError:
                answer = b""
            assert not answer.startswith(b"HTTP/1.1 200"), (request[:60], answer[:200])
    assert proxy_answers(c)


def test_a_header_without_end_ends_the_connection_and_takes_no_memory(c):
    """A flood of CONTINUATION, from one who has shown no certificate."""
    pid = c.process("auth")["pid"]
    before = resident_kib(pid)
    frame = lambda kind, flags, stream, body: len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
    field = b"\x00\x03a-b\x7f\x81\x7e" + b"x" * 255  # a literal, not to be remembered
    how = strangers.context(alpn=["h2"])
    sent = 0
    with how.wrap_socket(strangers.dial(c), server_hostname="auth.dev.remoteler.internal") as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 0, 1, field))
        try:
            while sent < 64 << 20:
                s.sendall(frame(9, 0, 1, field * 60))
                sent += 60 * len(field)
        except OSError:
            pass
    assert sent < 64 << 20, "the server took 64 MiB of one header"
    assert resident_kib(pid) < before + 16384, (before, resident_kib(pid))


def resident_kib(pid):
    status = open(f"/proc/{pid}/status").read().split()
    return int(status[status.index("VmRSS:") + 1])


def test_a_request_with_a_changed_byte_reaches_no_node_and_harms_nobody(c):
    alice = strangers.user_of(c, c.home)
    code, message = strangers.connect_request(alice, c, b"node-r1")
    assert code == OK, message
    before = pids(c)
    for target in (b"\xff\xfe", b"a\0b", b"x" * 4000, b"'; DROP TABLE instances; --", b"site=\x1b[2J", b"%s%n", b"../../x"):
        code, message = strangers.connect_request(alice, c, target)
        assert code not in (OK, 2, 13, 14), (target, code, message)
    body = b"\x12\x03ssh\x1a\x07node-r1"
    how = strangers.context(alice, ["remoteler-connect"])
    for at in range(-4, len(body)):
        raw = bytearray(len(body).to_bytes(4, "big") + body)
        raw[at + 4] ^= 0x81
        with how.wrap_socket(strangers.dial(c), server_hostname=PROXY) as s:
            s.sendall(raw)
            s.settimeout(0.05)
            try:
                s.recv(4096)
            except OSError:
                pass
    assert pids(c) == before and proxy_answers(c)


# ---- who may call what, walked over the wire ----


def walk(c, service, caller, allowed):
    """Nobody but who is in the table gets an answer from a method; what is allowed is not called."""
    names = [n for n in strangers.method_names() if n not in allowed]
    answers = strangers.call_all(c, service, names, caller)
    assert set(answers) == set(names), (service, answers)
    wrong = {n: s for n, s in answers.items() if s not in (None, DENIED, NOT_HERE, UNAUTHENTICATED)}
    assert not wrong, f"{caller.name if caller else 'a stranger'} at {service}: {wrong}"
    return answers


def test_a_stranger_gets_nothing_but_what_comes_before_a_login(c):
    answers = walk(c, "auth", None, ANYONE)
    assert answers["Admin/AddUser"] == answers["Session/ListNodes"] == UNAUTHENTICATED, answers
    assert strangers.call_all(c, "auth", ["Auth/Ping"], with_message=True)["Auth/Ping"] == OK
    for service in ("broker", "audit"):
        assert set(walk(c, service, None, set()).values()) == {None}, service


def test_an_agents_certificate_is_no_users_and_no_services(c):
    agent = strangers.agent_of(c, "node-r1")
    answers = walk(c, "auth", agent, ANYONE | FLEET)
    assert answers["Admin/AddUser"] == answers["Session/ListNodes"] == DENIED, answers
    assert answers["Control/PolicyFor"] == NOT_HERE, answers  # services have a port of their own
    answers = walk(c, "audit", agent, {"Audit/Append", "Audit/WriteRecording"})
    for reading in ("Audit/Search", "Audit/ListRecordings", "Audit/Play"):
        assert answers[reading] == DENIED, answers
    answers = walk(c, "broker", agent, CARRYING)
    code, message = strangers.connect_request(agent, c, b"node-a")
    assert code == DENIED and "user" in message, (code, message)


def test_a_users_certificate_is_no_agents_and_no_administrators(c):
    c.make_user("walter")
    home = c.new_home("walter")
    c.login("walter", home).check()
    user = strangers.user_of(c, home)
    admin = {n for n in strangers.method_names() if n.startswith("Admin/")}
    assert walk(c, "auth", user, ANYONE | SESSION | admin)["Fleet/Renew"] == DENIED
    # these are for users: whether for this one, her roles say
    answers = strangers.call_all(c, "auth", sorted(admin), user, with_message=True)
    no_kind = {f"Admin/{m}Resource{s}" for m, s in (("Get", "s"), ("Put", ""), ("Delete", ""))}
    wrong = {n: s for n, s in answers.items() if s != (NOT_HERE if n in no_kind else DENIED)}
    assert set(answers) == admin and not wrong, wrong
    assert walk(c, "broker", user, set())["TunnelBroker/Attach"] in (None, DENIED)
    for_users = {f"Audit/{m}" for m in ("Search", "Ledger", "ListRecordings", "Play")}
    assert walk(c, "audit", user, for_users)["Audit/Append"] == DENIED


def second_cluster(c):
    """Another cluster by the same name, whose authorities are others."""
    database = "other_cluster"
    keys = c.run_dir / "keys"
    port = dict(line.split("=") for line in (c.run_dir / "ports").read_text().split())["PORT_postgres"]
    env = dict(c.env, PGPASSWORD=(keys / "postgres_password").read_text().strip())
    for sql in (f"CREATE DATABASE {database}", f"GRANT CREATE ON DATABASE {database} TO remoteler_auth"):
        run(["psql", "-qh", "127.0.0.1", "-p", port, "-U", "postgres", "-d", "postgres", "-c", sql], env=env).check()
    where = c.dir / "other"
    where.mkdir()
    auth = (c.run_dir / "bin" / "tctl").resolve().parent / "remoteler-auth"
    run(
        [auth, "bootstrap", "--cluster=dev", f"--key-file={where}/auth.key", "--public-address=127.0.0.1:1",
         f"--database=host=127.0.0.1 port={port} user=remoteler_auth dbname={database} passfile='{keys}/pgpass'",
         f"--identity-out={where}/admin.pem", f"--service-tokens-out={where}"], env=c.env,
    ).check()
    return strangers.holder_of_bundle(c, "other-admin", where / "admin.pem")


def test_an_administrator_of_another_cluster_is_nobody_here(c):
    other = second_cluster(c)
    own = strangers.holder_of_bundle(c, "own-admin", c.run_dir / "keys/admin.pem")
    assert strangers.call_all(c, "auth", ["Admin/Status"], own, with_message=True)["Admin/Status"] == OK
    for service in ("auth", "broker", "audit"):
        assert set(walk(c, service, other, set()).values()) == {None}, service
    assert strangers.refused_handshake(c, PROXY, ["remoteler-connect"], other)
    # a token of there is unknown here
    token = (c.dir / "other" / "proxy.token").read_text().strip()
    refused = run(
        ["remoteler", "start", f"--auth-server={c.env['REMOTELER_AUTH_SERVER']}", f"--token={token}",
         "--nodename=node-o", f"--data-dir={c.dir}/agent-o", "--listen=127.0.0.1:0"], env=c.env,
    ).check(1)
    assert "token" in refused.err, refused.err


def test_a_certificate_that_one_made_oneself_is_nobodys(c):
    for uri in ("spiffe://dev/user/alice", "spiffe://dev/service/proxy/00000000-0000-4000-8000-000000000000"):
        fake = strangers.self_signed(c, uri)
        assert strangers.refused_handshake(c, PROXY, ["remoteler-connect"], fake), uri
        assert strangers.call_all(c, "auth", ["Auth/Ping"], fake)["Auth/Ping"] is None


def test_a_certificate_is_no_signing_key(c):
    """CVE-2025-49825 and its kin: alice's own certificate signs one for root."""
    alice = strangers.user_of(c, c.home)
    mine, request, out = c.dir / "sub.key", c.dir / "sub.csr", c.dir / "sub.crt"
    extensions = c.dir / "sub.ext"
    extensions.write_text("subjectAltName=URI:spiffe://dev/user/admin\nextendedKeyUsage=clientAuth\n")
    run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=admin", "-keyout", mine, "-out", request]).check()
    run(["openssl", "x509", "-req", "-in", request, "-CA", alice.certificate, "-CAkey", alice.key, "-days", "1",
         "-extfile", extensions, "-out", out]).check()
    chained = strangers.Holder(c, "chained", out.read_text() + alice.certificate.read_text(), mine.read_text())
    assert strangers.refused_handshake(c, PROXY, ["remoteler-connect"], chained)
    assert strangers.call_all(c, "auth", ["Admin/Status"], chained)["Admin/Status"] is None
    # and the same with OpenSSH's
    profile = strangers.profile_of(c.home)
    key = c.dir / "sub-ssh"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]).check()
    run(["ssh-keygen", "-q", "-s", profile / "id", "-I", "alice", "-n", "root", f"{key}.pub"]).check()
    assert "Permission denied" in refused_by_ssh(c, key).err


def refused_by_ssh(c, key, home=None, node="node-r1"):
    """Through the user's own tunnel, with another key and certificate than hers."""
    refused = c.ssh("-o", f"IdentityFile={key}", "-o", f"CertificateFile={key}-cert.pub", "-F", own_tunnel(c, home), node,
                    "echo RAN").check(255)
    assert "RAN" not in refused.out, refused.out
    return refused


def own_tunnel(c, home=None):
    """The user's ssh_config without her key and certificate."""
    path = c.dir / "tunnel_only"
    lines = (home or c.home) / "ssh_config"
    path.write_text("".join(l for l in open(lines) if "IdentityFile" not in l and "CertificateFile" not in l))
    return str(path)


def test_another_authoritys_ssh_certificate_opens_nothing(c):
    authority, key = c.dir / "foreign-ca", c.dir / "foreign"
    for path in (authority, key):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]).check()
    run(["ssh-keygen", "-q", "-s", authority, "-I", "alice", "-n", "root", f"{key}.pub"]).check()
    assert "Permission denied" in refused_by_ssh(c, key).err


# ---- what the far end decides ----

EDGE = """
kind: role
version: v1
metadata: {name: hostile-edge}
spec:
  allow: {logins: [root], node_labels: {site: [edge]}}
  options: {port_forwarding: false}
"""


def edge_user(c, name):
    c.tctl("create", "-f", "-", stdin=EDGE.encode()).check()
    c.make_user(name, roles="hostile-edge")
    home = c.new_home(name)
    c.login(name, home).check()
    assert c.ssh("node-r1", "hostname", home=home).check().out == "node-r1\n"
    return home


def test_whoever_the_proxy_lets_through_the_node_decides_by_the_certificate(c):
    """As by a proxy that was taken over: the way is alice's, the certificate of one who may not."""
    home = edge_user(c, "mallory")
    profile = strangers.profile_of(home)
    refused = refused_by_ssh(c, profile / "id", node="node-a")
    assert 'do not allow login "root" on node-a' in refused.err, refused.err


def test_a_forwarding_that_no_role_allows_is_refused(c):
    """11.1.4: -L went round the roles."""
    home = edge_user(c, "trudy")
    port = strangers.address_of(c.env["REMOTELER_PROXY"])[1]
    refused = c.ssh("-W", f"127.0.0.1:{port}", "node-r1", home=home).check(255)
    assert "prohibited" in refused.err, refused.err


# ---- text that is meant for a terminal ----


def harmless(*results):
    for r in results:
        for text in (r.out, r.err):
            bad = [ch for ch in text if (ord(ch) < 32 and ch not in "\n\t\r") or 127 <= ord(ch) < 160]
            assert not bad, (r.args, text)


def test_no_name_label_or_message_reaches_the_terminal_as_it_was(c):
    token = c.tctl("tokens", "add", "--type=node", f"--labels=a={ESCAPES}")
    assert token.code in (1, 2), token.out
    user = c.tctl("users", "add", f"x{ESCAPES}", "--roles=access", "--logins=root")
    assert user.code in (1, 2), user.out
    harmless(
        token, user,
        c.tsh("ssh", f"node{ESCAPES}", "true"),
        c.tsh("ls", f"--search={ESCAPES}"),
        c.tsh("login", f"--user={ESCAPES}", f"--password-file={c.password_file()}", "--otp=000000",
              home=c.new_home("escapes")),
        c.tctl("get", f"role/{ESCAPES}"),
        c.tctl("users", "rm", ESCAPES),
        c.tctl("create", "-f", "-", stdin=EDGE.replace("hostile-edge", '"\\e[2Jx"').encode()),
        c.tsh("proxy", "ssh", f"{ESCAPES}:22"),
        c.tsh(ESCAPES),
        c.tctl(ESCAPES),
    )


def test_a_name_with_a_command_in_it_runs_nothing(c):
    """CVE-2023-51385 and its kin: host names come from repositories and web pages, and meet a shell."""
    trap = c.dir / "trapped"
    for command in (f"$(touch {trap})", f"`touch {trap}`", f";touch {trap};", f"'$(touch {trap})'", f"'\"$(touch {trap})",
                    f"|touch {trap}", f"\ntouch {trap}\n", f"%n$(touch {trap})", f"-oProxyCommand=touch {trap}"):
        for name in (f"{command}.dev", f"node-r1{command}.dev"):
            assert c.ssh("--", name, "true").code != 0, name
            assert c.tsh("ssh", "--", name, "true").code != 0, name
            assert c.tsh("proxy", "ssh", "--", f"{name}:22").code != 0, name
        assert c.ssh("-l", command, "node-r1", "true").code != 0, command
        assert c.tsh("ssh", f"{command}@node-r1", "true").code != 0, command
        assert c.tsh("ssh", f"site={command}", "true").code != 0, command
        c.ssh("-o", f"SetEnv=LC_X={command}", "node-r1", "sh -c 'env >/dev/null'")
        assert not trap.exists(), command


def test_a_command_with_escapes_is_written_down_and_shown_without_them(c):
    c.ssh("node-r1", f"true '{ESCAPES}'; exit 9").check(9)
    seen = c.wait_for_event(lambda e: e["exit_code"] == 9, "--type=session.end", "--user=alice")
    shown = c.tctl("audit", "search", "--last=10m", f"--session={seen['session_id']}").check()
    assert "owned" in shown.out, shown.out
    harmless(shown)


LOCK = """
kind: lock
version: v1
metadata: {name: hostile}
spec: {target_kind: user, target_name: vera, message: "go \\e[2J\\e]0;owned\\a away"}
"""


def test_a_locks_message_is_a_banner_without_escapes(c):
    c.make_user("vera")
    home = c.new_home("vera")
    c.login("vera", home).check()
    c.tctl("create", "-f", "-", stdin=LOCK.encode()).check()
    try:
        until(5, "the lock to count", lambda: c.ssh("node-r1", "true", home=home).code == 255)
        refused = c.ssh("node-r1", "true", home=home).check(255)
        assert "away" in refused.err, refused.err
        harmless(refused, c.tsh("ls", home=home), c.tctl("get", "lock/hostile"))
    finally:
        c.tctl("rm", "lock/hostile").check()


# ---- after all that ----


def test_every_service_is_still_the_process_that_it_was(c):
    for name in ("auth", "audit", "broker", "proxy", "node-a", "node-r1"):
        log = (c.run_dir / "log" / f"{name}.log").read_text(errors="replace")
        for word in ("AddressSanitizer", "runtime error", "assertion", "Assertion"):
            assert word not in log, f"{word} in the log of {name}"
    assert proxy_answers(c) and c.ssh("node-r1", "hostname").check().out == "node-r1\n"
