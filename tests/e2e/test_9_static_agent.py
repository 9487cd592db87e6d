"""The static agent: a device without a libc, a network with an HTTP proxy; what it takes and leaves."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

from cluster import Skip, Terminal, run, until
from device import Agent, binary, flags, in_root, make_root, on_small_pages, proxy_address, token, token_file
from test_4_links import drop
from test_8_recording import play, the_recording


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copies_both_ways(c, node, there):
    """A file by scp to the node and back."""
    source, back = c.dir / f"{node}-source", c.dir / f"{node}-back"
    source.write_bytes(os.urandom(3 << 20))
    scp = ["scp", "-q", "-F", c.ssh_config()]
    run([*scp, source, f"{node}:{there}"], env=c.env).check()
    run([*scp, f"{node}:{there}", back], env=c.env).check()
    assert digest(source) == digest(back)


def is_recorded(c, node):
    mark = f"shown-on-{node}"
    t = Terminal(["ssh", "-F", c.ssh_config(), "-tt", node], dict(c.env, TERM="xterm"))
    t.send(f"echo {mark[:3]}''{mark[3:]}\n")
    t.expect(mark)
    t.send("exit 3\n")
    assert t.wait() == 3
    r = the_recording(c, lambda r: r["node_name"] == node and r["interactive"] and r["status"] == "complete")
    assert mark in play(c, r["session_id"], "--format=text").check().out


SIZES_MB = {"amd64": 6.5, "arm64": 6, "armhf": 4.5}


def is_hardened(arch):
    """What a mistake in it could be used for: docs/decisions/0019."""
    path = binary(arch)
    shown = run(["readelf", "--wide", "--headers", path]).check().out
    stack = next(line for line in shown.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in shown and " WX" not in shown and "RW " in stack, shown
    assert "GNU_RELRO" in shown, shown
    assert "INTERP" not in shown and "DYNAMIC" not in shown, "it wants a loader, or libraries"
    assert ".symtab" not in shown, "it was not stripped"
    content = path.read_bytes()
    for word in (b"stack smashing detected", b"buffer overflow detected"):
        assert word in content, word
    assert len(content) <= SIZES_MB[arch] * 1e6, len(content)


def maps_nothing_writable_and_executable(agent):
    maps = pathlib.Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert not [line for line in maps.splitlines() if "w" in line.split()[1] and "x" in line.split()[1]], maps
    stack = next(line for line in maps.splitlines() if line.endswith("[stack]"))
    assert stack.split()[1] == "rw-p", stack


def ticks(agent):
    """Of the processor, hundredths of a second."""
    stat = pathlib.Path(f"/proc/{agent.process.pid}/stat").read_text()
    return sum(map(int, stat.rpartition(")")[2].split()[11:13]))


def test_the_file_is_hard_to_use_against_itself(c):
    is_hardened("amd64")


def test_a_device_without_a_libc_and_with_a_read_only_root(c):
    root = make_root(c, binary("amd64"))
    command = in_root(root, "/remoteler", *flags(c, "bare", "--state=memory", f"--token={token(c, 'bare')}"))
    with Agent(c, "bare", command).wait_until_online() as agent:
        assert c.ssh("bare", "echo $((6 * 7)); ls /").check().out == "42\nbin\ndev\netc\nproc\nremoteler\nrun\n"
        assert c.ssh("bare", "echo x > /file").code == 1
        assert c.ssh("bare", "hostname").out == "bare\n"
        copies_both_ways(c, "bare", "/run/copied")
        is_recorded(c, "bare")
        kept = pathlib.Path(f"/proc/{agent.process.pid}/root/run/remoteler")
        assert sorted(p.name for p in kept.iterdir()) == ["empty", "lock", "status.sock"]
        assert not list((kept / "empty").iterdir())
        status = run(["nsenter", f"--target={agent.process.pid}", "--mount", f"--root=/proc/{agent.process.pid}/root",
                      "/remoteler", "status", "--format=json"]).check().json
        assert status["connected"] and status["name"] == "bare", status


def test_nothing_is_written_while_idle_and_little_is_taken(c):
    data = c.dir / "idle"
    with contextlib.ExitStack() as stack:
        program = stack.enter_context(on_small_pages(c, binary("amd64")))
        command = [program, *flags(c, "idle", f"--data-dir={data}", token_file(c, "idle"))]
        agent = stack.enter_context(Agent(c, "idle", command).wait_until_online())
        assert c.ssh("idle", "true").code == 0
        proc = pathlib.Path(f"/proc/{agent.process.pid}")

        def state():
            files = {p: (p.lstat().st_mtime_ns, p.lstat().st_ctime_ns) for p in (data, *data.rglob("*"))}
            return files, (proc / "io").read_text().split("write_bytes:")[1], agent.log.stat().st_size

        until(10, "the session's events to be in audit", lambda: (data / "events").stat().st_size == 0)
        before, cpu = state(), ticks(agent)
        time.sleep(8)
        assert state() == before
        assert ticks(agent) - cpu <= 2
        maps_nothing_writable_and_executable(agent)
        rss = next(l for l in (proc / "status").read_text().splitlines() if l.startswith("VmRSS"))
        assert int(rss.split()[1]) <= 5000, rss


def test_the_way_out_may_be_an_http_proxy(c):
    program = shutil.which("tinyproxy")
    if not program or not c.netns:
        raise Skip("no tinyproxy, or no network namespace here")
    conf, log = c.dir / "tinyproxy.conf", c.dir / "tinyproxy.log"
    gateway = run(["ip", "-n", c.router, "-4", "-o", "addr", "show", "dev", "lan"]).check().out.split()[3].split("/")[0]
    port = proxy_address(c).rpartition(":")[2]
    conf.write_text(f'Port 3128\nListen {gateway}\nTimeout 600\nLogFile "{log}"\nLogLevel Connect\n'
                    f"BasicAuth us er\nConnectPort {port}\n")
    rule = "nft add rule inet router input iifname lan tcp dport 3128 accept"
    run(["ip", "netns", "exec", c.router, *rule.split()]).check()
    way = subprocess.Popen(["ip", "netns", "exec", c.router, program, "-d", "-c", str(conf)],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"{gateway}:3128"
    common = flags(c, "inside", f"--data-dir={c.dir}/inside", token_file(c, "inside"))
    drop(c, True)  # nothing is forwarded: there is no other way
    try:
        with Agent(c, "inside", [binary("amd64"), *common], {"HTTPS_PROXY": f"http://us:wrong@{url}"}) as agent:
            until(10, "the proxy's refusal in the log", lambda: "401" in agent.log.read_text() or "407" in agent.log.read_text())
            assert "wrong" not in agent.log.read_text()
        with Agent(c, "inside", [binary("amd64"), *common], {"HTTPS_PROXY": f"http://us:er@{url}"}).wait_until_online():
            assert c.ssh("inside", "hostname").check().out == "inside\n"
            c.wait_for_event(lambda e: e["type"] == "session.end" and e["resource"]["name"] == "inside")
        assert "CONNECT" in log.read_text(), log.read_text()
    finally:
        drop(c, False)
        way.terminate()
        way.wait()


def test_without_a_link_it_tries_quietly(c):
    command = [binary("amd64"), *flags(c, "lost", f"--data-dir={c.dir}/lost", token_file(c, "lost"))]
    with Agent(c, "lost", command).wait_until_online() as agent:
        routes = c.in_device("ip", "route", "show", "default").check().out.split()
        said, cpu = len(agent.log.read_text().splitlines()), ticks(agent)
        c.in_device("ip", "link", "set", "eth0", "down").check()
        try:
            time.sleep(15)
            lines = agent.log.read_text().splitlines()[said:]
            assert 1 <= len(lines) <= 6, lines
            assert ticks(agent) - cpu <= 10, ticks(agent) - cpu
        finally:
            c.in_device("ip", "link", "set", "eth0", "up").check()
            c.in_device("ip", "route", "add", *routes)
        took = until(40, "a session after the link came back", lambda: c.ssh("lost", "true").code == 0)
        assert took <= 5, f"back after {took:.1f} s"


def test_it_is_installed_as_a_service(c):
    agent, root = binary("amd64"), c.dir / "image"
    for init, file in (("systemd", "etc/systemd/system/remoteler.service"), ("openrc", "etc/init.d/remoteler")):
        install = [agent, "install", init, f"--root={root}", "--binary=/usr/local/bin/remoteler"]
        assert "written" in run(install).check().err
        text = (root / file).read_text()
        assert "/usr/local/bin/remoteler" in text and "--config=/etc/remoteler.yaml" in text, text
        before = (root / file).stat().st_mtime_ns
        assert "already" in run(install).check().err
        assert (root / file).stat().st_mtime_ns == before
        assert run([*install, "--print"]).check().out == text
    assert os.access(root / "etc/init.d/remoteler", os.X_OK)
    assert run([agent, "install", "runit"]).code == 1
    assert run([agent, "install", "systemd", f"--root={root}", "--binary=/a b"]).code == 1
    written = run([agent, "configure", "--proxy=root.example.com:443", "--labels=a=b,c=d", "--state=memory",
                   "--nodename=n", "--https-proxy=http://p:1"]).check().out
    (c.dir / "written.yaml").write_text(written)
    again = run([agent, "configure", f"--config={c.dir}/written.yaml"]).check().out
    assert again == written and "root.example.com:443" in written and "roles" not in written, written
    assert run([agent, "configure", "--proxy=a:1", "--auth-server=b:1"]).code == 2
