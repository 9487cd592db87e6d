#!/usr/bin/env python3
"""Is a static agent built so that a mistake in it is hard to use? Usage: agent_file.py BUILD

For any architecture: the file's own word, by readelf, and that of every command that made it. `./dev build agent` asks
after each build, so a cross-built agent is never looked at less than this machine's own. Why it has fixed addresses:
docs/decisions/0019-the-static-agent.md.
"""
import json
import pathlib
import re
import subprocess
import sys

COMPILED_WITH = ("-fstack-protector-strong", "-fstack-clash-protection", "-fvisibility=hidden", "-fno-common",
                 "-D_FORTIFY_SOURCE=2")
LINKED_WITH = ("-static", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack")
COMPILED_AWAY = ("-fno-stack-protector", "-fno-stack-clash-protection")
LINKED_AWAY = ("-zexecstack", "-Wl,-z,execstack", "-Wl,-z,norelro")


def tell(*args):
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, text=True).stdout


def last_of(words, *either):
    """Which of these counts: the one that comes last."""
    found = [w for w in words if w in either]
    return found[-1] if found else None


def wrong_with_commands(build):
    compiled = json.loads((build / "compile_commands.json").read_text())
    if not compiled:
        yield "no command that compiles anything"
    for command in compiled:
        words = command["command"].split()
        for missing in (w for w in COMPILED_WITH if w not in words):
            yield f"{command['file']} is compiled without {missing}"
        for weak in (w for w in COMPILED_AWAY if w in words):
            yield f"{command['file']} is compiled with {weak}"
        if last_of(words, "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2") != "-D_FORTIFY_SOURCE=2":
            yield f"{command['file']} is compiled without checked functions"
    statement = re.search(r"^build bin/remoteler: .*\n((?:  .*\n)+)", (build / "build.ninja").read_text(), re.M)
    flags = re.search(r"^  LINK_FLAGS = (.*)$", statement[1], re.M)[1].split() if statement else []
    for missing in (w for w in LINKED_WITH if w not in flags):
        yield f"it is linked without {missing}"
    for weak in (w for w in LINKED_AWAY if w in flags):
        yield f"it is linked with {weak}"


def wrong_with_file(path):
    shown = tell("readelf", "--wide", "--headers", path)
    stack = re.search(r"^ *GNU_STACK.*", shown, re.M)
    if not stack or "RW " not in stack[0]:
        yield "its stack is executable"
    if "RWE" in shown or " WAX " in shown:
        yield "something in it is writable and executable"
    if "GNU_RELRO" not in shown:
        yield "its relocations are not read-only"
    if re.search(r"^ *(INTERP|DYNAMIC)", shown, re.M):
        yield "it wants a loader, or libraries"
    if ".symtab" in shown:
        yield "it was not stripped"
    content = path.read_bytes()
    for word in (b"stack smashing detected", b"buffer overflow detected"):
        if word not in content:
            yield f"nothing in it says \"{word.decode()}\""


def main():
    build = pathlib.Path(sys.argv[1])
    wrong = [*wrong_with_commands(build), *wrong_with_file(build / "remoteler")]
    for line in wrong[:20]:
        print(f"{build.name}: {line}")
    print(f"{build.name}: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
