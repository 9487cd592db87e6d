"""What a recording costs whoever looks at a terminal: as long as it takes, with and without."""

import os
import time

from pairs import AT_MOST, Failed, compare, measure, timed

BYTES = int(os.environ.get("RL_BENCH_BYTES", "100000000"))
PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
SLOWEST_BYTES_S = 1 << 20
# Lines as a log has them: none like another, and yet much alike.
LINE = "2026-11-22T10:{:02d}:{:02d}Z node-{} worker[{}]: request {:08x} took {} ms, {} bytes\n"
# The name of user and role, and how its terminals are recorded.
USERS = {"recorded": "best_effort", "unrecorded": "off"}

ROLE = """
kind: role
version: v1
metadata: {name: %s}
spec:
  allow: {logins: [root], node_labels: {"*": "*"}, rules: [{resources: [session], verbs: [list], where: own}]}
  options: {record_session: {ssh: "%s"}}
"""


def lines(count_bytes):
    """Text of that length, the same each time."""
    value, out, n = 1, [], 0
    while n < count_bytes:
        value = (value * 1103515245 + 12345) % (1 << 31)
        line = LINE.format(value // 7 % 60, value // 11 % 60, value % 50, value // 13 % 4096, value,
                           value // 3 % 2000, value // 5 % 100000)
        out.append(line)
        n += len(line)
    return "".join(out)[:count_bytes]


def make_user(c, name):
    """Logged in: the home that tsh has for him."""
    c.tctl("create", "-f", "-", stdin=(ROLE % (name, USERS[name])).encode()).check()
    c.make_user(name, roles=name)
    home = c.new_home(name)
    c.login(name, home).check()
    return home


def recording_cost(bench):
    """`ssh -tt NODE cat FILE` of 100 MB, recorded against not recorded"""
    c = bench.remoteler.cluster
    text = c.dir / "shown.txt"
    text.write_text(lines(BYTES))
    homes = {name: make_user(c, name) for name in USERS}

    def run(name):
        words = ["ssh", "-F", c.ssh_config(homes[name]), "-o", "BatchMode=yes", "-tt", "node-r1", f"cat {text}"]
        seconds = timed([words], c.env, 60 + BYTES / SLOWEST_BYTES_S)
        time.sleep(1)  # what audit still stores is not the next run's
        return seconds

    def count(name):
        return len(c.tsh("recordings", "ls", "--last=1h", "--format=json", home=homes[name]).check().json)

    try:
        for name in USERS:
            run(name)
        subject, peer = measure([lambda: run("recorded"), lambda: run("unrecorded")], PAIRS)
        if not count("recorded") or count("unrecorded"):
            raise Failed("what should be recorded is not, or what should not is")
        yield {"variant": "cat to a terminal", "bytes": BYTES, **compare(subject, peer, "s", (AT_MOST, 1.15))}
    finally:
        text.unlink()


BENCHMARKS = {"recording-cost": recording_cost}
