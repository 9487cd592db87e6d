#!/usr/bin/env python3
"""What stock ssh runs to reach a node by a certificate of one's choice, at a proxy of one's choice:
as_holder.py HOST:PORT SNI CERTIFICATE KEY TARGET [CLUSTER]. After the handshake and the answer, bytes."""

import os
import select
import socket
import sys
import types

import strangers


def pump(s):
    """Either way, until either side is done."""
    while True:
        ready = [s] if s.pending() else select.select([s, sys.stdin.buffer], [], [])[0]
        if s in ready:
            data = s.recv(65536)
            if not data:
                return
            os.write(1, data)
        else:
            data = os.read(0, 65536)
            if not data:
                return
            s.sendall(data)


def main():
    address, sni, certificate, key, target, *cluster = sys.argv[1:]
    holder = types.SimpleNamespace(certificate=certificate, key=key)
    how = strangers.context(holder, ["remoteler-connect"])
    plain = socket.create_connection(strangers.address_of(address), timeout=10)
    with how.wrap_socket(plain, server_hostname=sni) as s:
        code, message = strangers.ask_to_connect(s, target.encode(), *(c.encode() for c in cluster))
        if code:
            sys.exit(f"as_holder: {code} {message}")
        s.settimeout(None)
        pump(s)


if __name__ == "__main__":
    main()
