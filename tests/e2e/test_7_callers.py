"""Every certificate that there is at every listener, method by method: what one who took a service, a node or a
user's machine over may call. The table is that of the architecture (sections 3, 5, 8 and 10), not the code's."""

import time
import uuid

import strangers
from cluster import until
from test_6_hostile import DENIED, NOT_HERE, OK, PROXY, UNAUTHENTICATED

EVERYBODY = {"stranger", "user", "agent", "proxy", "broker", "audit"}
SERVICES = {"proxy", "broker", "audit"}
MAY_CALL = {
    "Auth": {m: EVERYBODY for m in ("Ping", "Time", "Join", "Login", "Invitation", "Signup")},
    "Trust": {"Establish": EVERYBODY, "State": EVERYBODY, "*": set()},  # the rest is for a leaf's auth
    "Fleet": {"Renew": {"agent"} | SERVICES, "Follow": {"agent"}},
    "Session": {m: {"user"} for m in ("Logout", "ChangePassword", "ListNodes", "ListClusters", "Authorities")},
    "Admin": {"*": {"user"}},
    "Control": {
        "Watch": SERVICES,
        "Heartbeat": SERVICES,
        "ResolveTarget": {"proxy", "broker"},
        "Decide": {"proxy", "audit"},
        "SignTombstones": {"audit"},
        "*": {"broker"},
    },
    "TunnelBroker": {"Attach": {"agent"}, "Carry": {"agent"}},
    "Dialer": {"Dial": {"proxy", "broker"}},
    "Passage": {"Leave": {"proxy"}},
    "Audit": {
        "Append": {"agent", "proxy", "broker"},
        "WriteRecording": {"agent"},
        "Heads": set(),  # auth's own
        "*": {"user"},
    },
}
# What each listener serves; asked with no certificate, the first two answer and the others refuse to shake hands.
LISTENERS = {
    "auth, public": ("auth", None, {"Auth", "Fleet", "Trust", "Session", "Admin"}),
    "auth, direct": ("auth", "PORT_auth", {"Auth", "Fleet", "Trust", "Session", "Admin"}),
    "auth, control": ("auth", "PORT_auth_control", {"Control"}),
    "broker, attach": ("broker", None, {"TunnelBroker"}),
    "broker, dial": ("broker", "PORT_broker", {"Dialer", "Passage"}),
    "audit, public": ("audit", None, {"Audit"}),
    "audit, direct": ("audit", "PORT_audit", {"Audit"}),
    "audit, control": ("audit", "PORT_audit_control", {"Audit"}),
    "node-a, direct": ("node-a", "PORT_node_a", {"Dialer"}),
}


def ports(c):
    return {k: int(v) for k, v in (line.split("=") for line in (c.run_dir / "ports").read_text().split())}


def alice(c):
    if not (c.home / "profiles").exists():
        c.login().check()
    return strangers.user_of(c, c.home)


def callers(c):
    return {
        "stranger": None,
        "user": alice(c),
        "agent": strangers.agent_of(c, "node-r1"),
        "proxy": strangers.service_of(c, "proxy"),
        "broker": strangers.service_of(c, "broker"),
        "audit": strangers.service_of(c, "audit"),
        "another cluster's broker": strangers.self_signed(c, f"spiffe://leaf/service/broker/{uuid.uuid4()}"),
    }


def may_call(who, name):
    service, method = name.split("/")
    rows = MAY_CALL[service]  # a service that is not in the table fails the test: say who may call it
    return who in rows.get(method, rows.get("*", set()))


def verdict(status):
    return {None: "no connection", DENIED: "denied", NOT_HERE: "not served", UNAUTHENTICATED: "unauthenticated"}.get(
        status, f"status {status}"
    )


def expected(listener, who, name, served):
    """The verdicts that a caller may meet who is not in the table."""
    if who in ("user", "agent") and "control" in listener:
        return {"no connection"}  # a listener for services, by gRPC core's own TLS
    if who in ("stranger", "another cluster's broker"):
        return {"no connection", "unauthenticated"} | ({"not served"} if not served else set())
    return {"denied"} if served else {"not served"}


def test_every_caller_at_every_listener_meets_what_the_architecture_says(c):
    wrong = []
    for listener, (service, port, serves) in LISTENERS.items():
        at = ports(c)[port] if port else None
        for who, holder in callers(c).items():
            names = [n for n in strangers.method_names() if not (n.split("/")[0] in serves and may_call(who, n))]
            answers = strangers.call_all(c, service, names, holder, at=at)
            assert set(answers) == set(names), (listener, who, set(names) - set(answers))
            for name, status in answers.items():
                if verdict(status) not in expected(listener, who, name, name.split("/")[0] in serves):
                    wrong.append(f"{listener}: {who} at {name}: {verdict(status)}")
    assert not wrong, "\n".join(wrong)


def test_each_certificate_of_the_walk_is_one_that_its_listener_takes(c):
    """What the walk refuses is refused for its kind, and not because it was never good."""
    for who, holder in callers(c).items():
        answers = strangers.call_all(c, "auth", ["Auth/Ping"], holder, with_message=True)
        assert answers["Auth/Ping"] == (None if "another" in who else OK), (who, answers)
    control = ports(c)["PORT_auth_control"]
    for who, name in (("broker", "Control/ReportAttachments"), ("audit", "Control/Decide"), ("proxy", "Control/Decide")):
        status = strangers.call_all(c, "auth", [name], callers(c)[who], with_message=True, at=control)[name]
        assert verdict(status) not in ("no connection", "unauthenticated", "not served"), (who, name, status)
    for who in ("agent", "proxy", "broker"):
        status = strangers.call_all(c, "audit", ["Audit/Append"], callers(c)[who], with_message=True)["Audit/Append"]
        assert status in (OK, 3), (who, status)


# ---- one who has a node writes about another ----


def field(number, value):
    if isinstance(value, int):
        return strangers.varint(number << 3) + strangers.varint(value)
    return strangers.varint(number << 3 | 2) + strangers.varint(len(value)) + value


def event(c, code, kind, **texts):
    numbers = {"user": 9, "cluster": 11, "session_id": 12, "resource_kind": 14, "resource_id": 15, "command": 20}
    uid = list(uuid.uuid4().hex)
    uid[12], uid[16] = "7", "8"
    uid = str(uuid.UUID("".join(uid)))
    packed = field(1, uid.encode()) + field(2, int(time.time()) * 10**9) + field(4, kind.encode())
    packed += field(5, code.encode()) + field(6, 1) + field(7, b"success")
    for name, value in texts.items():
        packed += field(numbers[name], value.encode())
    return field(1, packed)


def test_a_node_writes_about_itself_and_about_no_other(c):
    alice(c)
    nodes = c.nodes()
    own, other = nodes["node-r1"]["id"], nodes["node-a"]["id"]
    mark = f"made-up-{uuid.uuid4().hex[:8]}"
    node = strangers.agent_of(c, "node-r1")

    def append(kind="session.start", code="RL3000I", resource=own, cluster="dev"):
        message = event(c, code, kind, user=mark, cluster=cluster, resource_kind="node", resource_id=resource)
        return strangers.call_all(c, "audit", ["Audit/Append"], node, with_message=True, message=message)["Audit/Append"]

    assert append(resource=other) == DENIED
    assert append(cluster="root") == DENIED
    assert append(kind="user.login", code="RL1000I") == DENIED
    assert append(kind="cert.issue", code="RL1020I") == DENIED
    assert append() == OK
    seen = c.wait_for_event(lambda e: e["user"] == mark, f"--user={mark}")
    assert seen["node_id"] == own if "node_id" in seen else True, seen
    assert len(c.events(f"--user={mark}")) == 1


# ---- sessions of TLS, resumed ----


def routes(c):
    """Where TLS ends that gives tickets: {name: (SNI, ALPN)}. Through the public port, all of them."""
    return {
        "connect": (PROXY, ["remoteler-connect"]),
        "web": ("localhost", ["http/1.1"]),
        "auth": ("auth.dev.remoteler.internal", ["h2"]),
        "attach": ("broker.dev.remoteler.internal", ["h2"]),
        "audit": ("audit.dev.remoteler.internal", ["h2"]),
    }


def shake_hands(c, how, route, session=None):
    """One connection: (was it resumed, the session that it leaves)."""
    sni, alpn = route
    how.set_alpn_protocols(alpn)
    with how.wrap_socket(strangers.dial(c), server_hostname=sni, session=session) as s:
        s.settimeout(0.3)
        try:  # the ticket comes behind the handshake
            s.recv(1)
        except TimeoutError:
            pass
        return s.session_reused, s.session


def test_a_session_is_resumed_on_its_own_route_and_on_no_other(c):
    """CVE-2025-23419: a ticket carries what its route had checked."""
    how = strangers.context(alice(c))
    for name, route in routes(c).items():
        was_resumed, session = shake_hands(c, how, route)
        assert not was_resumed and session and session.has_ticket, name
        for other, other_route in routes(c).items():
            was_resumed, _ = shake_hands(c, how, other_route, session)
            assert was_resumed == (other == name), (name, other)


LOCK = """
kind: lock
version: v1
metadata: {name: resumed}
spec: {target_kind: user, target_name: tess, message: "no more"}
"""


def test_a_resumed_session_of_one_who_was_locked_gets_no_further(c):
    c.make_user("tess")
    home = c.new_home("tess")
    c.login("tess", home).check()
    holder = strangers.user_of(c, home)
    how = strangers.context(holder)
    route = routes(c)["connect"]
    _, session = shake_hands(c, how, route)

    def connect():
        how.set_alpn_protocols(route[1])
        with how.wrap_socket(strangers.dial(c), server_hostname=route[0], session=session) as s:
            return s.session_reused, strangers.ask_to_connect(s, b"node-r1")

    was_resumed, (code, message) = connect()
    assert was_resumed and code == OK, (was_resumed, code, message)
    c.tctl("create", "-f", "-", stdin=LOCK.encode()).check()
    try:
        until(5, "the lock to count at the proxy", lambda: connect()[1][0] == DENIED)
        was_resumed, (code, message) = connect()
        assert was_resumed and code == DENIED and "no more" in message, (was_resumed, code, message)
    finally:
        c.tctl("rm", "lock/resumed").check()
