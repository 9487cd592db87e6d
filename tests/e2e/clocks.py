"""Clocks of single processes that are wrong, or jump: what tests/e2e/clock.c makes of them."""

import contextlib
import os
import pathlib

from cluster import run
from respawn import otherwise

HERE = pathlib.Path(__file__).parent


def build(c):
    library = c.dir / "clock.so"
    if not library.exists():
        run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "clock.c"]).check()
    return str(library)


def asan():
    """The sanitizer's library has to come first of those that are preloaded."""
    found = run(["gcc", "-print-file-name=libasan.so"]).out.strip()
    return [os.path.realpath(found)] if os.path.isabs(found) else []


class Clock:
    """What a process takes for the time: so many seconds more, or with an @, these. `slept`: as many
    have passed since the machine started, too, as after a sleep."""

    def __init__(self, c, name):
        self.path, self.library = c.dir / f"clock-{name}", build(c)
        self.set("0")

    def set(self, what, slept="0"):
        new = self.path.with_suffix(".new")
        new.write_text(f"{what} {slept}\n")
        new.rename(self.path)

    def env(self):
        return {"LD_PRELOAD": ":".join([*asan(), self.library]), "WRONG_CLOCK": str(self.path)}


@contextlib.contextmanager
def own_clock(c, name, what="0", ready_s=30):
    clock = Clock(c, name)
    clock.set(what)
    with otherwise(c, name, env=clock.env(), ready_s=ready_s):
        yield clock
