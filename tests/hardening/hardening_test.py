#!/usr/bin/env python3
"""Are the programs built so that a mistake in them is hard to use? Usage: hardening_test.py SOURCES BUILD

Position-independent, relocations read-only and resolved at the start, no executable stack, a stack protector,
checked string functions, nobody's library path, nothing exported; agent, tsh and tctl without gRPC core. What a
sanitizer's build can not show (checked functions, exports) is looked at in the commands of the release preset, which
is configured in a temporary directory; a release build's own programs show it themselves.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PROGRAMS = ("remoteler", "tsh", "tctl", "remoteler-auth", "remoteler-proxy", "remoteler-broker", "remoteler-audit")
WITHOUT_CORE = ("remoteler", "tsh", "tctl")
COMPILED_WITH = ("-fstack-protector-strong", "-fstack-clash-protection", "-fPIE", "-fvisibility=hidden", "-fno-common")
LINKED_WITH = ("-pie", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack")
RELEASED_WITH = ("-O2", "-D_FORTIFY_SOURCE=2")

failed = 0


def check(name, claim, shown=""):
    global failed
    failed += not claim
    print(f"{'ok  ' if claim else 'FAIL'} {name}" + ("" if claim else f": {shown}"), flush=True)


def tell(*args):
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, text=True).stdout


def look_at(program):
    """The file's own word."""
    name = program.name
    segments, dynamic = tell("readelf", "-Wl", program), tell("readelf", "-Wd", program)
    header = tell("readelf", "-Wh", program)
    check(f"{name} is position-independent", "Type:" in header and "DYN (" in header and "PIE" in dynamic, header)
    check(f"{name} has read-only relocations", "GNU_RELRO" in segments, segments)
    check(f"{name} binds at the start", re.search(r"FLAGS.*(BIND_NOW|NOW)", dynamic), dynamic)
    stack = re.search(r"GNU_STACK.*", segments)
    check(f"{name} has no executable stack", stack and "RWE" not in stack[0], stack and stack[0])
    check(f"{name} has no segment that is writable and executable", " RWE " not in segments, segments)
    check(f"{name} has no relocations in its code", "TEXTREL" not in dynamic, dynamic)
    check(f"{name} has no library path of its own", "RPATH" not in dynamic and "RUNPATH" not in dynamic, dynamic)
    symbols = tell("nm", "-D", program)
    check(f"{name} has a stack protector", "__stack_chk_fail" in symbols)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    if name in WITHOUT_CORE:
        core = [n for n in needed if re.match(r"lib(grpc|gpr|absl|upb|pq|microhttpd|ssh)\b", n)]
        check(f"{name} is without gRPC core, PostgreSQL and the like", not core, core)
    return symbols


def look_at_release(program):
    """What a sanitizer would hide."""
    symbols = look_at(program)
    check(f"{program.name} has checked string functions", "_chk@" in symbols.replace("__stack_chk_fail@", ""))
    exported = [line.split()[-1] for line in symbols.splitlines() if re.match(r"[0-9a-f]+ [TDBRVWi] ", line)]
    # What the C library's own data is copied to, and what the start-up code names.
    surprises = [s for s in exported if "@" not in s and s not in ("_IO_stdin_used", "__data_start", "data_start", "main")]
    check(f"{program.name} exports nothing", not surprises, surprises[:20])


def commands_of(build):
    """Every command that compiles a file of ours or of a generator's, and every one that links a program."""
    compiled = [(c["file"], c["command"].split()) for c in json.loads((build / "compile_commands.json").read_text())]
    ninja = (build / "build.ninja").read_text()
    linked = {}
    for name in PROGRAMS:
        statement = re.search(rf"^build bin/{name}: .*\n((?:  .*\n)+)", ninja, re.M)
        flags = re.search(r"^  LINK_FLAGS = (.*)$", statement[1], re.M) if statement else None
        linked[name] = flags[1].split() if flags else []
    return compiled, linked


def look_at_commands(label, build, more=()):
    compiled, linked = commands_of(build)
    missing = [(f, w) for f, command in compiled for w in (*COMPILED_WITH, *more) if w not in command and f.endswith(".c")]
    check(f"{label}: every file is compiled with {' '.join((*COMPILED_WITH, *more))}", compiled and not missing, missing[:10])
    weak = [(f, flag) for f, command in compiled for flag in command if flag in ("-fno-stack-protector", "-zexecstack", "-O0")]
    check(f"{label}: and nothing takes that back", not weak or label != "release", weak[:10])
    missing = [(p, w) for p, flags in linked.items() for w in LINKED_WITH if w not in flags]
    check(f"{label}: every program is linked with {' '.join(LINKED_WITH)}", not missing, missing)
    check(f"{label}: no program is given a library path", not any("rpath" in f for flags in linked.values() for f in flags))


def main():
    sources, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    is_release = "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo\n" in (build / "CMakeCache.txt").read_text()
    for name in PROGRAMS:
        (look_at_release if is_release else look_at)(build / "bin" / name)
    look_at_commands("this build", build, RELEASED_WITH if is_release else ())
    if not is_release:
        with tempfile.TemporaryDirectory(prefix="rl-hardening-") as directory:
            tell("cmake", "--preset", "release", "-S", sources, "-B", directory)
            look_at_commands("release", pathlib.Path(directory), RELEASED_WITH)
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
