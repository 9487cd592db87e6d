"""The audit log, proven: a whole one, and one that its database's owner has changed."""

import json
import pathlib
import subprocess

from cluster import run, until
from test_9_operations import newest_program, postgres, sql, wipe


def verify(c, *flags, memory=None):
    """What tctl says of the log, and the exit status."""
    memory = memory or c.dir / "audit-memory.json"
    r = c.tctl("audit", "verify", "--format=json", f"--memory={memory}", *flags)
    assert r.code in (0, 1) and r.out, (r.code, r.err)
    assert r.json["ok"] == (r.code == 0), (r.code, r.out)
    return r.json, r.err


def psql(c, sql, ports={}):
    if c.dir not in ports:
        ports[c.dir] = next(iter(c.process("postgres")["ports"].values()))
    port = ports[c.dir]
    password = (c.run_dir / "keys" / "postgres_password").read_text().strip()
    return run(
        ["psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-d", "remoteler", "-Atq", "-v", "ON_ERROR_STOP=1",
         "-c", "SET search_path = audit", "-c", sql],
        env=dict(c.env, PGPASSWORD=password),
    ).check().out.strip()


def proven(c, event):
    """Waits until a checkpoint covers the event."""
    def is_covered():
        said, _ = verify(c)
        assert said["ok"], said
        return said["last_checkpoint"] and said["last_checkpoint"]["time"] > event["time"]
    until(20, "a checkpoint over the event", is_covered)


def a_session(c, text):
    c.ssh("node-r1", f"echo {text}").check()
    return c.wait_for_event(lambda e: e["command"] == f"echo {text}", "--type=session.start")


def test_a_log_that_nobody_touched_is_proven(c):
    proven(c, a_session(c, "untouched"))
    said, _ = verify(c)
    assert said["events"] > 10 and said["partitions"] >= 8 and said["first_bad"] is None, said
    seen = json.loads((c.dir / "audit-memory.json").read_text())
    assert seen["checkpoint"]["number"] == said["last_checkpoint"]["number"] and seen["keys"], seen
    text = c.tctl("audit", "verify", f"--memory={c.dir / 'audit-memory.json'}").check().out
    assert "OK" in text, text


def test_what_the_databases_owner_changes_is_named(c):
    event = a_session(c, "evidence")
    proven(c, event)
    uid = event["uid"]
    psql(c, f"CREATE TABLE public.stash AS SELECT * FROM events WHERE uid = '{uid}'")
    back = f"DELETE FROM events WHERE uid = '{uid}'; INSERT INTO events SELECT * FROM public.stash"
    edits = {
        "packed = set_byte(packed, 50, get_byte(packed, 50) # 1)": "it was changed",
        "user_name = 'nobody'": 'column "user"',
        "at_ns = at_ns - 86400000000000": 'column "time"',
        "prev_hash = hash": "follow",
    }
    try:
        for edit, reason in edits.items():
            psql(c, f"UPDATE events SET {edit} WHERE uid = '{uid}'")
            said, err = verify(c)
            assert not said["ok"] and said["first_bad"]["uid"] == uid, (edit, said)
            assert reason in said["first_bad"]["reason"] and reason in err, (edit, said, err)
            psql(c, back)
        psql(c, f"DELETE FROM events WHERE uid = '{uid}'")
        said, _ = verify(c)
        assert not said["ok"] and "missing" in said["first_bad"]["reason"], said
        assert said["first_bad"]["time"] >= event["time"], said
    finally:
        psql(c, back)
        psql(c, "DROP TABLE public.stash")
    assert verify(c)[0]["ok"]


def test_what_others_saw_is_held_against_the_log(c):
    kept = c.run_dir / "log" / "checkpoints.jsonl"
    proven(c, a_session(c, "others"))
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert lines and all({"number", "sha256", "checkpoint", "signature", "key_id"} <= set(s) for s in lines)
    assert verify(c, f"--against={kept}")[0]["ok"]

    def heard():
        a_session(c, "heard")
        status = run(["remoteler", "status", f"--data-dir={c.run_dir / 'state' / 'node-a'}", "--format=json"], env=c.env)
        (c.dir / "node-a.json").write_text(status.check().out)
        return status.json["audit_head"]

    until(70, "a statement with a checkpoint at node-a", heard)
    assert verify(c, f"--against={c.dir / 'node-a.json'}")[0]["ok"]
    other = c.dir / "other.json"
    other.write_text(json.dumps({"number": lines[-1]["number"], "sha256": "0" * 64}))
    said, _ = verify(c, f"--against={other}")
    assert not said["ok"] and "another one than" in said["first_bad"]["reason"], said
    other.write_text(json.dumps({"number": 10**9, "sha256": "0" * 64}))
    said, _ = verify(c, f"--against={other}")
    assert not said["ok"] and "set back" in said["first_bad"]["reason"], said
    other.write_text("nothing")
    refused = c.tctl("audit", "verify", f"--against={other}", f"--memory={c.dir / 'none.json'}").check(1)
    assert "no checkpoint in it" in refused.err, refused.err


def test_another_key_is_not_believed(c):
    """The memory pins the key: an identity file that names another one proves nothing."""
    memory = c.dir / "audit-memory.json"
    seen = json.loads(memory.read_text())
    seen["keys"][0]["public_key"] = seen["keys"][0]["public_key"].replace("A", "B", 1)
    pathlib.Path(c.dir / "swapped.json").write_text(json.dumps(seen))
    said, _ = verify(c, memory=c.dir / "swapped.json")
    assert not said["ok"], said


def test_auth_signs_nothing_more_over_a_log_that_was_changed(c):
    proven(c, a_session(c, "the last"))
    metrics = c.process("auth")["metrics_url"]

    def is_broken(value):
        return f"remoteler_auth_audit_broken {value}" in run(["curl", "-fsS", metrics], env=c.env).out

    until(20, "the newest event below a checkpoint", lambda: verify(c)[0]["unproven"] == 0)
    newest = "(SELECT uid FROM events ORDER BY received_ns DESC, sequence DESC LIMIT 1)"
    edit = f"UPDATE events SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) WHERE uid = {newest}"
    psql(c, edit)
    try:
        until(15, "auth to find it out", lambda: is_broken(1))
    finally:
        psql(c, edit)
    until(15, "auth to sign again", lambda: is_broken(0))
    assert verify(c)[0]["ok"]


def test_events_are_exported_as_lines_and_followed(c):
    first, second = a_session(c, "exported"), a_session(c, "exported later")
    r = c.tctl("audit", "export", "--type=session.start").check()
    events = [json.loads(line) for line in r.out.splitlines()]
    assert {e["type"] for e in events} == {"session.start"}, events
    uids = [e["uid"] for e in events]  # in the order of receipt
    assert uids.index(first["uid"]) < uids.index(second["uid"]) and len(set(uids)) == len(uids), uids
    follow = subprocess.Popen(
        ["tctl", "audit", "export", "--follow", "--last=1s", "--type=session.command"],
        env=c.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    try:
        c.ssh("node-r1", "echo followed").check()
        line = b""
        while b"echo followed" not in line:
            line = follow.stdout.readline()
            assert line, "the export ended"
        assert json.loads(line)["type"] == "session.command"
    finally:
        follow.kill()
        follow.wait()


def test_yesterdays_backup_is_noticed(c):
    """Log and checkpoints, all of auth's and audit's database, are set back and go on from there. It is the
    last test here: the log is another one since."""
    where, env = postgres(c)
    dump = c.dir / "yesterday.dump"
    proven(c, a_session(c, "yesterday"))
    run([newest_program("pg_dump"), "--format=custom", f"--file={dump}", *where, "remoteler"], env=env).check()
    proven(c, a_session(c, "today"))
    c.dev("stop", "audit", "auth").check()
    wipe(c)
    run([newest_program("pg_restore"), "--exit-on-error", *where, "--dbname=remoteler", dump], env=env,
        timeout=120).check()
    sql(c, "UPDATE auth.revision SET number = number + 100000")
    c.dev("start", "auth", "audit").check()
    until(30, "a session", lambda: c.ssh("node-r1", "true").code == 0)
    said, err = verify(c)
    reason = said["first_bad"]["reason"]
    assert not said["ok"] and ("set back" in reason or "another one than" in reason) and reason in err, said
    # who saw nothing of it before needs somebody else's word
    alone = c.dir / "saw-nothing.json"
    said, _ = verify(c, f"--against={c.run_dir / 'log' / 'checkpoints.jsonl'}", memory=alone)
    assert not said["ok"], said
