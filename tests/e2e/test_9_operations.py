"""What an administrator does on a bad day: the database is gone, the key file is the wrong one, the
program is older than the schema."""

import json
import os
import pathlib
import re
import shutil
import urllib.request

from cluster import Skip, run, until

ENDS_S = 20
DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "remoteler.json"
ALERTS = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "remoteler-alerts.yml"


def postgres(c):
    ports = dict(line.split("=") for line in (c.run_dir / "ports").read_text().split())
    password = (c.run_dir / "keys" / "postgres_password").read_text().strip()
    env = dict(os.environ, PGPASSWORD=password)
    return ["-h", "127.0.0.1", "-p", ports["PORT_postgres"], "-U", "postgres"], env


def sql(c, text, database="remoteler"):
    where, env = postgres(c)
    words = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", *where, "-d", database]
    return run(words, env=env, stdin=text.encode()).check().out.strip()


def newest_program(name):
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else name


def command_of(c, name):
    pid = c.process(name)["pid"]
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


def ends_with(command, words):
    """The program is told to start, does not, and says why in one sentence."""
    done = run(command, timeout=ENDS_S)
    assert done.code == 1, f"exit {done.code}: {done.err[-500:]}"
    says = json.loads(done.err.strip().splitlines()[-1])["error"]
    assert words in says, says


def metric_names(c):
    names = set()
    for process in c.dev("ps", "--format=json").check().json:
        if process["metrics_url"]:
            with urllib.request.urlopen(process["metrics_url"], timeout=5) as answer:
                names.update(re.findall(r"^(remoteler_\w+)", answer.read().decode(), re.MULTILINE))
    return names


def test_every_metric_that_an_alert_or_the_manual_names_is_there(c):
    c.ssh("node-r1", "true").check()
    there = metric_names(c)
    rules = "\n".join(line for line in ALERTS.read_text().splitlines() if not line.lstrip().startswith("#"))
    manual = (ALERTS.parents[2] / "docs" / "operations.md").read_text()
    for what, text in (("the alerts", rules), ("docs/operations.md", manual)):
        named = {n for n in re.findall(r"\bremoteler_(?:auth|audit|broker|proxy|ready|build)\w*", text)}
        roles = {"remoteler_auth", "remoteler_audit", "remoteler_audit_owner"}  # of the database
        missing = named - there - roles
        assert not missing, f"{what}: {sorted(missing)}"
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = set(re.findall(r"\bremoteler_\w+", " ".join(t["expr"] for p in panels for t in p["targets"])))
    assert shown and not shown - there, f"the dashboard: {sorted(shown - there)}"
    alerts = set(re.findall(r"alert: (\w+)", rules))
    unsaid = {a for a in alerts if f"`{a}`" not in manual}
    assert alerts and not unsaid, f"docs/operations.md says nothing of {sorted(unsaid)}"


def test_the_alert_rules_are_ones_that_prometheus_takes(c):
    promtool = os.environ.get("RL_PROMTOOL", "promtool")
    if not shutil.which(promtool):
        raise Skip("there is no promtool: ./dev test unpacks Debian's prometheus for it")
    run([promtool, "check", "rules", ALERTS]).check()
    settings = ALERTS.parents[1] / "docker" / "prometheus.yml"
    run([promtool, "check", "config", "--syntax-only", settings]).check()


def test_a_program_goes_with_a_schema_one_step_ahead_and_refuses_two(c):
    newest = int(sql(c, "SELECT max(version) FROM auth.schema_version"))
    command = command_of(c, "auth")
    sql(c, f"INSERT INTO auth.schema_version (version, name) VALUES ({newest + 1}, 'of the next release')")
    try:
        c.dev("restart", "auth").check()
        until(20, "a session by an auth that is one step behind", lambda: c.ssh("node-r1", "true").code == 0)
        c.dev("stop", "auth").check()
        sql(c, f"INSERT INTO auth.schema_version (version, name) VALUES ({newest + 2}, 'of the one after')")
        ends_with(command, f'the schema "auth" is at version {newest + 2} and this program goes with')
        sql(c, f"DELETE FROM auth.schema_version WHERE version >= {newest}")
        ends_with(command, f'the schema "auth" is at version {newest - 1} and this program needs {newest}')
    finally:
        sql(c, f"DELETE FROM auth.schema_version WHERE version > {newest}")
        sql(c, f"INSERT INTO auth.schema_version (version, name) VALUES ({newest}, 'as before')"
               " ON CONFLICT DO NOTHING")
        c.dev("start", "auth").check()
    until(20, "the cluster to be as before", lambda: c.ssh("node-r1", "true").code == 0)


def wipe(c):
    sql(c, "DROP DATABASE remoteler WITH (FORCE)", "postgres")
    sql(c, """CREATE DATABASE remoteler;
        REVOKE ALL ON DATABASE remoteler FROM PUBLIC;
        GRANT CONNECT ON DATABASE remoteler TO remoteler_auth, remoteler_audit_owner, remoteler_audit;
        GRANT CREATE ON DATABASE remoteler TO remoteler_auth, remoteler_audit_owner;""", "postgres")


def other_key_file(c):
    path = c.dir / "other.key"
    path.write_text("1:" + "A" * 43 + "=\n")
    path.chmod(0o600)
    return path


def test_a_database_that_was_lost_comes_back_from_its_dump_and_the_key_file(c):
    where, env = postgres(c)
    dump = c.dir / "remoteler.dump"
    command = command_of(c, "auth")
    run([newest_program("pg_dump"), "--format=custom", f"--file={dump}", *where, "remoteler"],
        env=env).check()
    events = len(c.events("--type=user.login"))
    c.tctl("users", "add", "after-the-dump", "--roles=access", "--logins=root").check()
    c.dev("stop", "audit", "auth").check()
    wipe(c)
    run([newest_program("pg_restore"), "--exit-on-error", *where, "--dbname=remoteler", dump],
        env=env, timeout=120).check()
    sql(c, "UPDATE auth.revision SET number = number + 100000")

    wrong = [f"--key-file={other_key_file(c)}" if w.startswith("--key-file=") else w for w in command]
    ends_with(wrong, "can not be unwrapped: the key file is another one")

    c.dev("start", "auth", "audit").check()
    home = c.new_home("restored")
    until(30, "the same user to log in", lambda: c.login("alice", home).code == 0)
    until(30, "a session through the tunnel",
          lambda: c.ssh("node-r1", "hostname", home=home).out == "node-r1\n")
    names = {u["name"] for u in c.tctl("users", "ls", "--format=json").check().json}
    assert "alice" in names and "after-the-dump" not in names, names
    until(30, "audit to have the events of before and the new ones",
          lambda: len(c.events("--type=user.login")) > events)
