"""Two replicas of auth and one inventory: what happened at one is in the next list of the other."""

import contextlib
import json
import shutil

from cluster import run, until
from respawn import command_of, end, environment_of, free_ports, pid_of, replace_flag, spawn

SECONDS = 15
TWIN, NODE, NODE_LABEL = "auth-2", "node-x", "env=test"
AUTH_LISTENERS = ("listen", "proxied-listen", "control-listen", "health-listen")


def flag_of(argv, name):
    return next(word.split("=", 1)[1] for word in argv if word.startswith(f"--{name}="))


def test_a_user_logs_in(c):
    c.login().check()


@contextlib.contextmanager
def second_auth(c):
    """Its address, and how it is started again."""
    ports = dict(zip(AUTH_LISTENERS, free_ports(len(AUTH_LISTENERS))))
    argv, env = command_of(pid_of(c, "auth")), environment_of(pid_of(c, "auth"))
    for flag, port in ports.items():
        argv = replace_flag(argv, flag, f"127.0.0.1:{port}")
    for flag in ("event-journal", "checkpoint-file"):
        argv = replace_flag(argv, flag, str(c.dir / f"{TWIN}-{flag}"))
    url = f"http://127.0.0.1:{ports['health-listen']}/readyz"
    children = []

    def start():
        children.append(spawn(c, TWIN, argv, env))
        until(30, f"{TWIN} to be ready",
              lambda: run([*c.enter, "curl", "-fsS", "--max-time", "1", url]).code == 0)
        return children[-1]

    start()
    try:
        yield f"127.0.0.1:{ports['listen']}", children, start
    finally:
        end(children[-1])
        (c.run_dir / "pids" / TWIN).unlink(missing_ok=True)


@contextlib.contextmanager
def node_of(c, address):
    """A direct node of that auth; the names of what it joined as."""
    data = c.dir / NODE
    token = c.dir / f"{NODE}.token"
    added = c.tctl("tokens", "add", "--type=node", "--format=json").check().json
    token.touch(0o600)
    token.write_text(added["token"] + "\n")
    argv = command_of(pid_of(c, "node-a"))
    for flag, value in (("auth-server", address), ("token", f"@{token}"), ("nodename", NODE), ("data-dir", str(data)),
                        ("labels", NODE_LABEL), ("listen", f"127.0.0.1:{free_ports(1)[0]}")):
        argv = replace_flag(argv, flag, value)
    child = spawn(c, NODE, argv, environment_of(pid_of(c, "node-a")))
    try:
        yield
    finally:
        end(child)
        (c.run_dir / "pids" / NODE).unlink(missing_ok=True)


def profile_at(c, address):
    """The user's profile once more, for that auth without a proxy."""
    profiles = c.home / "profiles"
    name = (c.home / "current").read_text()
    proxy = json.loads((profiles / name / "profile").read_text())["proxy"]
    copy = profiles / address.replace(":", "_")
    shutil.copytree(profiles / name, copy, dirs_exist_ok=True)
    text = (copy / "profile").read_text()
    (copy / "profile").write_text(text.replace(f'"{proxy}"', f'"{address}"'))


def listed(c, address, *words):
    """Status and labels by name, as that auth says."""
    nodes = c.tsh("ls", f"--proxy={address}", "--format=json", *words).check().json
    return {n["name"] or n["id"]: (n["status"], n["labels"]) for n in nodes}


def test_what_happened_at_one_auth_is_in_the_next_list_of_the_other(c):
    first = flag_of(command_of(pid_of(c, "auth")), "listen")
    with second_auth(c) as (second, children, start_again):
        for address in (first, second):
            profile_at(c, address)
        before = listed(c, first)
        assert before == listed(c, second), before
        assert {"node-a", "node-r1"} <= set(before) and NODE not in before, before

        with node_of(c, second):
            until(SECONDS, "the node to be with the second", lambda: listed(c, second).get(NODE, "-")[0] == "online")
            for _ in range(3):
                assert listed(c, first) == listed(c, second)
            assert listed(c, first)[NODE] == ("online", {"env": "test"})
            assert set(listed(c, first, NODE_LABEL)) == {NODE}
            assert set(listed(c, first, "--search=NODE-X")) == {NODE}

            children[-1].kill()
            children[-1].wait()
            took = until(SECONDS, "the first to say that it is offline",
                         lambda: listed(c, first)[NODE][0] == "offline")
            print(f"  offline {took:.1f} s after its auth was killed")
            start_again()
            until(2 * SECONDS, "it to be online again", lambda: listed(c, first)[NODE][0] == "online")
            assert listed(c, first) == listed(c, second)

        gone = next(n["id"] for n in c.tsh("ls", NODE_LABEL, "--format=json").check().json)
        c.tctl("rm", f"node/{gone}").check()
        assert NODE not in listed(c, first)
        assert NODE not in listed(c, second)
        assert NODE not in c.tsh("ls").check().out
