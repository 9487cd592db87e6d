#!/usr/bin/env python3
"""A transport that was taken over: each lie is refused by the monitor, the connection ends, nothing runs.
Usage: sshd_lies_test.py LYING_HARNESS [sanitized]"""
import os
import subprocess
import sys

from ssh_fixture import USER, Server, run_in_place

LIES = {
    "session-before-login": '"start" is not asked now',
    "window-before-login": '"window" is not asked now',
    "login-before-keys": "before the key exchange",
    "sign-anything": "no exchange hash",
    "second-exchange": "a second key exchange before the login",
    "another-version": "versions are not ours",
    "another-cookie": "not of this connection",
    "another-host": "K_S is not this host's",
    "another-exchange": "no known key exchange",
    "old-exchange": "not of this connection",
    "old-login": "signature is not by this key",
    "another-login": "signature is not by this key",
    "second-login": '"verify" is not asked now',
    "another-channel": "malformed request for a session",
    "descriptor": "descriptors from the transport",
    "unknown-message": "unknown message 50",
    "deaf": "takes no messages",
    "cut-message": "malformed request for a session",
    "signal-before-login": '"signal" is not asked now',
    "forward-before-login": '"forward" is not asked now',
    "closed-before-login": '"closed" is not asked now',
    "active-before-login": '"active" is not asked now',
    "monitors-message": "unknown message 65",
    "oversized-message": "an oversized message",
    "changed-certificate": "signature is not by this key",
    "changed-signature": "signature is not by this key",
    "another-service": "malformed proof of a login",
    "another-algorithm": "signature algorithm does not suit",
    "listen-before-login": '"listen" is not asked now',
    "unlisten-before-login": '"unlisten" is not asked now',
    "agent-without-session": "malformed request to listen",
    "port-too-high": "malformed request to listen",
    "cut-listen": "malformed request to listen",
    "another-kind-of-forward": "malformed request to forward",
    "long-modes": "malformed request for a session",
    "agent-and-a-half": "malformed request for a session",
    "query-after-login": '"query" is not asked now',
    "sign-after-login": "no exchange hash",
    "forward-on-another-channel": "malformed request to forward",
    "cut-forward": "malformed request to forward",
    "cut-window": "malformed window size",
    "cut-signal": "malformed signal",
    "cut-notice": "malformed notice",
    "activity-with-more": "malformed notice",
    "cut-farewell": "malformed notice",
    "unknown-kind": "malformed request for a session",
    "long-command": "malformed request for a session",
    "command-with-nul": "malformed request for a session",
    "long-environment": "malformed request for a session",
    "long-terminal": "malformed request for a session",
    "more-than-a-start": "malformed request for a session",
}
# Well-formed: nothing is a lie in them, and nothing comes of them. What the monitor wrote down, if anything.
IN_VAIN = {
    "terminal": (["--no-pty"], "no terminal is allowed here"),
    "another-subsystem": ([], "the only subsystem here is sftp"),
    "forward": (["--no-forwarding"], "your roles allow no forwarding"),
    "listener": (["--no-forwarding"], "your roles allow no forwarding"),
    "metadata-address": ([], "link-local and metadata addresses are not reachable"),
    "start-after-farewell": ([], "the connection ended: farewell"),
    "window-of-no-session": ([], ""),
    "signal-of-no-session": ([], ""),
    "closed-of-no-session": ([], ""),
}
FORBIDDEN_CALLS = ("socket", "file", "program", "signal")


def order(place, name):
    return {"RL_LIE": f"{name}:{place.dir}"}


def lie(c, place, program, name, why):
    s = Server(place, program, "--login=root", f"--login={USER}", "--login=nobody", env=order(place, name))
    try:
        got = s.ssh("echo RAN", timeout=20)
        s.wait(r"^served ")
        refused = f"served PERMISSION_DENIED refused, connection ended: " in s.log and why in s.log
        c.true(f"refuses {name}", got[0] == 255 and b"RAN" not in got[1] and refused and "session.start" not in s.log,
               (got, s.log))
    finally:
        s.close()


def in_vain(c, place, program, name, flags, why):
    s = Server(place, program, "--login=root", *flags, env=order(place, name))
    try:
        try:
            got = s.ssh("echo RAN", timeout=5)
        except subprocess.TimeoutExpired:  # it waits for an answer to what the transport did not pass on
            got = (255, b"", "")
        else:
            s.wait(r"^event client.disconnect")
        c.true(f"nothing comes of {name}",
               got[0] != 0 and b"RAN" not in got[1] and why in s.log and "event session.start" not in s.log, (got, s.log))
    finally:
        s.close()


def forbidden_call(c, place, program, name):
    s = Server(place, program, "--login=root", env=order(place, name))
    try:
        got = s.ssh("echo RAN", timeout=20)
        s.wait(r"^event client.disconnect")
        c.true(f"no {name} from the transport", got[0] == 255 and "ended by signal SYS" in s.log, (got, s.log))
    finally:
        s.close()


def all_parts(c, place):
    program = os.path.abspath(sys.argv[1])
    s = Server(place, program, "--login=root", env=order(place, "record"))
    c.equal("the honest one works", s.out("echo RAN"), "RAN\n")
    c.true("and its messages were kept", os.path.getsize(place.path("sign")) and os.path.getsize(place.path("verify")))
    s.close()
    for name, why in LIES.items():
        c.run(lie, place, program, name, why)
    for name, (flags, why) in IN_VAIN.items():
        c.run(in_vain, place, program, name, flags, why)
    for name in FORBIDDEN_CALLS if "sanitized" not in sys.argv else ():
        c.run(forbidden_call, place, program, name)


if __name__ == "__main__":
    sys.exit(run_in_place(all_parts))
