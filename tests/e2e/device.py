"""A device with nothing but the static agent: a root of its own that cannot be written to, and no libc."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

from cluster import Failed, Skip, run, until

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
# What an emulated program is known by: class, byte order and machine of its ELF header, and "static".
EMULATORS = {
    "arm64": ("qemu-aarch64-static", r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00\xb7\x00"),
    "armhf": ("qemu-arm-static", r"\x7fELF\x01\x01\x01" + r"\x00" * 9 + r"\x02\x00\x28\x00"),
}
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"


LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(LIBC, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def binary(arch):
    """What `./dev build agent` made; the suite says where."""
    path = pathlib.Path(os.environ.get("RL_AGENTS", "/nonexistent")) / f"agent-{arch}" / "remoteler"
    if not path.exists():
        raise Skip(f"no static agent for {arch}: ./dev build agent --arch={arch}")
    return path


@contextlib.contextmanager
def on_small_pages(c, path):
    """The same file as a device's flash has it. A file system with large folios (ext4 since Linux 6.16) maps up
    to 2 MiB for a byte that is touched, and counts them as resident."""
    place = c.dir / "small-pages"
    place.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "mode=755,huge=never", "none", place]).check()
    try:
        yield pathlib.Path(shutil.copy(path, place))
    finally:
        run(["umount", "--lazy", place])
        place.rmdir()


def proxy_address(c):
    """Where node-r1's network has the proxy."""
    shown = run(["ip", "-n", c.router, "-4", "-o", "addr", "show", "dev", "uplink"]).check().out.split()[3]
    a, b, d, last = shown.split("/")[0].split(".")
    port = c.env["REMOTELER_PROXY"].rpartition(":")[2]
    return f"{a}.{b}.{d}.{int(last) - 1}:{port}"


def token(c, name, *flags):
    return c.tctl("tokens", "add", "--type=node", f"--names={name}", *flags, "--format=json").check().json["token"]


class Agent:
    """An agent that is started by hand in node-r1's network; `setup` runs there before it."""

    def __init__(self, c, name, command, env=None, setup=None):
        if not c.netns:
            raise Skip("no network namespace here")
        self.c, self.name = c, name
        self.log = c.run_dir / "log" / f"{name}.log"
        words = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name, *map(str, command)]

        def enter():
            with open(f"/run/netns/{c.netns}", "rb") as net:
                call("setns", net.fileno(), CLONE_NEWNET)
            if setup:
                setup()

        self.process = subprocess.Popen(
            words, env=dict(c.env, **(env or {})), stdin=subprocess.DEVNULL, stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=enter,
        )

    def wait_until_online(self, seconds=30):
        def is_online():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended: {self.log.read_text()[-2000:]}")
            return self.name in (nodes := self.c.nodes()) and nodes[self.name]["status"] == "online"

        until(seconds, f"{self.name} to be online", is_online)
        return self

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.c.tctl("rm", f"node/{self.name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def flags(c, name, *more, address=None):
    return ["start", f"--proxy={address or proxy_address(c)}", f"--ca-pin={c.env['REMOTELER_CA_PIN']}",
            f"--nodename={name}", "--labels=env=dev", *more]


def token_file(c, name):
    path = c.dir / f"{name}.token"
    path.write_text(token(c, name) + "\n")
    return f"--token=@{path}"


# ---- a root without a libc ----

ENTER = """
set -e
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
mount -t tmpfs -o mode=755 tmpfs "$0/run"
exec chroot "$0" "$@"
"""


def make_root(c, agent):
    """One shell, one agent, four files."""
    shell = pathlib.Path(os.environ.get("RL_BUSYBOX", "/nonexistent"))
    if not shell.exists():
        raise Skip("no static busybox here")
    root = c.dir / "device"
    for folder in ("bin", "etc", "dev", "proc", "run"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(shell, root / "bin" / "busybox")
    for name in ("sh", "ls", "hostname", "cat"):
        if not (root / "bin" / name).exists():
            (root / "bin" / name).symlink_to("busybox")
    shutil.copy(agent, root / "remoteler")
    (root / "etc" / "passwd").write_text("root:x:0:0::/run:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    return root


def in_root(root, *command):
    return ["unshare", "--mount", "sh", "-c", ENTER, root, *command]


# ---- another machine's programs ----

def emulated(arch):
    """For an agent's setup: in a user namespace whose kernel knows how to run them, and nowhere else."""
    emulator, magic = EMULATORS[arch]
    path = shutil.which(emulator)
    if not path:
        raise Skip(f"no {emulator} here")
    line = f":{arch}:M::{magic}:{MASK}:{path}:PF".encode()

    def enter():
        ready, gone = os.pipe(), os.pipe()
        parent = os.getpid()
        helper = os.fork()
        if helper == 0:  # whoever is outside may give the new namespace its users
            os.read(ready[0], 1)
            for kind in ("uid", "gid"):
                pathlib.Path(f"/proc/{parent}/{kind}_map").write_text("0 0 4294967295\n")
            os.write(gone[1], b"x")
            os._exit(0)
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
        os.write(ready[1], b"x")
        os.read(gone[0], 1)
        os.waitpid(helper, 0)
        call("mount", b"none", b"/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0, None)
        pathlib.Path("/proc/sys/fs/binfmt_misc/register").write_bytes(line)

    return enter
