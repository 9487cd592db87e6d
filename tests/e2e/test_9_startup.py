"""How a service starts: what it is told by, what it waits for, and what it refuses."""

import json
import os
import signal
import subprocess
import urllib.parse

from cluster import run, until

STARTS_S = 20
NOWHERE = "127.0.0.1:1"


def program(c, kind):
    return os.readlink(f"/proc/{c.process(kind)['pid']}/exe")


def health_address(c, name):
    return urllib.parse.urlsplit(c.process(name)["health_url"]).netloc


def broker(c, *flags, env=None, token=None, mode=0o600):
    """One that has nobody to join: its words, and the command."""
    if token is not None:
        path = c.dir / "a.token"
        path.unlink(missing_ok=True)
        path.write_text(token)
        path.chmod(mode)
        flags = (*flags, f"--join-token-file={path}")
    command = [program(c, "broker"), "--health-listen=127.0.0.1:0", "--ca-pin=sha256:" + "0" * 64,
               f"--auth-address={NOWHERE}", f"--auth-control-address={NOWHERE}", *flags]
    return command, dict(os.environ, **(env or {}))


def refused(command, env, words, code=2):
    done = run(command, timeout=STARTS_S, env=env)
    assert done.code == code, (done.code, done.err[-500:])
    assert words in done.err, done.err[-500:]


def test_each_service_answers_for_its_health(c):
    for name in ("auth", "audit", "broker", "proxy"):
        address, words = health_address(c, name), [program(c, name), "--healthcheck"]
        run([*words, f"--health-listen={address}"]).check()
        by_variable = {f"REMOTELER_{name.upper()}_HEALTH_LISTEN": address}
        run(words, env=dict(os.environ, **by_variable)).check()
        run([*words, f"--health-listen={NOWHERE}"]).check(1)
        run([*words, "--health-listen=nowhere"]).check(2)
    run([program(c, "node-r1"), "status", "--healthcheck", f"--data-dir={c.run_dir}/state/node-r1"]).check()
    run([program(c, "node-r1"), "status", "--healthcheck", f"--data-dir={c.dir}"]).check(1)


def test_a_service_that_waits_says_for_what_and_ends_when_it_is_asked_to(c):
    command, env = broker(c, token="secret\n", env={"REMOTELER_BROKER_STATE_DIR": str(c.dir / "waiting")})
    log = c.dir / "waiting.log"
    with log.open("wb") as to:
        child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=to)
    try:
        until(STARTS_S, "it to say for what it waits", lambda: "waiting for auth" in log.read_text())
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(STARTS_S) == 0, log.read_text()


def test_replicas_share_a_directory_and_one_too_many_is_refused(c):
    shared = c.dir / "shared"
    shared.mkdir(mode=0o700)
    command, env = broker(c, f"--state-dir={shared}", "--state-slots=2", token="secret\n")
    children = [subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for _ in range(2)]
    try:
        until(STARTS_S, "each to have a part", lambda: all((shared / n / "identity").exists() for n in "01"))
        refused(command, env, f"all 2 parts of {shared} are in use")
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        assert [child.wait(STARTS_S) for child in children] == [0, 0]


def test_a_wrong_or_missing_setting_is_one_sentence(c):
    state = f"--state-dir={c.dir}/none"
    for token, mode, words in (("", 0o600, "is empty"), ("secret\n", 0o644, "others than its owner can read")):
        refused(*broker(c, state, token=token, mode=mode), words)
    refused(*broker(c, state), "set join-token-file to a file with a token")
    refused(*broker(c, state, "--join-token-file=/nowhere"), "join-token-file: reading /nowhere")
    refused(*broker(c, state, "--ca-pin=@/nowhere", token="secret\n"), "--ca-pin: reading /nowhere")
    refused(*broker(c, env={"REMOTELER_BROKER_DRAIN": "soon"}), 'REMOTELER_BROKER_DRAIN: "soon"')
    refused([program(c, "auth")], dict(os.environ), "REMOTELER_AUTH_DATABASE in the environment")
    for content, mode, words in (("", 0o600, "is empty"), ("*:*:*:*:x\n", 0o644, "(mode 644): chmod 600 it")):
        passfile = c.dir / "passfile"
        passfile.write_text(content)
        passfile.chmod(mode)
        done = run([program(c, "auth"), f"--database=host=127.0.0.1 passfile={passfile}", "--key-file=/nowhere",
                    "--health-listen=127.0.0.1:0"], timeout=STARTS_S)
        assert done.code != 0 and words in json.loads(done.err.strip().splitlines()[-1])["error"], done.err
