"""The database fails over to its standby, and its disk fills up."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from cluster import Failed, run, until
from load import Load, check_audit
from respawn import command_of, end, free_port, is_alive, pid_of, replace_flag, respawn, spawn

SECONDS = 30
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
               "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def postgres_bin():
    return max(p for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").exists())


def port_of(c):
    ports = dict(line.split("=") for line in (c.run_dir / "ports").read_text().split())
    return ports["PORT_postgres"]


def psql(c, sql, port=None):
    env = dict(c.env, PGPASSWORD=(c.run_dir / "keys" / "postgres_password").read_text().strip(),
               PGCONNECT_TIMEOUT="3")
    return run(["psql", "-qAth", "127.0.0.1", "-p", str(port or port_of(c)), "-U", "postgres", "-d", "postgres",
                "-c", sql], env=env)


def test_a_user_logs_in(c):
    c.login().check()


@contextlib.contextmanager
def standby(c):
    """A second server that follows the first, and its port."""
    data, port, admin = c.dir / "standby", free_port(), c.run_dir / "keys" / "postgres_password"
    c.dir.chmod(0o755)
    data.mkdir(mode=0o700)
    shutil.chown(data, "postgres", "postgres")
    where = f"host=127.0.0.1 port={port_of(c)} user=postgres password={admin.read_text().strip()}"
    hba = c.run_dir / "postgres" / "pg_hba.conf"
    if "replication" not in "".join(line for line in hba.read_text().splitlines() if not line.startswith("#")):
        with hba.open("a") as f:
            f.write("host replication all 127.0.0.1/32 scram-sha-256\n")
        psql(c, "SELECT pg_reload_conf()").check()
    run([*AS_POSTGRES, postgres_bin() / "pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", data, "-d", where],
        cwd="/").check()
    with open(c.run_dir / "log" / "standby.log", "ab") as log:
        child = subprocess.Popen(
            [*AS_POSTGRES, postgres_bin() / "postgres", "-D", data, "-p", str(port),
             "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    try:
        until(30, "the standby", lambda: psql(c, "SELECT 1", port).code == 0)
        yield port
    finally:
        end(child, signal.SIGINT)
        shutil.rmtree(data, ignore_errors=True)


def with_hosts(argv, ports):
    """The same database, wherever it is being written to now."""
    def edit(value):
        parts = [p for p in value.split(" ") if not p.startswith(("host=", "port="))]
        hosts = ",".join("127.0.0.1" for _ in ports)
        return " ".join([f"host={hosts}", f"port={','.join(map(str, ports))}",
                         "target_session_attrs=read-write", *parts])

    for name in ("database", "owner-database"):
        for a in argv:
            if a.startswith(f"--{name}="):
                argv = replace_flag(argv, name, edit(a.split("=", 1)[1]))
    return argv


def test_the_database_fails_over_and_no_session_notices(c):
    with standby(c) as port:
        both = (port_of(c), port)
        for name in ("auth", "audit"):
            respawn(c, name, edit=lambda argv: with_hosts(argv, both))
        psql(c, "ALTER SYSTEM SET synchronous_standby_names = '*'").check()  # what is told is on both
        psql(c, "SELECT pg_reload_conf()").check()
        until(10, "the standby to follow in step",
              lambda: psql(c, "SELECT sync_state FROM pg_stat_replication").out.strip() == "sync")
        try:
            with Load(c) as load:
                os.kill(pid_of(c, "postgres"), signal.SIGQUIT)
                until(10, "the first to be gone", lambda: not is_alive(pid_of(c, "postgres")))
                psql(c, "SELECT pg_promote()", port).check()
                psql(c, "ALTER SYSTEM RESET synchronous_standby_names", port).check()
                psql(c, "SELECT pg_reload_conf()", port).check()
                load.wait_for_recovery(SECONDS)
                until(SECONDS, "auth to answer again", lambda: c.tsh("ls").code == 0)
            assert not load.failures(), load.failures()
            check_audit(c, load)
            c.make_user("after-the-failover")
        finally:
            # back to one server with all that happened meanwhile: the promoted one's content
            for name in ("audit", "auth"):
                c.dev("stop", name).check()
            psql(c, "CHECKPOINT", port)
            replace_content(c)
    for name in ("postgres", "auth", "audit"):
        c.dev("start", name).check()
    until(SECONDS, "auth to answer again", lambda: c.tsh("ls").code == 0)


def replace_content(c):
    """The standby's content becomes the cluster's own. It is stopped by copying from it as one backs up."""
    new = c.dir / "promoted"
    new.mkdir(mode=0o700)
    shutil.chown(new, "postgres", "postgres")
    standby_port = next(a for a in standby_commands(c) if a.isdigit())
    admin = (c.run_dir / "keys" / "postgres_password").read_text().strip()
    run([*AS_POSTGRES, postgres_bin() / "pg_basebackup", "-X", "stream", "-c", "fast", "-D", new, "-d",
         f"host=127.0.0.1 port={standby_port} user=postgres password={admin}"], cwd="/").check()
    old = c.run_dir / "postgres"
    shutil.rmtree(old)
    new.rename(old)


def standby_commands(c):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            argv = command_of(pid)
            if argv[1:3] == ["-D", str(c.dir / "standby")]:
                return argv
    raise Failed("the standby does not run")


class SmallDisk:
    """The database's directory on a small tmpfs, in a mount namespace that ends with this."""

    SCRIPT = ('mount -t tmpfs -o size=$1,mode=700,uid=$(id -u postgres),gid=$(id -g postgres) none "$0.small" && '
              'cp -a "$0/." "$0.small/" && mount --bind "$0.small" "$0" && echo made && exec sleep 600')

    def __init__(self, c, size):
        self.c, self.data = c, c.run_dir / "postgres"
        self.data.with_name("postgres.small").mkdir()
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", self.SCRIPT, str(self.data), size],
            stdout=subprocess.PIPE)
        if self.keeper.stdout.readline() != b"made\n":
            raise Failed("no small disk")
        self.inside = f"/proc/{self.keeper.pid}/root{self.data}"

    def start(self):
        """As whoever runs it would, when it has ended."""
        self.child = spawn(
            self.c, "postgres",
            ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", *AS_POSTGRES, str(postgres_bin() / "postgres"),
             "-D", str(self.data), "-p", port_of(self.c), "-c", "listen_addresses=127.0.0.1",
             "-c", "unix_socket_directories="], dict(os.environ))

    def fill(self):
        run(["sh", "-c", f"cat /dev/zero > {self.inside}/ballast"])

    def make_room(self):
        os.unlink(f"{self.inside}/ballast")

    def close(self):
        """What it has goes back to where it came from."""
        end(self.child, signal.SIGINT)
        with contextlib.suppress(OSError):
            self.make_room()
        kept = self.data.with_name("postgres.kept")
        run(["cp", "-a", self.inside, kept]).check()
        self.keeper.kill()
        self.keeper.wait()
        shutil.rmtree(self.data)
        kept.rename(self.data)
        self.data.with_name("postgres.small").rmdir()


def test_a_database_whose_disk_is_full_loses_nothing_and_comes_back(c):
    c.dev("stop", "postgres").check()
    disk = SmallDisk(c, "160m")
    disk.start()
    try:
        until(30, "auth to answer again", lambda: c.tsh("ls").code == 0)
        with Load(c) as load:
            disk.fill()
            psql(c, "CREATE TABLE IF NOT EXISTS filler (t text)")
            psql(c, "INSERT INTO filler SELECT repeat(md5(random()::text), 1000) FROM generate_series(1, 4000)")
            load.wait_for_recovery(SECONDS)  # sessions need no database
            time.sleep(3)  # it stays full for that long
            load.wait_for_recovery(SECONDS)
            disk.make_room()
            if not is_alive(disk.child.pid):  # it can not even recover without room
                disk.start()
            until(60, "the database to serve again", lambda: psql(c, "DROP TABLE IF EXISTS filler").code == 0)
            until(30, "auth to answer again", lambda: c.tsh("ls").code == 0)
            load.wait_for_recovery(SECONDS)
        assert not load.failures(), load.failures()
        check_audit(c, load, 30)
    finally:
        disk.close()
        c.dev("start", "postgres").check()
    until(SECONDS, "auth to answer again", lambda: c.tsh("ls").code == 0)
