#!/usr/bin/env python3
"""The node's own SFTP server, by stock sftp and scp. Usage: sshd_sftp_test.py HARNESS"""
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

from ssh_fixture import UID, USER, over_one_server, private_copy, run_in_place

MB = 1 << 20


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def sftp(s, batch, *options, user=USER, timeout=60):
    """Runs a batch; gives (status, stdout, stderr)."""
    done = subprocess.run(["sftp", "-b", "-", "-F", s.config, "-o", f"User={user}", *options, "n"], input=batch.encode("latin-1"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


def scp(s, *args, user=USER, options=(), timeout=60):
    done = subprocess.run(["scp", "-q", "-F", s.config, "-o", f"User={user}", *options, *args], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=timeout)
    return done.returncode, done.stderr.decode()


def commands(c, s):
    home, data = s.place.path("home"), s.place.path("data")
    with open(data, "wb") as f:
        f.write(os.urandom(3 * MB + 17))
    got = sftp(s, f"""pwd
mkdir d
cd d
put {data} a
chmod 640 a
!touch -d '2001-02-03 04:05:06' {data}
put -p {data} old
rename a b
ln b hard
ln -s b soft
ls -l
df
get soft {s.place.path('back')}
rm hard
""")
    c.true("a batch of all that sftp can", got[0] == 0, got)
    c.true("it begins at home", f"Remote working directory: {home}" in got[1], got[1])
    c.equal("what was put is what was got", digest(s.place.path("back")), digest(data))
    names = sorted(os.listdir(f"{home}/d"))
    c.equal("the names", names, ["b", "old", "soft"])
    st = os.stat(f"{home}/d/b")
    c.equal("mode and owner", (stat.S_IMODE(st.st_mode), st.st_uid), (0o640, UID))
    c.equal("-p keeps the time", int(os.stat(f"{home}/d/old").st_mtime), int(os.stat(data).st_mtime))
    c.true("a long listing has names of users, modes and links", re.search(rf"-rw-r----- +\S+ {USER} +{USER} +{st.st_size} \w+ .* b\n", got[1]) and re.search(r"lrwxrwxrwx .* soft", got[1]), got[1])
    c.true("the file system's room", "%Capacity" in got[1] or "Capacity" in got[1], got[1])
    events = [f"operation=write path={home}/d/a ", f"operation=rename path={home}/d/a target={home}/d/b ", f"operation=symlink path={home}/d/soft target=b ",
              f"operation=hardlink path={home}/d/b target={home}/d/hard ", f"operation=mkdir path={home}/d ", f"operation=remove path={home}/d/hard ",
              f"operation=read path={home}/d/b ", f"operation=list path={home}/d ", f"operation=setstat path={home}/d/a target=mode=640"]
    s.wait(r"event session.end .* kind=2")
    c.equal("each is told", [e for e in events if e not in s.log], [])
    c.true("with the bytes", re.search(rf"event sftp .* in={3 * MB + 17} out=0 .* operation=write path={home}/d/a ", s.log), s.log)
    got = sftp(s, "ls ~nobody-there\n")
    c.true("~ of nobody", got[0] == 1, got)
    os.truncate(s.place.path("back"), MB)
    os.truncate(f"{home}/d/b", 2 * MB)
    got = sftp(s, f"cd d\nreput {data} b\nget -a b {s.place.path('back')}\n")
    c.true("transfers that go on", got[0] == 0 and digest(f"{home}/d/b") == digest(data) == digest(s.place.path("back")), got)


def refusals(c, s):
    home = s.place.path("home")
    os.mkfifo(f"{home}/fifo")
    for name in ("fifo", "/dev/zero", "/dev/mem", "/etc/shadow"):
        begun = time.monotonic()
        got = sftp(s, f"get {name} {s.place.path('never')}\n")
        c.true(f"{name} is not read and not waited for", got[0] == 1 and time.monotonic() - begun < 10, got)
    got = sftp(s, f"put {s.place.path('data')} ../../../../../../etc/rl-sftp-test\n")
    c.true("where the user may not write, dots do not help", got[0] == 1 and not os.path.exists("/etc/rl-sftp-test"), got)
    s.wait(r"event sftp .* outcome=1 .* operation=write path=\S*etc/rl-sftp-test .*reason=Permission denied")
    got = scp(s, s.place.path("data"), "n:/dev/null")
    c.equal("/dev/null takes all", got[0], 0)


def names(c, s):
    home = s.place.path("home")
    name = b"caf\xe9 \x01"
    source = os.path.join(os.fsencode(s.place.path("")), name)
    with open(source, "wb") as f:
        f.write(b"latin")
    done = subprocess.run([b"scp", b"-q", b"-F", os.fsencode(s.config), b"-o", b"User=" + USER.encode(), source, b"n:"], timeout=30)
    c.true("a name that is not UTF-8", done.returncode == 0 and open(os.path.join(os.fsencode(home), name), "rb").read() == b"latin", done)
    s.wait(r"event sftp .* operation=write path=\S*caf")
    c.true("reaches no terminal as it is", b"\x01" not in s.log.encode("latin-1", "replace"), s.log)


def trees(c, s):
    tree, home = s.place.path("tree"), s.place.path("home")
    os.makedirs(f"{tree}/sub/deep")
    for i in range(300):
        with open(f"{tree}/sub/f{i}", "w") as f:
            f.write(f"{i}\n" * (i % 50))
    os.chmod(f"{tree}/sub/f7", 0o755)
    got = scp(s, "-r", "-p", tree, "n:copy")
    c.true("scp -r there", got[0] == 0 and subprocess.run(["diff", "-r", tree, f"{home}/copy"]).returncode == 0, got)
    c.equal("with -p its modes", stat.S_IMODE(os.stat(f"{home}/copy/sub/f7").st_mode), 0o755)
    got = scp(s, "-r", "n:copy", s.place.path("again"))
    c.true("and back", got[0] == 0 and subprocess.run(["diff", "-r", tree, s.place.path("again")]).returncode == 0, got)
    got = scp(s, "n:copy/sub/f1*", s.place.path("empty2/"))
    os.mkdir(s.place.path("globbed"))
    got = scp(s, "n:copy/sub/f29?", s.place.path("globbed"))
    c.equal("patterns", (got[0], len(os.listdir(s.place.path("globbed")))), (0, 10))


def large(c, s):
    data, back = s.place.path("large"), s.place.path("back")
    with open(data, "wb") as f:
        for _ in range(8):
            f.write(os.urandom(8 * MB))
    rekey = ("-o", "RekeyLimit=1M")
    for options, name in (((), ""), (rekey, " while keys are renewed")):
        got = scp(s, data, "n:large", options=options, timeout=120)
        c.true(f"64 MiB there{name}", got[0] == 0 and digest(s.place.path("home/large")) == digest(data), got)
        got = scp(s, "n:large", back, options=options, timeout=120)
        c.true(f"and back{name}", got[0] == 0 and digest(back) == digest(data), got)
        os.remove(back)


def sftp_servers(s):
    """Of this server alone: other tests may have theirs at the same time."""
    said = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], stdout=subprocess.PIPE).stdout.decode(errors="replace")
    running = [line.split(None, 2) for line in said.splitlines()]
    ours = {str(s.process.pid)}
    for pid, parent, _ in running * 4:  # as deep as they may lie
        if parent in ours:
            ours.add(pid)
    return [int(pid) for pid, _, words in running if pid in ours and words.startswith("remoteler-sftp ")]


def killed(c, s):
    """What a server said is told, though it lay unread when the server was killed."""
    last = s.place.path("home/killed-29")
    told = s.log.count("path=" + last[:-2])
    with subprocess.Popen(["sftp", "-b", "-", "-F", s.config, "-o", f"User={USER}", "n"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        client.stdin.write("".join(f"mkdir killed-{i}\n" for i in range(30)).encode())
        client.stdin.flush()
        end = time.monotonic() + 20
        while not os.path.exists(last) and time.monotonic() < end:
            time.sleep(0.001)
        for pid in sftp_servers(s):
            os.kill(pid, signal.SIGKILL)
        client.communicate(b"ls\n", timeout=20)
        c.true("a killed server ends the client", client.returncode != 0, client.returncode)
    s.wait(r"session\.end .*signal=KILL")
    c.equal("all that it did is told", s.log.count("path=" + last[:-2]) - told, 30)


def many(c, s):
    """A directory of 100,000 files; then more operations than are told one by one."""
    directory = s.place.path("home/many")
    os.mkdir(directory)
    for i in range(100000):
        os.close(os.open(f"{directory}/{i}", os.O_CREAT | os.O_WRONLY, 0o644))
    os.chown(directory, UID, UID)
    got = sftp(s, "ls -1 many\n", timeout=120)
    c.equal("100,000 files are listed", (got[0], got[1].count("\n")), (0, 100001))
    told = s.log.count("operation=remove")
    got = sftp(s, "rm many/1????\n", timeout=120)
    c.true("10,000 are removed", got[0] == 0, got[0])
    end = time.monotonic() + 20
    while time.monotonic() < end:
        one_by_one = s.log.count("operation=remove") - told
        together = [int(x) for x in re.findall(r"operation=summary .* reason=(?:.*, )?remove (\d+)", s.log)]
        if one_by_one + sum(together) == 10000:
            break
        time.sleep(0.1)
    c.true("the log is not filled, and none is lost", 1000 < one_by_one < 5000 and one_by_one + sum(together) == 10000, (one_by_one, together))
    c.true("by few sums", len(together) < 10, together)
    shutil.rmtree(directory)


def forced(c, s):
    s.place.sign("ed25519", out="internal", extra=("-O", "force-command=internal-sftp"))
    config = s.config_for("internal")
    got = subprocess.run(["sftp", "-q", "-b", "-", "-F", config, "-o", f"User={USER}", "n"], input=b"ls\n", timeout=20, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    c.true("a certificate that forces internal-sftp gets it", got.returncode == 0, got)
    got = s.ssh("echo RAN", key="internal", options=("-l", USER), input=b"")
    c.true("and nothing else", b"RAN" not in got[1], got)
    got = sftp(s, "ls\n", user="nobody")
    c.true("whose shell takes no sessions copies nothing", got[0] != 0 and "takes no sessions" in got[2], got)


def not_sftp(c, s):
    p = subprocess.run(["ssh", "-F", s.config, "-s", "n", "sftp"], input=b"\xff\xff\xff\xff hello", timeout=20, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    c.true("what is not SFTP ends it, in words", p.returncode == 1 and b"a request of 4294967295 bytes" in p.stderr, p)


def all_parts(c, place):
    os.chmod(place.path("home"), 0o711)
    over_one_server(c, place, private_copy(place, sys.argv[1]), ("--login=root", "--login=nobody", f"--login={USER}"),
                    (commands, refusals, names, trees, large, forced, not_sftp, killed, many))


if __name__ == "__main__":
    sys.exit(run_in_place(all_parts))
