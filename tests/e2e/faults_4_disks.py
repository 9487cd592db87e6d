"""Disks that are full: what a node and the services keep their state on."""

import contextlib
import os
import subprocess

from cluster import run, until
from load import Load, check_audit
from respawn import data_dir_of, free_port, is_alive, log_size, log_text, otherwise, pid_of
from test_4_links import works

ON_A_SMALL_DISK = (
    'mount -t tmpfs -o size=$1,mode=700 none "$0.small" && cp -a "$0/." "$0.small/" && '
    'mount --bind "$0.small" "$0" && shift && exec "$@"'
)


def small_disk(directory, size):
    """To wrap a command with: `directory` is on a disk of its own that has that size."""
    os.makedirs(f"{directory}.small", exist_ok=True)
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", ON_A_SMALL_DISK, str(directory), size]


@contextlib.contextmanager
def filled(pid, directory):
    """To the last byte, and again when something has let go of one."""
    path = f"/proc/{pid}/root{directory}/ballast"
    run(["sh", "-c", f"cat /dev/zero > {path}"])
    filler = subprocess.Popen(["sh", "-c", f"while sleep 0.02; do cat /dev/zero >> {path}; done"],
                              stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        filler.kill()
        filler.wait()
        os.unlink(path)


def test_a_user_logs_in(c):
    c.login().check()


def test_a_node_whose_disk_is_full_goes_on_and_says_so(c):
    for node in ("node-a", "node-r1"):
        directory = data_dir_of(c, node)
        with otherwise(c, node, wrap=small_disk(directory, "512k")):
            pid, mark = pid_of(c, node), log_size(c, node)
            with Load(c, nodes=(node,)) as load:
                with filled(pid, directory):
                    load.wait_for_recovery(20)
                    load.wait_for_recovery(20)
                    assert "events would not survive" in log_text(c, node, mark)
                    # policy moves on, too, though it can not be kept
                    c.make_user(f"while-{node}-is-full")
                    load.wait_for_recovery(20)
                load.wait_for_recovery(20)
            assert not load.failures(), load.failures()
            assert is_alive(pid)
            check_audit(c, load)
    for node in ("node-a", "node-r1"):
        until(10, f"{node} on its own disk again", lambda node=node: works(c, node))


def test_a_service_whose_disk_is_full_goes_on(c):
    for name in ("audit", "broker", "proxy"):
        directory = c.run_dir / "state" / name
        with otherwise(c, name, wrap=small_disk(directory, "256k")):
            pid = pid_of(c, name)
            until(15, "a session", lambda: works(c))
            with filled(pid, directory):
                with Load(c) as load:
                    load.wait_for_recovery(20)
                assert not load.failures(), load.failures()
            assert is_alive(pid)
    until(15, "a session", lambda: works(c))


def test_a_node_that_can_write_nothing_at_all_does_not_join_half(c):
    """Its first start: what can not be kept must not be used."""
    directory = c.dir / "agent-full"
    directory.mkdir(mode=0o700)
    token = c.tctl("tokens", "add", "--type=node", "--format=json").check().json["token"]
    wrap = small_disk(directory, "64k")
    script = ["sh", "-c", 'cat /dev/zero > "$0/ballast"; exec "$@"', str(directory)]
    r = run([*wrap, *script, "remoteler", "start", f"--auth-server={c.env['REMOTELER_AUTH_SERVER']}",
             f"--token={token}", f"--data-dir={directory}", "--nodename=node-full",
             f"--ca-pin={c.env['REMOTELER_CA_PIN']}", f"--listen=127.0.0.1:{free_port()}"],
            env={k: v for k, v in c.env.items() if k != "REMOTELER_PROXY"}).check(1)
    assert "space" in r.err or "No space" in r.err, r.err
    # the token is not spent by it: the same one works where there is room
    assert any(t["uses_left"] == 1 for t in c.tctl("tokens", "ls", "--format=json").check().json)
