"""Who may come in: passwords, codes, lock-out, invitations, tokens, roles."""

import subprocess
import time

from cluster import Terminal, run

WRONG = "wrong user name, password or code"


def attempt(c, user, password, otp, home=None):
    return c.tsh(
        "login", f"--user={user}", "--password-file=-", f"--otp={otp}", "--no-ssh-config",
        home=home or c.new_home("attempt"), stdin=password.encode(),
    )


def password(c, user):
    return c.password_file(user).read_text().strip()


def test_every_wrong_login_is_refused_in_the_same_words(c):
    c.make_user("bob")
    for user, word, otp in (
        ("bob", "not the password", c.totp("bob")),
        ("bob", password(c, "bob"), "000000"),
        ("nobody-here", "x", "000000"),
    ):
        refused = attempt(c, user, word, otp).check(4)
        assert WRONG in refused.err, refused.err
        assert refused.out == ""


def test_a_code_is_good_once(c):
    c.make_user("carol")
    otp = c.totp("carol")
    attempt(c, "carol", password(c, "carol"), otp).check()
    refused = attempt(c, "carol", password(c, "carol"), otp).check(4)
    assert "already used" in refused.err and "valid in" in refused.err, refused.err


def test_five_failures_lock_the_user_for_a_while_and_an_administrator_unlocks(c):
    c.make_user("dave")
    for _ in range(5):
        attempt(c, "dave", "wrong", "000000").check(4)
    refused = attempt(c, "dave", password(c, "dave"), c.totp("dave")).check(4)
    assert "try again in" in refused.err, refused.err
    user = next(u for u in c.tctl("users", "ls", "--format=json").check().json if u["name"] == "dave")
    assert user["status"] == "locked_out" and user["locked_until"], user
    c.tctl("users", "update", "dave", "--unlock").check()
    attempt(c, "dave", password(c, "dave"), c.totp("dave")).check()


def test_without_a_terminal_the_error_names_the_flag(c):
    r = subprocess.run(
        ["setsid", "-w", "tsh", "login", "--user=alice"],
        env=dict(c.env, TSH_HOME=str(c.new_home("x"))), stdin=subprocess.DEVNULL, capture_output=True,
    )
    assert r.returncode in (1, 2) and b"--password-file" in r.stderr, r.stderr


def test_on_a_terminal_password_and_code_are_asked_for(c):
    c.make_user("jane")
    home = c.new_home("jane")
    t = Terminal(["tsh", "login", "--user=jane", "--no-ssh-config"], dict(c.env, TSH_HOME=str(home)))
    t.expect("Password of jane:")
    t.send(password(c, "jane") + "\n")
    t.expect("One-time code:")
    assert password(c, "jane") not in t.seen
    t.send(c.totp("jane") + "\n")
    t.expect("Logged in to dev as jane")
    assert t.wait() == 0
    assert c.ssh("node-r1", "hostname", home=home).check().out == "node-r1\n"


def test_without_a_pin_the_pin_is_printed_to_be_compared(c):
    env = dict(c.env, TSH_HOME=str(c.new_home("pin")))
    del env["REMOTELER_CA_PIN"]
    r = run(["tsh", "login", "--user=alice", f"--password-file={c.password_file()}", "--otp=000000"], env=env)
    r.check(1)
    assert c.env["REMOTELER_CA_PIN"] in r.err, r.err
    wrong = c.tsh("login", "--user=alice", f"--password-file={c.password_file()}", "--otp=000000",
                  "--ca-pin=sha256:" + "0" * 64, home=c.new_home("pin2"))
    wrong.check(1)
    assert "pin" in wrong.err, wrong.err


def test_an_invitation_is_good_once(c):
    url = c.tctl("users", "add", "erin", "--roles=access", "--logins=root", "--format=json").check().json["invite_url"]
    secret, word = c.dir / "erin.totp", c.dir / "erin.password"
    word.write_text("erin has a password\n")
    signup = ["signup", url, f"--password-file={word}", f"--totp-secret-out={secret}"]
    c.tsh(*signup).check()
    again = c.tsh(*signup)
    assert again.code in (1, 4) and again.err, again.err


def test_a_reset_voids_what_the_user_holds(c):
    c.make_user("frank")
    home = c.new_home("frank")
    c.login("frank", home).check()
    c.ssh("node-r1", "true", home=home).check()
    c.tctl("users", "reset", "frank", "--format=json").check()
    refused = c.tsh("ls", home=home)
    assert refused.code in (3, 4), (refused.code, refused.err)
    # the proxy hears of the cut within a second or so
    time.sleep(1.5)
    c.ssh("node-r1", "true", home=home).check(255)


def test_a_role_that_is_taken_away_counts_no_more(c):
    c.make_user("gina")
    home = c.new_home("gina")
    c.login("gina", home).check()
    c.ssh("node-a", "true", home=home).check()
    c.tctl("users", "update", "gina", "--roles=auditor").check()
    time.sleep(1.5)
    c.ssh("node-a", "true", home=home).check(255)
    assert c.login("gina", home).check() and c.nodes(home) == {}


ROLE = """
kind: role
version: v1
metadata: {name: edge-only}
spec:
  allow:
    logins: ["{{internal.logins}}", daemon]
    node_labels: {site: [edge]}
  deny:
    logins: [daemon]
"""


def test_a_role_decides_which_nodes_and_logins(c):
    c.tctl("create", "-f", "-", stdin=ROLE.encode()).check()
    c.make_user("hal", roles="edge-only")
    home = c.new_home("hal")
    c.login("hal", home).check()
    assert list(c.nodes(home)) == ["node-r1"], c.nodes(home)
    assert c.nodes(home)["node-r1"]["logins"] == ["root"], c.nodes(home)
    assert c.ssh("node-r1", "hostname", home=home).check().out == "node-r1\n"
    hidden = c.tsh("ssh", "node-a", "true", home=home).check(4)
    absent = c.tsh("ssh", "node-q", "true", home=home).check(4)
    assert hidden.err.replace("node-a", "N") == absent.err.replace("node-q", "N"), (hidden.err, absent.err)
    by_id = c.ssh(c.nodes()["node-a"]["id"] + ".dev", "true", home=home).check(255)
    assert "no such node" in by_id.err, by_id.err
    denied = c.ssh("daemon@node-r1", "id", home=home).check(255)
    assert "daemon" in denied.err, denied.err


BOUND = """
kind: role
version: v1
metadata: {name: bound}
spec:
  allow: {logins: [root], node_labels: {"*": "*"}}
  options: {require_session_mfa: true}
"""


def test_an_option_that_is_not_enforced_refuses_the_session_and_says_which(c):
    created = c.tctl("create", "-f", "-", stdin=BOUND.encode()).check()
    assert "require_session_mfa" in created.err, created.err
    c.make_user("ida", roles="bound")
    home = c.new_home("ida")
    c.login("ida", home).check()
    refused = c.ssh("node-r1", "true", home=home).check(255)
    assert "require_session_mfa" in refused.err, refused.err


def test_a_document_survives_get_and_create(c):
    text = c.tctl("get", "role/access").check().out
    c.tctl("create", "-f", "-", stdin=text.encode()).check()
    assert c.tctl("get", "role/access").check().out.split("revision")[0] == text.split("revision")[0]
    bad = c.tctl("create", "-f", "-", stdin=text.replace("logins", "lugins").encode()).check(1)
    assert "lugins" in bad.err, bad.err
    kinds = c.tctl("get", "role", "--format=json").check().json
    assert {"access", "admin", "auditor"} <= {d["metadata"]["name"] for d in kinds}, kinds


def agent(c, name, token, *flags):
    """Starts an agent that is expected to end by itself."""
    return run(
        ["remoteler", "start", f"--auth-server={c.env['REMOTELER_AUTH_SERVER']}", f"--token={token}",
         f"--nodename={name}", f"--data-dir={c.dir}/agent-{name}-{time.monotonic_ns()}", "--listen=127.0.0.1:0", *flags],
        env=c.env, timeout=30,
    )


def test_a_token_that_is_not_good_says_why(c):
    assert "token" in agent(c, "node-t", "not-a-token").check(1).err
    other = c.tctl("tokens", "add", "--type=broker", "--format=json").check().json["token"]
    assert "broker" in agent(c, "node-t", other).check(1).err
    named = c.tctl("tokens", "add", "--type=node", "--names=db-*", "--format=json").check().json["token"]
    assert "node-t" in agent(c, "node-t", named).check(1).err
    used = (c.run_dir / "tokens" / "node-a.token").read_text().strip()
    assert "used" in agent(c, "node-t", used).check(1).err
    fresh = c.tctl("tokens", "add", "--type=node", "--format=json").check().json
    assert "pin" in agent(c, "node-t", fresh["token"], "--ca-pin=sha256:" + "1" * 64).check(1).err
    c.tctl("tokens", "rm", fresh["id"]).check()
    assert fresh["id"] not in [t["id"] for t in c.tctl("tokens", "ls", "--format=json").check().json]


def test_tctl_shows_the_cluster(c):
    status = c.tctl("status", "--format=json").check().json
    assert status["cluster"] == "dev" and status["agents_online"] >= 2, status
    kinds = {s["kind"] for s in status["services"] if s["status"] == "online"}
    assert kinds == {"auth", "audit", "broker", "proxy"}, status
    inventory = c.tctl("inventory", "ls", "--format=json").check().json
    assert {"agent", "auth", "audit", "broker", "proxy"} <= {i["kind"] for i in inventory}, inventory
    assert "ssh-ed25519" in c.tctl("auth", "export", "--type=user").check().out
    assert "BEGIN CERTIFICATE" in c.tctl("auth", "export", "--type=host", "--format=pem").check().out


def test_wrong_usage_is_two_and_no_login_is_three(c):
    c.tsh("ls", "--nonsense").check(2)
    c.tsh("nonsense").check(2)
    c.tsh("ls", home=c.new_home("nobody")).check(3)
    c.tctl("users", "add").check(2)
    expired = c.tctl("status", env={"REMOTELER_IDENTITY_FILE": str(c.dir / "none.pem")})
    assert expired.code in (1, 3), expired.code


def test_a_home_that_others_can_write_to_is_refused(c):
    home = c.new_home("open")
    home.chmod(0o777)
    assert "chmod 700" in c.tsh("ls", home=home).check(4).err
