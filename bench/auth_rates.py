"""How many logins and certificates auth gives in a second, beside what the machine's OpenSSL signs
and what one password costs: no peer, and no aim. What auth and its database spend on each call says
which of them is the limit."""

import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

from pairs import Failed, written_down

RUNS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
USERS = int(os.environ.get("RL_BENCH_USERS", "32"))
ISSUES = 1000
AT_ONCE = 16


def call(bench, *words, stdin=None):
    done = subprocess.run(
        [str(bench.helpers / "bench_calls"), *[str(w) for w in words]],
        input=stdin, env=bench.remoteler.cluster.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=300,
    )
    if done.returncode != 0:
        raise Failed(done.stderr.decode().strip())
    said = json.loads(done.stdout)
    return said["count"] / said["seconds"]


def cpu_ms(pid):
    """Processor time of a process and of those that it started."""
    total, parents = 0, {str(pid)}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, rest = stat.parent.name, stat.read_text().rsplit(") ", 1)[1].split()
            if number in parents or rest[1] in parents:
                total += int(rest[11]) + int(rest[12])
    return total * 1e3 / os.sysconf("SC_CLK_TCK")


class Spent:
    """What auth and its database spend on each of `count` calls, in milliseconds of a core."""

    def __init__(self, bench):
        self.pids = {name: bench.remoteler.pid(name) for name in ("auth", "postgres")}
        self.runs = {name: [] for name in self.pids}

    def on(self, count, work):
        before = {name: cpu_ms(pid) for name, pid in self.pids.items()}
        rate = work()
        for name, pid in self.pids.items():
            self.runs[name].append((cpu_ms(pid) - before[name]) / count)
        return rate


def make_users(bench):
    """Signed up as people do; their passwords are hashed at the product's own cost."""
    names = [f"bench-{i}" for i in range(USERS)]
    for name in names:
        bench.remoteler.cluster.make_user(name)
    return names


def one_time_code(secret):
    return subprocess.run(
        ["oathtool", "--totp", "--base32", secret], check=True, stdout=subprocess.PIPE
    ).stdout.decode().strip()


def logins(bench, names):
    """A code is good once: that it was used is forgotten between runs."""
    users = bench.remoteler.cluster.run_dir / "users"
    bench.remoteler.sql("UPDATE auth.users SET totp_last_step = -1 WHERE name LIKE 'bench-%'")
    while time.time() % 30 > 20:  # no code ends in the middle of a run
        time.sleep(0.5)
    lines = []
    for name in names:
        password = (users / f"{name}.password").read_text().strip()
        code = one_time_code((users / f"{name}.totp").read_text().strip())
        lines.append(f"{name}\n{password}\n{code}\n")
    return call(bench, "login", AT_ONCE, stdin="".join(lines).encode())


def openssl_signs():
    """Signatures in a second on one core, by key."""
    rates = {}
    for key, pattern in (("ecdsap256", r"ecdsa.*\s([\d.]+)\s+[\d.]+$"), ("ed25519", r"EdDSA.*\s([\d.]+)\s+[\d.]+$")):
        said = subprocess.run(
            ["openssl", "speed", "-seconds", "2", key], check=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout.decode()
        found = re.findall(pattern, said, re.MULTILINE)
        if not found:
            raise Failed(f"openssl speed {key} says: {said[-300:]}")
        rates[key] = float(found[-1])
    return rates


def rates(bench):
    """Logins and certificates in a second."""
    names = make_users(bench)
    signs = openssl_signs()
    login, issue, on_login, on_issue = [], [], Spent(bench), Spent(bench)
    for _ in range(RUNS):
        login.append(on_login.on(USERS, lambda: logins(bench, names)))
        issue.append(on_issue.on(ISSUES, lambda: call(bench, "issue", names[0], ISSUES, AT_ONCE)))
    verifying_ms = password_ms(bench)
    cores = len(os.sched_getaffinity(0))
    both = 1 / (1 / signs["ecdsap256"] + 1 / signs["ed25519"])
    for variant, value in (("openssl ecdsap256, one core", signs["ecdsap256"]),
                           ("openssl ed25519, one core", signs["ed25519"]),
                           ("both of a pair, all cores", both * cores),
                           ("argon2 alone, all cores", cores * 1e3 / verifying_ms)):
        yield {"variant": variant, **written_down([value], "/s")}
    yield {
        "variant": "logins",
        "limit": f"argon2id, {verifying_ms:.0f} ms of a core for each",
        "of_argon2": statistics.median(login) / (cores * 1e3 / verifying_ms),
        **written_down(login, "/s"),
    }
    yield {
        "variant": "certificate pairs issued",
        "of_signing": statistics.median(issue) / (both * cores),
        **written_down(issue, "/s"),
    }
    for what, spent in (("login", on_login), ("pair", on_issue)):
        for name in spent.runs:
            yield {"variant": f"{name}, for each {what}", **written_down(spent.runs[name], "ms")}


def password_ms(bench):
    """What one verification costs a core, by the parameters in auth's own table."""
    encoded = bench.remoteler.sql("SELECT password_hash FROM auth.users WHERE name = 'bench-0'")
    memory, passes, lanes = (int(v) for v in re.search(r"m=(\d+),t=(\d+),p=(\d+)", encoded).groups())
    begin = time.perf_counter()
    done = subprocess.run(
        ["argon2", "somesaltsalt", "-id", "-t", str(passes), "-k", str(memory), "-p", str(lanes), "-r"],
        input=b"a password for bench-0", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    if done.returncode != 0:
        raise Failed(f"argon2: {done.stderr.decode().strip()}")
    return 1e3 * (time.perf_counter() - begin)


BENCHMARKS = {"auth-rates": rates}
