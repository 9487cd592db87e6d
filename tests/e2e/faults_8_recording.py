"""Recordings through long outages, and one that is longer than anybody's memory."""

import re
import subprocess
import time

from cluster import until
from test_8_recording import make, play, recordings, terminal, the_recording

OUTAGE_S = 120
GRACE_S = 90
LONG_BYTES = 500 << 20


def test_a_user_logs_in(c):
    c.login().check()


def begin(c, number, node, home=None):
    t = terminal(c, "-tt", node, home=home)
    t.send("PS1='ready> '; stty -echo; echo beg''ins\n")
    t.expect("begins")
    # a line a second until long after the outage
    t.send(f"i=0; while [ $i -lt {OUTAGE_S + 45} ]; do echo session-{number}-line-$i; i=$((i+1)); sleep 1; done; echo a''ll\n")
    return t


def test_audit_is_away_for_two_minutes_during_ten_sessions(c):
    """Nothing of the best-effort ones is lost; the strict ones end after 90 s and say so."""
    home = make(c, "stella", "strict-through-outages", mode="strict")
    best = {i: begin(c, i, "node-a" if i % 2 else "node-r1") for i in range(8)}
    strict = {i: begin(c, i, "node-a" if i % 2 else "node-r1", home) for i in (8, 9)}
    until(15, "ten live recordings", lambda: sum(r["status"] == "live" for r in recordings(c) + recordings(c, home)) >= 10)
    c.dev("stop", "audit").check()
    away = time.monotonic()
    try:
        for t in strict.values():
            t.expect("this session must be recorded", seconds=GRACE_S + 20)
            assert t.wait() == 255
        lasted = time.monotonic() - away
        assert GRACE_S - 15 < lasted < GRACE_S + 15, lasted
        time.sleep(max(0, OUTAGE_S - (time.monotonic() - away)))
    finally:
        c.dev("start", "audit").check()
    for i, t in best.items():
        t.expect("all", seconds=90)
        t.send("exit\n")
        t.wait(30)
    for i in best:
        def is_it(r):
            return r["status"] == "complete" and f"session-{i}-line-0" in play(c, r["session_id"], "--format=text").out
        text = play(c, the_recording(c, is_it, seconds=60)["session_id"], "--format=text").check().out
        lines = [int(n) for n in re.findall(rf"^session-{i}-line-(\d+)$", text, re.M)]
        assert lines == list(range(OUTAGE_S + 45)), (i, len(lines))
    for i in strict:
        ended = the_recording(c, lambda r: r["status"] == "complete" and f"session-{i}-line-0" in play(c, r["session_id"], "--format=text", home=home).out, home=home, seconds=60)
        text = play(c, ended["session_id"], "--format=text", home=home).check().out
        assert text.count(f"session-{i}-line-") > 30, text[-500:]


def memory_of(pid):
    status = open(f"/proc/{pid}/status").read()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) << 10 if found else 0  # it has ended


def test_a_recording_of_500_mb_is_played_in_constant_memory(c):
    line = "all work and no play makes jack a dull boy, and this line is number"
    session = subprocess.Popen(
        ["ssh", "-F", c.ssh_config(), "-tt", "node-a", f"yes '{line}' | cat -n | head -c {LONG_BYTES}; echo; echo the-e''nd"],
        env=c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    shown = 0
    while data := session.stdout.read(1 << 20):
        shown += len(data)
    assert session.wait(60) == 0 and shown > LONG_BYTES, shown
    r = the_recording(c, lambda r: r["command"] and "all work" in r["command"] and r["status"] == "complete", seconds=120)
    audit = c.process("audit")["pid"]
    before = memory_of(audit)
    player = subprocess.Popen(["tsh", "play", r["session_id"]], env=dict(c.env, TSH_HOME=str(c.home)), stdout=subprocess.PIPE)
    peak_tsh = peak_audit = played = 0
    last = b""
    while data := player.stdout.read(4 << 20):
        played += len(data)
        last = (last + data)[-64:]
        peak_tsh, peak_audit = max(peak_tsh, memory_of(player.pid)), max(peak_audit, memory_of(audit))
    assert player.wait(60) == 0 and played == shown and b"the-end" in last, (played, shown, last)
    # the sanitizers keep what was freed for a while: twice as much then
    assert peak_tsh < 400 << 20 and peak_audit - before < 256 << 20, (peak_tsh, before, peak_audit)
    print(f"played {played >> 20} MiB: tsh at most {peak_tsh >> 20} MiB, audit {before >> 20} -> {peak_audit >> 20} MiB", flush=True)
