#!/usr/bin/env python3
"""A person's first hours with the stack of docker-compose.yml: python3 run.py [TEST ...].

The tests run in the order in which they stand here, over one stack; those that need another make it.
Images are there already (`./dev images`), and an engine answers.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

import stack as s
from stack import Failed, Session, Skip, Stack, docker, run, until
from verdicts import run_one, say_counts, tests_of

FIGURES = {}
TAGS = []  # each is in a command that was run, and has to be in the log


def tagged(stack, node):
    tag = f"tag-{len(TAGS)}-{os.getpid()}"
    done = stack.ssh(node, f"echo {tag}")
    if done.code == 0:
        TAGS.append(tag)
    return done


def reached(stack, node, how):
    """Within a minute; else what ssh said last."""
    last = []
    try:
        until(60, f"a session {how}", lambda: last.append(tagged(stack, node)) or last[-1].code == 0)
    except Failed as problem:
        raise Failed(f"{problem}: {last[-1].err[-500:]}") from None


def image_bytes(name):
    return int(docker("image", "inspect", "--format={{.Size}}", name).check().out)


# ---- the first hour ----


def test_from_nothing_to_the_first_ssh(stack):
    start = time.monotonic()
    stack.up().check()
    until(60, "an administrator's first answer", lambda: stack.tctl("status").code == 0)
    stack.sign_up()
    stack.login().check()
    until(60, "ssh to the node behind the tunnel", lambda: stack.hostname_of("node-r1") == "node-r1")
    FIGURES["from built images to the first ssh"] = f"{time.monotonic() - start - stack.waited_s:.1f} s"
    until(60, "ssh to the direct node", lambda: stack.hostname_of("node-a") == "node-a")
    tagged(stack, "node-a").check()
    tagged(stack, "node-r1").check()
    names = {n["name"]: n["mode"] for n in stack.tsh("ls", "--format=json").check().json}
    assert names == {"node-a": "direct", "node-r1": "tunnel"}, names


def test_everything_becomes_healthy_and_says_how_to_log_in(stack):
    stack.wait_healthy()
    said = stack.logs("first-nodes")
    assert "To log in for the first time" in said and "tsh signup --ca-pin=sha256:" in said, said
    for once in ("secrets", "migrate", "first-nodes"):
        state = stack.container(once)["State"]
        assert state["Status"] == "exited" and state["ExitCode"] == 0, (once, state)


def test_every_container_is_confined(stack):
    allowed = {"node-a": {"SETUID", "SETGID", "SYS_CHROOT", "KILL", "CHOWN"}, "first-nodes": {"DAC_OVERRIDE"}}
    allowed["node-r1"] = allowed["node-a"]
    for container in stack.containers():
        name = container["Config"]["Labels"]["com.docker.compose.service"]
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        added = {c.removeprefix("CAP_") for c in host["CapAdd"] or []}
        assert added <= allowed.get(name, set()), (name, added)
        assert any(o.startswith("no-new-privileges") for o in host["SecurityOpt"]), name
        assert host["Memory"] > 0 and host["PidsLimit"] > 0, name
        assert name in allowed or container["Config"]["User"] == "65532:65532", (name, container["Config"]["User"])


def test_the_far_node_sees_the_proxy_and_nothing_else(stack):
    assert reaches(stack, "node-r1", "proxy", 3080)
    addresses = {}
    for service in ("postgres", "auth", "audit", "broker", "proxy", "node-a"):
        networks = stack.container(service)["NetworkSettings"]["Networks"]
        addresses[service] = {n.rpartition("_")[2]: v["IPAddress"] for n, v in networks.items()}
    closed = [
        ("postgres", addresses["postgres"]["data"], 5432),
        ("auth", addresses["auth"]["core"], 3025),
        ("broker", addresses["broker"]["core"], 3032),
        ("audit", addresses["audit"]["core"], 3041),
        ("node-a", addresses["node-a"]["core"], 3022),
        ("the proxy's health", addresses["proxy"]["edge"], 3024),
    ]
    for what, host, port in closed:
        assert not reaches(stack, "node-r1", host, port), f"node-r1 reaches {what}"
    assert not reaches(stack, "node-a", addresses["postgres"]["data"], 5432), "node-a reaches PostgreSQL"
    assert reaches(stack, "node-a", "auth", 3025)
    listening = stack.exec("node-r1", "cat", "/proc/net/tcp", "/proc/net/tcp6").check().out
    own = [line for line in listening.splitlines() if " 0A " in line and "0B00007F" not in line]
    assert not own, own  # but Docker's own resolver


def test_images_are_small_and_share_layers(stack):
    base = image_bytes("debian:bookworm-slim")
    layers = {}
    for service in s.SERVICES:
        name = f"remoteler/{service}:{stack.env.get('REMOTELER_TAG', 'dev')}"
        over = image_bytes(name) - base
        FIGURES[f"image {service}, over the base"] = f"{over / 1e6:.1f} MB"
        assert over <= 60e6, f"{name} is {over} bytes over its base"
        inspected = json.loads(docker("image", "inspect", name).check().out)[0]
        layers[service] = inspected["RootFS"]["Layers"]
        config = inspected["Config"]
        assert config["User"] == "65532:65532" and config["Healthcheck"], name
        assert config["Labels"]["org.opencontainers.image.title"] == "Remoteler", name
    shared = set.intersection(*(set(of) for of in layers.values()))
    assert len(shared) >= 2, layers  # the base, and the libraries of all four
    assert all(len(set(of) - shared) <= 3 for of in layers.values()), layers


def test_the_agents_image_is_its_static_file_and_works(stack):
    name = f"remoteler/agent:{stack.env.get('REMOTELER_TAG', 'dev')}"
    held = docker("create", "--name", f"{stack.project}-look", name, "version").check().out.strip()
    try:
        listing = run(["sh", "-c", f"docker export {held} | tar -tv"]).check().out.splitlines()
    finally:
        docker("rm", "-f", held)
    made_by_engine = (".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev/console")
    files = {line.split()[-1]: int(line.split()[2]) for line in listing if line.startswith("-")}
    files = {name: size for name, size in files.items() if name not in made_by_engine}
    assert list(files) == ["remoteler"], files
    assert image_bytes(name) <= files["remoteler"] + 100_000, (image_bytes(name), files)
    FIGURES["image agent"] = f"{image_bytes(name) / 1e6:.2f} MB"
    token = stack.tctl("tokens", "add", "--type=node", "--names=bare", "--format=json").check().json
    words = ["run", "-d", "--name", f"{stack.project}-bare", "--network", f"{stack.project}_edge",
             "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=32m",
             "--tmpfs=/var/lib/remoteler:uid=65532,gid=65532,mode=0700",
             name, "start", "--proxy=proxy:3080", "--nodename=bare", f"--token={token['token']}",
             f"--ca-pin={token['ca_pin']}"]
    docker(*words).check()
    try:
        until(30, "the bare agent to be online",
              lambda: any(n["name"] == "bare" and n["status"] == "online"
                          for n in stack.tctl("nodes", "ls", "--format=json").json))
        until(30, "its own healthcheck", lambda: docker(
            "exec", f"{stack.project}-bare", "/remoteler", "status", "--healthcheck").code == 0)
        start = time.monotonic()
        docker("stop", "--time=10", f"{stack.project}-bare").check()
        assert time.monotonic() - start < 8, "it did not end by SIGTERM"
        state = json.loads(docker("inspect", f"{stack.project}-bare").out)[0]["State"]
        assert state["ExitCode"] == 0, state
    finally:
        docker("rm", "-f", f"{stack.project}-bare")


def test_the_tools_image_is_enough_to_log_in(stack):
    here = ["run", "--rm", "-T", "--no-deps"]
    login = stack.compose(*here, "-e", f"REMOTELER_CA_PIN={stack.user_env['REMOTELER_CA_PIN']}", "tools",
                          "tsh", "login", "--user=alice", "--password-file=-", f"--otp={stack.code()}",
                          stdin=(stack.dir / "password").read_bytes())
    login.check()
    assert stack.compose(*here, "tools", "ssh", "demo@node-r1", "hostname").check().out == "node-r1\n"


def test_idle_it_takes_little_memory(stack):
    time.sleep(6)  # an agent without a user gives memory back after 5 s
    total = 0
    for service in (*s.SERVICES, "node-a", "node-r1"):
        pid = stack.container(service)["State"]["Pid"]
        kib = sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
        FIGURES[f"memory {service}, idle"] = f"{kib / 1024:.1f} MB"
        total += kib if service in s.SERVICES else 0
    FIGURES["memory of the idle services"] = f"{total / 1024:.1f} MB"
    assert total <= 120 * 1024, FIGURES


def memory_peak(container):
    """The most that the kernel has counted for it, its page cache too."""
    lines = [line.strip().split(":") for line in open(f"/proc/{container['State']['Pid']}/cgroup")]
    for _, controller, path in lines:
        if controller == "memory":
            return int(open(f"/sys/fs/cgroup/memory{path}/memory.max_usage_in_bytes").read())
    return int(open(f"/sys/fs/cgroup{lines[0][2]}/memory.peak").read())


def test_at_work_it_stays_far_below_its_limits(stack):
    big = 100_000_000
    assert len(stack.ssh("node-r1", f"head -c {big} /dev/zero", timeout=120).check().out) == big
    many = [Session(stack, "node-r1") for _ in range(10)]
    for session in many:
        session.echo()
    for session in many:
        assert session.close() == 0
    for service in (*s.SERVICES, "postgres", "node-r1"):
        container = stack.container(service)
        peak, limit = memory_peak(container), container["HostConfig"]["Memory"]
        FIGURES[f"memory {service}, at most"] = f"{peak / 2**20:.1f} MB of {limit / 2**20:.0f}"
        assert peak < limit * 0.9, (service, peak, limit)


# ---- what ends and comes back ----


def outlives(stack, service):
    """A session through the tunnel goes on over the death of a container that is not an end of it."""
    session = Session(stack, "node-r1")
    stack.kill(service)
    session.echo(75)
    stack.wait_healthy(service)
    session.echo()
    assert session.close() == 0
    until(60, "new sessions", lambda: tagged(stack, "node-r1").code == 0)
    until(60, "new sessions to the direct node", lambda: tagged(stack, "node-a").code == 0)


def test_a_session_outlives_auth(stack):
    outlives(stack, "auth")


def test_a_session_outlives_audit(stack):
    outlives(stack, "audit")


def test_a_session_outlives_the_broker(stack):
    outlives(stack, "broker")


def test_a_session_outlives_postgres(stack):
    outlives(stack, "postgres")


def test_when_an_end_of_it_dies_a_session_ends_and_the_next_one_works(stack):
    for service in ("proxy", "node-r1"):
        session = Session(stack, "node-r1")
        stack.kill(service)
        assert session.has_ended(), f"the session goes on without {service}"
        stack.wait_healthy(service)
        until(60, f"a session after {service} came back", lambda: tagged(stack, "node-r1").code == 0)
    session = Session(stack, "node-a")
    stack.kill("node-a")
    assert session.has_ended()
    stack.wait_healthy("node-a")
    until(60, "a session to node-a", lambda: tagged(stack, "node-a").code == 0)


def test_postgres_is_restarted_under_a_session(stack):
    session = Session(stack, "node-r1")
    stack.compose("restart", "--timeout=10", "postgres").check()
    session.echo()
    stack.wait_healthy("postgres", "auth", "audit")
    assert session.close() == 0
    until(60, "new sessions", lambda: tagged(stack, "node-a").code == 0)


def test_down_and_up_again_it_is_the_same_cluster(stack):
    before = {n["name"]: n["id"] for n in stack.tctl("nodes", "ls", "--format=json").check().json}
    pin = stack.user_env["REMOTELER_CA_PIN"]
    start = time.monotonic()
    stack.compose("stop", "--timeout=40", "proxy").check()
    assert time.monotonic() - start < 35, "an idle proxy took its whole grace time to stop"
    stack.down().check()
    assert not stack.containers()
    stack.up().check()
    until(60, "the same administrator", lambda: stack.tctl("status").code == 0)
    assert stack.tctl("status", "--format=json").json["ca_pin"] == pin
    until(60, "the same user to log in", lambda: stack.login().code == 0)
    until(60, "the same nodes", lambda: tagged(stack, "node-r1").code == 0 and tagged(stack, "node-a").code == 0)
    after = {n["name"]: n["id"] for n in stack.tctl("nodes", "ls", "--format=json").check().json}
    assert {n: after.get(n) for n in ("node-a", "node-r1")} == {n: before[n] for n in ("node-a", "node-r1")}


def published(container):
    return int(container["NetworkSettings"]["Ports"]["3080/tcp"][0]["HostPort"])


def test_of_two_brokers_and_two_proxies_one_may_die(stack):
    first = s.free_range()
    stack.env["REMOTELER_PORT"] = f"127.0.0.1:{first}-{first + 1}"
    try:
        one_of_two_dies(stack)
    finally:
        stack.env["REMOTELER_PORT"] = f"127.0.0.1:{stack.port}"
        stack.up().check()
    stack.wait_healthy("broker", "proxy")
    until(60, "to log in at the first port", lambda: stack.login().code == 0)


def one_of_two_dies(stack):
    stack.up("--scale", "broker=2", "--scale", "proxy=2").check()
    stack.wait_healthy("broker", "proxy")
    assert len(stack.containers("broker")) == 2 and len(stack.containers("proxy")) == 2
    ports = sorted(published(c) for c in stack.containers("proxy"))
    services = stack.tctl("status", "--format=json").check().json["services"]
    alive = {kind: sum(x["kind"] == kind and x["status"] == "online" for x in services) for kind in ("broker", "proxy")}
    assert alive == {"broker": 2, "proxy": 2}, services
    for port in ports:
        stack.login(port).check()
        reached(stack, "node-r1", f"by port {port}")
    session = Session(stack, "node-r1")
    for i in range(2):
        victim = stack.containers("broker")[i]
        docker("stop", "--time=40", victim["Id"]).check()
        session.echo(75)
        docker("start", victim["Id"]).check()
        stack.wait_healthy("broker")
    assert session.close() == 0
    gone = next(c for c in stack.containers("proxy") if published(c) == ports[0])
    docker("kill", gone["Id"]).check()
    stack.login(ports[1]).check()
    reached(stack, "node-r1", "by the other proxy")


def test_nothing_was_lost_in_audit(stack):
    stack.wait_healthy()

    def missing():
        commands = "\n".join(e["command"] or "" for e in stack.events("--type=session.start,session.command,session.end"))
        return [tag for tag in TAGS if tag not in commands]

    until(60, "every session to be in the log", lambda: not missing())
    stack.exec("audit", "/usr/local/bin/remoteler-audit", "--healthcheck").check()
    verified = stack.tctl("audit", "verify", "--format=json", "--state=memory")
    if verified.code == 2:  # no such flag: its memory needs a place to be kept
        verified = stack.compose("exec", "-T", "-e", "HOME=/tmp", "auth", "tctl", "audit", "verify", "--format=json")
    assert verified.json["ok"], verified.out


# ---- another cluster ----

LEAF = "leaf.example"


def reaches(stack, service, host, port):
    probe = f"exec 3<>/dev/tcp/{host}/{port}"
    return stack.exec(service, "timeout", "3", "bash", "-c", probe).code == 0


def leaf_tctl(stack, *args):
    return stack.exec("leaf-auth", "tctl", *args)


def test_a_leaf_trusts_the_root_and_its_nodes_are_reached_through_it(stack):
    stack.profiles.append("leaf")
    stack.up().check()
    stack.wait_healthy("leaf-auth", "leaf-audit", "leaf-broker", "leaf-proxy", "leaf-a", "leaf-r1")
    until(60, "the leaf to trust the root", lambda: {
        c["State"]["ExitCode"] for c in stack.containers("leaf-trust") if c["State"]["Status"] == "exited"} == {0})

    def is_online():
        known = stack.tsh("clusters", "--format=json")
        return known.code == 0 and any(c["name"] == LEAF and c["status"] == "online" for c in known.json)

    until(60, "the leaf to be online at the root", is_online)
    names = {n["name"] for n in stack.tsh("ls", f"--cluster={LEAF}", "--format=json").check().json}
    assert names == {"leaf-a", "leaf-r1"}, names
    for node in sorted(names):
        until(60, f"ssh {node}.{LEAF}", lambda: stack.hostname_of(f"{node}.{LEAF}") == node)
    stack.ssh(f"leaf-r1.{LEAF}", "echo in-the-leaf").check()
    started = leaf_tctl(stack, "audit", "search", "--type=session.start", "--format=json").check().json
    there = [e for e in started if "in-the-leaf" in (e["command"] or "")]
    assert there and there[0]["user"].startswith("alice"), started
    at_root = [e for e in stack.events("--type=session.start") if "in-the-leaf" in (e["command"] or "")]
    assert not at_root, "what happens in the leaf is recorded in the leaf alone"


def test_the_leaf_reaches_the_roots_proxy_and_nothing_else_of_it(stack):
    for service in ("leaf-auth", "leaf-broker"):
        assert reaches(stack, service, "proxy", 3080), f"{service} does not reach the root's proxy"
        closed = [("postgres", "data", 5432), ("auth", "core", 3025), ("auth", "core", 3028),
                  ("audit", "core", 3041), ("node-a", "core", 3022), ("proxy", "between", 3024)]
        for what, network, port in closed:
            address = stack.container(what)["NetworkSettings"]["Networks"][f"{stack.project}_{network}"]["IPAddress"]
            assert not reaches(stack, service, address, port), f"{service} reaches the root's {what}:{port}"


def test_a_session_in_the_leaf_outlives_the_leafs_broker(stack):
    session = Session(stack, f"leaf-r1.{LEAF}")
    stack.kill("leaf-broker")
    session.echo(75)
    assert session.close() == 0
    stack.wait_healthy("leaf-broker")
    until(60, "a session in the leaf", lambda: stack.hostname_of(f"leaf-a.{LEAF}") == "leaf-a")
    stack.compose("rm", "--stop", "--force", *[s["Config"]["Labels"]["com.docker.compose.service"]
                                               for s in stack.containers() if "leaf-" in s["Name"]])
    stack.profiles.remove("leaf")


# ---- bad input ----


def once(stack, service, *flags, entrypoint=None, command=(), timeout=60):
    """The service's own container, changed as the flags say; it has to end by itself."""
    words = ["run", "--rm", "--no-deps", "-T", *flags]
    if entrypoint:
        words += ["--entrypoint", entrypoint]
    return stack.compose(*words, service, *command, timeout=timeout)


def refuses(done, words, code=None):
    said = done.out + done.err
    assert done.code != 0, f"it started: {said[-500:]}"
    assert code is None or done.code == code, (done.code, said[-500:])
    assert words in said, said[-800:]


def test_a_changed_cluster_name_is_refused(stack):
    for service in ("auth", "migrate"):
        done = once(stack, service, "-e", "REMOTELER_AUTH_CLUSTER=other.example",
                    "-e", "REMOTELER_AUTH_HEALTH_LISTEN=127.0.0.1:0")
        refuses(done, "this database is of the cluster root.example, not of other.example")


def test_a_wrong_key_file_is_refused(stack):
    quiet = ["-e", "REMOTELER_AUTH_HEALTH_LISTEN=127.0.0.1:0"]
    for content, mode, words in (
        ("1:" + "A" * 43 + "=\n", 0o600, "the key file is another one"),
        ("1:" + "A" * 43 + "=\n", 0o644, "others than its owner can read"),
        ("", 0o600, "it is empty"),
    ):
        secret = make_secret(stack, content, mode)
        refuses(once(stack, "auth", *quiet, *secret, "-e", "REMOTELER_AUTH_KEY_FILE=/run/secret"), words)
    refuses(once(stack, "auth", *quiet, "-e", "REMOTELER_AUTH_KEY_FILE=/nowhere"), "/nowhere")


def make_secret(stack, content, mode):
    path = stack.dir / "secret"
    path.unlink(missing_ok=True)
    path.write_text(content)
    os.chmod(path, mode)
    os.chown(path, 65532, 65532)
    return ["-v", f"{path}:/run/secret:ro"]


def make_state(stack, name):
    path = stack.dir / name
    path.mkdir(mode=0o700, exist_ok=True)
    os.chown(path, 65532, 65532)
    return path


def test_a_secret_that_is_empty_or_open_to_others_is_refused(stack):
    database = "host=postgres user=remoteler_auth dbname=remoteler passfile=/run/secret"
    for content, mode, words in (("", 0o600, "is empty"), ("*:*:*:*:x\n", 0o644, "others than its owner can read")):
        secret = make_secret(stack, content, mode)
        for service in ("proxy", "broker", "audit"):
            prefix = f"REMOTELER_{service.upper()}"
            done = once(stack, service, *secret, "-v", f"{make_state(stack, f'{service}-{mode}')}:/state",
                        "-e", f"{prefix}_JOIN_TOKEN_FILE=/run/secret", "-e", f"{prefix}_STATE_DIR=/state",
                        "-e", f"{prefix}_HEALTH_LISTEN=127.0.0.1:0")
            refuses(done, words, 2)
        refuses(once(stack, "auth", *secret, "-e", f"REMOTELER_AUTH_DATABASE={database}",
                     "-e", "REMOTELER_AUTH_HEALTH_LISTEN=127.0.0.1:0"), words)


def test_a_setting_that_is_missing_or_wrong_is_one_sentence(stack):
    refuses(once(stack, "proxy", "-e", "REMOTELER_PROXY_AUTH_ADDRESS="), "--auth-address is needed", 2)
    refuses(once(stack, "broker", "-e", "REMOTELER_BROKER_STATE_SLOTS=many"),
            'REMOTELER_BROKER_STATE_SLOTS: "many" is not a number', 2)
    refuses(once(stack, "auth", command=["--listen=nowhere"]), "--listen", 2)


def test_a_volume_that_is_read_only_or_full_is_said(stack):
    here = make_state(stack, "state")
    words = ["-e", "REMOTELER_BROKER_HEALTH_LISTEN=127.0.0.1:0", "-e", "REMOTELER_BROKER_STATE_DIR=/state"]
    refuses(once(stack, "broker", *words, "-v", f"{here}:/state:ro"), "Read-only file system", 2)
    run(["mount", "-t", "tmpfs", "-o", "size=4k,uid=65532,gid=65532,mode=0700", "tmpfs", here]).check()
    try:
        (here / "filler").write_bytes(b"x" * 4096)
        refuses(once(stack, "broker", *words, "-v", f"{here}:/state"), "No space left on device")
    finally:
        run(["umount", here])


def test_a_database_of_a_newer_version_is_refused(stack):
    sql = ["psql", "-h", "/run/postgresql", "-U", "postgres", "-d", "remoteler", "-qAtc"]
    newest = int(stack.exec("postgres", *sql, "SELECT max(version) FROM auth.schema_version").check().out)
    stack.exec("postgres", *sql, "INSERT INTO auth.schema_version SELECT max(version) + n, 'of a later release'"
                                 " FROM auth.schema_version, generate_series(1, 2) n GROUP BY n").check()
    try:
        for service in ("auth", "migrate"):
            done = once(stack, service, "-e", "REMOTELER_AUTH_HEALTH_LISTEN=127.0.0.1:0")
            refuses(done, "run the newer program")
    finally:
        stack.exec("postgres", *sql, f"DELETE FROM auth.schema_version WHERE version > {newest}").check()


def test_two_stacks_live_on_one_host_and_a_taken_port_is_said(stack):
    with_own_port = Stack(f"{stack.project}b", stack.dir.parent, REMOTELER_CLUSTER="second.example")
    try:
        with_own_port.env["REMOTELER_PORT"] = stack.env["REMOTELER_PORT"]
        done = with_own_port.up()
        assert done.code != 0 and "port is already allocated" in done.err + done.out, done.err + done.out
        with_own_port.env["REMOTELER_PORT"] = f"127.0.0.1:{with_own_port.port}"
        with_own_port.up().check()
        until(60, "the second stack's administrator", lambda: with_own_port.tctl("status").code == 0)
        first = stack.tctl("status", "--format=json").check().json
        second = with_own_port.tctl("status", "--format=json").check().json
        assert first["cluster"] == "root.example" and second["cluster"] == "second.example"
        assert first["ca_pin"] != second["ca_pin"]
        until(60, "the first stack to be as before", lambda: tagged(stack, "node-a").code == 0)
    finally:
        with_own_port.down("--volumes", "--remove-orphans")


def test_prometheus_sees_every_service(stack):
    name = f"remoteler/prometheus:{stack.env.get('REMOTELER_TAG', 'dev')}"
    if docker("image", "inspect", name).code != 0:
        raise Skip("the image prometheus is not built")
    port = s.free_port()
    stack.env["REMOTELER_PROMETHEUS_PORT"] = f"127.0.0.1:{port}"
    stack.profiles.append("observability")
    try:
        stack.up("prometheus").check()

        def targets_up():
            asked = run(["curl", "-fsS", f"http://127.0.0.1:{port}/api/v1/query?query=remoteler_ready"])
            return asked.code == 0 and {r["metric"]["job"] for r in asked.json["data"]["result"]
                                        if r["value"][1] == "1"} == {f"remoteler-{x}" for x in s.SERVICES}

        until(90, "every service to be ready in Prometheus", targets_up)
        rules = run(["curl", "-fsS", f"http://127.0.0.1:{port}/api/v1/rules"]).check().json
        assert len(rules["data"]["groups"]) > 0
    finally:
        stack.compose("rm", "--stop", "--force", "prometheus")
        stack.profiles.remove("observability")


# ---- running them ----


def take_tools(directory):
    """tsh for the host, out of the image."""
    tag = os.environ.get("REMOTELER_TAG", "dev")
    (directory / "bin").mkdir()
    held = docker("create", f"remoteler/tools:{tag}").check().out.strip()
    docker("cp", f"{held}:/usr/local/bin/tsh", directory / "bin" / "tsh").check()
    docker("rm", held)


def main():
    chosen = set(sys.argv[1:])
    directory = pathlib.Path(tempfile.mkdtemp(prefix="rl-containers-"))
    stack = Stack(f"rlt{os.getpid()}", directory)
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    try:
        take_tools(directory)
        for name, test in tests_of(globals(), chosen | {"test_from_nothing_to_the_first_ssh"} if chosen else None):
            counts[run_one(name, test, stack)] += 1
            if counts["FAILED"] and name == "test_from_nothing_to_the_first_ssh":
                break
        if counts["FAILED"]:
            print(stack.logs())
    finally:
        stack.profiles = ["*"]
        stack.down("--volumes", "--remove-orphans")
        shutil.rmtree(directory, ignore_errors=True)
    for what, figure in FIGURES.items():
        print(f"figure: {what}: {figure}")
    say_counts(counts)
    return 1 if counts["FAILED"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
