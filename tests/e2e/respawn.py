"""Processes of the cluster, started again otherwise than ./dev does: with another flag, under a limit,
with another clock; and further ones beside them. `./dev start NAME` makes them again what they were."""

import contextlib
import os
import signal
import socket
import subprocess
import time

from cluster import run, until


def pid_of(c, name):
    return int((c.run_dir / "pids" / name).read_text().split()[0])


def split_zeros(path):
    with open(path, "rb") as f:
        return [os.fsdecode(part) for part in f.read().split(b"\0") if part]


def command_of(pid):
    return split_zeros(f"/proc/{pid}/cmdline")


def environment_of(pid):
    return dict(line.split("=", 1) for line in split_zeros(f"/proc/{pid}/environ") if "=" in line)


def start_time_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return f.read().rsplit(") ", 1)[1].split()[19]


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(") ", 1)[1][0]
    except OSError:
        return "X"


def is_alive(pid):
    return state_of(pid) not in "ZX"


def cpu_s_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads_of(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def resident_kib_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def log_of(c, name):
    return c.run_dir / "log" / f"{name}.log"


def log_text(c, name, since=0):
    """What it logged after the first `since` bytes."""
    with open(log_of(c, name), "rb") as f:
        f.seek(since)
        return f.read().decode("utf-8", "replace")


def log_size(c, name):
    return log_of(c, name).stat().st_size if log_of(c, name).exists() else 0


def spawn(c, name, argv, env, pass_fds=()):
    """As ./dev does: a session of its own, its output in the log, its pid where `./dev stop` looks."""
    with open(log_of(c, name), "ab") as log:
        child = subprocess.Popen([*c.enter, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                 start_new_session=True, pass_fds=pass_fds)
    (c.run_dir / "pids" / name).write_text(f"{child.pid} {start_time_of(child.pid)}\n")
    return child


def is_ready(c, name):
    if name.startswith("node"):
        enter = ["nsenter", f"--mount=/proc/{pid_of(c, name)}/ns/mnt"]  # it may have a disk of its own
        flag = f"--data-dir={data_dir_of(c, name)}"
        status = run([*enter, "remoteler", "status", flag, "--format=json"], env=c.env)
        return status.code == 0 and status.json["connected"]
    url = c.process(name)["health_url"].replace("/healthz", "/readyz")
    return run([*c.enter, "curl", "-fsS", "--max-time", "1", url]).code == 0


def data_dir_of(c, name):
    return c.run_dir / "state" / name


def respawn(c, name, edit=None, wrap=(), env=None, ready_s=30, net_of=None):
    """Stops it and starts it with what `edit` makes of its command, behind `wrap`, with `env` besides.
    `ready_s` 0: nobody waits for it to be ready. `net_of`: in the network of that process, not of its own."""
    old = pid_of(c, name)
    argv = command_of(old)
    if edit:
        argv = edit(argv)
    environment = dict(environment_of(old), **(env or {}))
    homes = {"net": net_of or old, "uts": old}
    fds = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind, pid in homes.items()}
    try:
        c.dev("stop", name).check()
        enter = ["nsenter", *(f"--{kind}=/proc/self/fd/{fd}" for kind, fd in fds.items())]
        child = spawn(c, name, [*enter, *wrap, *argv], environment, tuple(fds.values()))
    finally:
        for fd in fds.values():
            os.close(fd)
    if ready_s:
        until(ready_s, f"{name} to be ready", lambda: is_ready(c, name))
    return child


@contextlib.contextmanager
def otherwise(c, name, **how):
    """For a while."""
    try:
        yield respawn(c, name, **how)
    finally:
        c.dev("stop", name).check()
        c.dev("start", name).check()


def replace_flag(argv, name, value):
    """With the flag --name=value instead of the one that is there."""
    prefix = f"--{name}="
    return [a for a in argv if not a.startswith(prefix)] + [prefix + value]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def end(child, number=signal.SIGTERM, seconds=20):
    if child.poll() is None:
        child.send_signal(number)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def family_of(pid):
    """It and its children."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as f:
            for child in f.read().split():
                found += family_of(int(child))
    return found


@contextlib.contextmanager
def stopped(c, name):
    """SIGSTOP to it and all that belongs to it; SIGCONT at the end, whatever happens."""
    pids = family_of(pid_of(c, name))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(5, f"{name} to be stopped", lambda: all(state_of(pid) in "TX" for pid in pids))
        yield
    finally:
        for pid in reversed(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def wait_ms(ms):
    """Something lasts that long: it is not waited for."""
    time.sleep(ms / 1000)
