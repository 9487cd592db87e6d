"""Ways to a machine's shell, each set up, used and taken down in the same manner:

name            what it is called in tables
start(), stop() pairs.Failed when it can not be had here
ssh(command, options, flags)
                the words that run `command` there; `options` are OpenSSH settings for every
                connection on the way, `flags` go to the client alone
env             what those words are run with
versions()      of the programs in play
network         one sentence on what the bytes go through
"""

import os
import re
import subprocess

import pairs


def clean_env():
    """No agent and no other login takes part."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("REMOTELER_", "TSH_"))}
    kept.pop("SSH_AUTH_SOCK", None)
    return kept


def package_version(name):
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return done.stdout.decode().strip() or None


def negotiated(way, options):
    """What the client and the far end's SSH server settled on: key exchange, cipher both ways."""
    command = way.ssh("true", options, ["-v"])
    done = subprocess.run(
        command, env=way.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, timeout=60,
    )
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode != 0:
        raise pairs.Failed(f"{' '.join(command)}: exit {done.returncode}: {said[-2000:]}")
    # A jump host's client talks on the same standard error: the target comes last.
    exchange = re.findall(r"kex: algorithm: (\S+)", said)
    down = re.findall(r"kex: server->client cipher: (\S+)", said)
    up = re.findall(r"kex: client->server cipher: (\S+)", said)
    host_key = re.findall(r"kex: host key algorithm: (\S+)", said)
    return {"kex": exchange[-1], "host_key": host_key[-1], "cipher_down": down[-1], "cipher_up": up[-1]}
