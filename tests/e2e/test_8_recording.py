"""What a terminal showed is in audit, and nobody but who may sees it."""

import json
import os
import re
import signal
import time

from cluster import ROOT, Terminal, run, until


def terminal(c, *args, home=None):
    return Terminal(["ssh", "-F", c.ssh_config(home), *args], dict(c.env, TERM="xterm"))


def recordings(c, home=None, *flags):
    return c.tsh("recordings", "ls", "--last=1h", "--format=json", *flags, home=home).check().json


def the_recording(c, accepts, home=None, seconds=15):
    """The newest recording that `accepts` takes, once audit has it."""
    found = []
    until(seconds, "a recording in audit", lambda: found.extend(r for r in recordings(c, home) if accepts(r)) or found)
    return found[0]


def play(c, session, *flags, home=None):
    return c.tsh("play", *flags, session, home=home)


def a_session(c, node, mark, *lines):
    """A shell on a terminal that shows `mark`, then ends with 7; its recording."""
    t = terminal(c, "-tt", node)
    t.send("PS1='ready> '; stty -echo\n")
    t.expect("ready>")
    for line in lines:
        t.send(line + "\n")
    t.send(f"echo {mark[:3]}''{mark[3:]}\n")
    t.expect(mark)
    t.send("exit 7\n")
    assert t.wait() == 7
    return the_recording(c, lambda r: r["status"] == "complete" and mark in play(c, r["session_id"], "--format=text").check().out)


def test_a_terminal_is_recorded_and_played(c):
    for node in ("node-r1", "node-a"):
        mark = f"recorded-on-{node}"
        r = a_session(c, node, mark, "printf '\\033[31mred\\033[0m\\n'")
        assert (r["user"], r["login"], r["node_name"], r["kind"]) == ("alice", "root", node, "ssh"), r
        assert r["interactive"] and r["command"] is None and r["exit_code"] == 7, r
        assert r["size_bytes"] > 0 and 0 < r["duration_s"] < 60 and r["ended"] > r["started"], r
        text = play(c, r["session_id"], "--format=text").check().out
        assert re.search("^red$", text, re.M) and "\x1b" not in text, text
        raw = play(c, r["session_id"]).check().out
        assert "\x1b[31mred\x1b[0m" in raw and mark in raw, raw


def test_a_recording_is_json_and_an_asciicast(c):
    r = a_session(c, "node-r1", "as-data", "printf 'caf\\303\\251\\n'")
    document = play(c, r["session_id"], "--format=json").check().json
    assert document["session_id"] == r["session_id"] and document["status"] == "complete", document
    assert document["records"][0]["type"] == "resize", document["records"][0]
    times = [x["time_s"] for x in document["records"]]
    assert times == sorted(times) and times[-1] < 60, times
    output = "".join(x["data"] for x in document["records"] if x["type"] == "output")
    assert "as-data" in output and "café" in output, output
    cast = play(c, r["session_id"], "--format=asciicast").check().out
    lines = [json.loads(line) for line in cast.splitlines()]
    assert lines[0]["version"] == 2 and lines[0]["title"] == "root@node-r1", lines[0]
    assert "".join(x[2] for x in lines[1:] if x[1] == "o") == output
    file = c.dir / "session.cast"
    file.write_text(cast)
    again = c.tsh("play", "--format=text", file).check().out
    assert again == play(c, r["session_id"], "--format=text").check().out, again


def test_a_window_change_is_recorded_at_its_place(c):
    t = terminal(c, "-tt", "node-r1")
    t.send("PS1='ready> '; stty -echo\n")
    t.expect("ready>")
    t.resize(101, 37)
    t.send("until [ \"$(stty size)\" = '37 101' ]; do sleep 0.1; done; echo chan''ged\n")
    t.expect("changed")
    t.send("exit\n")
    t.wait()
    r = the_recording(c, lambda r: r["status"] == "complete" and "changed" in play(c, r["session_id"], "--format=text").out)
    records = play(c, r["session_id"], "--format=json").check().json["records"]
    resize = next(i for i, x in enumerate(records) if x["type"] == "resize" and x["columns"] == 101)
    assert records[resize]["rows"] == 37 and any("changed" in x.get("data", "") for x in records[resize:]), records


def test_what_is_typed_is_not_recorded_when_it_is_not_shown(c):
    t = terminal(c, "-tt", "node-r1")
    t.send("PS1='ready> '\n")
    t.expect("ready>")
    t.send("stty -echo; echo wh''at; read -r secret; echo le''ngth ${#secret}\n")
    t.expect("what")
    t.send("hunter2-hunter2\n")
    t.expect("length 15")
    t.send("exit\n")
    t.wait()
    r = the_recording(c, lambda r: r["status"] == "complete" and "length 15" in play(c, r["session_id"], "--format=text").out)
    assert "hunter2" not in play(c, r["session_id"]).check().out


def test_a_command_without_a_terminal_is_known_and_shows_nothing(c):
    c.ssh("node-r1", "echo not-rec''orded; exit 3").check(3)
    r = the_recording(c, lambda r: r["command"] and "not-rec" in r["command"])
    assert not r["interactive"], r
    r = the_recording(c, lambda x: x["session_id"] == r["session_id"] and x["status"] == "complete")
    assert r["exit_code"] == 3, r
    played = play(c, r["session_id"]).check()
    assert played.out == "" and "not-rec" in played.err, (played.out, played.err)


def test_a_speed_and_pauses_are_kept_and_skipped(c):
    r = a_session(c, "node-r1", "slowly", "sleep 3")
    start = time.monotonic()
    play(c, r["session_id"]).check()
    assert time.monotonic() - start < 2.5, "a pipe is not made to wait"
    start = time.monotonic()
    play(c, r["session_id"], "--speed=1").check()
    as_it_was = time.monotonic() - start
    assert as_it_was > 3, as_it_was
    start = time.monotonic()
    play(c, r["session_id"], "--speed=1", "--skip-idle").check()
    assert time.monotonic() - start < as_it_was - 1
    play(c, r["session_id"], "--speed=0").check(2)


def test_others_recordings_are_not_there_for_a_user_and_for_an_auditor_they_are(c):
    r = a_session(c, "node-r1", "private")
    c.make_user("rita")
    c.make_user("odin", roles="auditor", logins="")
    rita, odin = c.new_home("rita"), c.new_home("odin")
    c.login("rita", rita).check()
    c.login("odin", odin).check()
    assert r["session_id"] not in [x["session_id"] for x in recordings(c, rita)]
    hidden = play(c, r["session_id"], home=rita).check(1)
    absent = play(c, "01234567-0123-4123-8123-0123456789ab", home=rita).check(1)
    assert hidden.err.replace(r["session_id"], "X") == absent.err.replace("01234567-0123-4123-8123-0123456789ab", "X")
    assert "private" in play(c, r["session_id"], "--format=text", home=odin).check().out
    event = c.wait_for_event(lambda e: e["session_id"] == r["session_id"] and e["user"] == "odin", "--type=session.playback")
    assert event["outcome"] == "success" and event["details"]["owner"] == "alice", event
    # watching is another right
    c.tsh("join", r["session_id"], home=odin).check(4)
    denied = c.wait_for_event(lambda e: e["user"] == "odin", "--type=session.join")
    assert denied["outcome"] == "denied", denied


def test_a_closed_recording_is_an_event_with_a_hash(c):
    r = a_session(c, "node-r1", "closed")
    event = c.wait_for_event(lambda e: e["session_id"] == r["session_id"], "--type=session.upload", seconds=15)
    assert event["outcome"] == "success" and event["details"]["status"] == "complete", event
    assert re.fullmatch("[0-9a-f]{64}", event["details"]["sha256"]), event
    assert int(event["details"]["bytes"]) == r["size_bytes"], (event, r)


ROLE = """
kind: role
version: v1
metadata: {name: %s}
spec:
  allow: {logins: [root], node_labels: {"*": "*"}, rules: [{resources: [session], verbs: [%s], where: %s}]}
  options: {record_session: {ssh: %s}}
"""


def make(c, user, role, verbs="list, read", where="own", mode="best_effort"):
    c.tctl("create", "-f", "-", stdin=(ROLE % (role, verbs, where, mode)).encode()).check()
    c.make_user(user, roles=role)
    home = c.new_home(user)
    c.login(user, home).check()
    return home


def test_a_role_may_turn_recording_off(c):
    home = make(c, "otto", "unrecorded", mode="off")
    t = terminal(c, "-tt", "node-r1", home=home)
    t.send("echo un''recorded; exit\n")
    t.expect("unrecorded")
    t.wait()
    start = c.wait_for_event(lambda e: e["user"] == "otto", "--type=session.start")
    assert start["details"]["recording"] == "off", start
    assert recordings(c, home) == []
    refused = play(c, start["session_id"], home=home).check(1)
    assert "record_session: off" in refused.err, refused.err


def test_a_live_session_is_listed_and_watched_by_who_may(c):
    watcher = make(c, "wilma", "watcher", verbs="list, join", where='""')
    t = terminal(c, "-tt", "node-r1")
    t.send("PS1='ready> '; stty -echo; echo bef''ore\n")
    t.expect("before")
    live = []
    until(15, "a live session", lambda: live.extend(s for s in c.tsh("sessions", "ls", "--format=json", home=watcher).check().json if s["user"] == "alice" and s["interactive"]) or live)
    session = live[0]["session_id"]
    assert live[0]["participants"] == ["alice"] and live[0]["node_name"] == "node-r1", live
    time.sleep(1)
    w = Terminal(["tsh", "join", session], dict(c.env, TSH_HOME=str(watcher)))
    w.expect("watching alice as root on node-r1")
    until(5, "a participant", lambda: "wilma" in [p for s in c.tsh("sessions", "ls", "--format=json", home=watcher).check().json for p in s["participants"]])
    t.send("echo af''ter\n")
    t.expect("after")
    w.expect("after", seconds=5)
    assert "before" not in w.seen
    t.send("exit\n")
    t.wait()
    w.expect("the session has ended", seconds=10)
    assert w.wait() == 0
    c.tsh("play", session, home=watcher).check(4)  # to watch gives no right to what was recorded
    for kind in ("session.join", "session.leave"):
        event = c.wait_for_event(lambda e: e["user"] == "wilma", f"--type={kind}")
        assert event["session_id"] == session, event
    ended = c.tsh("join", session, home=watcher).check(1)
    assert "has ended" in ended.err, ended.err


def test_several_sessions_of_one_connection_are_several_recordings(c):
    control = c.dir / "ctl"
    master = ["-o", f"ControlPath={control}", "-o", "ControlMaster=auto", "-o", "ControlPersist=20"]
    for mark in ("first", "second"):
        r = c.ssh(*master, "-tt", "node-r1", f"echo {mark}-of-''one", timeout=30).check()
        assert f"{mark}-of-one" in r.out
    c.ssh(*master, "-O", "exit", "node-r1")
    second = the_recording(c, lambda r: r["status"] == "complete" and r["command"] == "echo second-of-''one")
    session, channel = second["session_id"].split(".")
    assert channel == "1"
    assert "second-of-one" in play(c, second["session_id"], "--format=text").check().out
    assert "first-of-one" in play(c, session, "--format=text").check().out


def restarted(c, name, **settings):
    """The node, with these in its environment."""
    env = dict(c.env, **settings)
    run([ROOT / "dev", "restart", name], env=env, timeout=120).check()


def test_strict_recording_ends_the_session_when_audit_is_away_and_says_so(c):
    home = make(c, "sven", "strict-recording", mode="strict")
    restarted(c, "node-a", REMOTELER_RECORDING_GRACE="5s")
    best = terminal(c, "-tt", "node-a")
    best.send("PS1='ready> '; stty -echo; echo be''gins\n")
    best.expect("begins")
    strict = terminal(c, "-tt", "node-a", home=home)
    strict.send("echo strict-be''gins\n")
    strict.expect("strict-begins")
    the_recording(c, lambda r: r["user"] == "sven" and r["status"] == "live", home=home)
    c.dev("stop", "audit").check()
    try:
        best.send("for i in 1 2 3 4 5 6 7 8; do echo during-the-out''age; sleep 1; done\n")
        strict.expect("this session must be recorded", seconds=30)
        strict.wait()
        best.expect("during-the-outage")
    finally:
        c.dev("start", "audit").check()
    best.send("echo still-he''re; exit\n")
    best.expect("still-here", seconds=60)
    best.wait()
    r = the_recording(c, lambda r: r["node_name"] == "node-a" and r["status"] == "complete" and "still-here" in play(c, r["session_id"], "--format=text").out, seconds=60)
    assert play(c, r["session_id"], "--format=text").check().out.count("during-the-outage") == 8
    ended = the_recording(c, lambda r: r["user"] == "sven" and r["status"] == "complete", home=home, seconds=30)
    assert "strict-begins" in play(c, ended["session_id"], "--format=text", home=home).check().out
    restarted(c, "node-a")


def test_a_killed_agent_leaves_a_recording_up_to_the_last_part(c):
    t = terminal(c, "-tt", "node-a")
    t.send("PS1='ready> '; stty -echo; echo la''st-words\n")
    t.expect("last-words")
    r = the_recording(c, lambda r: r["status"] == "live" and r["interactive"] and r["node_name"] == "node-a")
    until(10, "what was shown", lambda: "last-words" in play(c, r["session_id"], "--format=text").out)
    os.kill(c.process("node-a")["pid"], signal.SIGKILL)
    t.wait()
    c.dev("start", "node-a").check()
    played = play(c, r["session_id"], "--format=text").check()
    assert "last-words" in played.out, played.out
