"""What a hostile client needs: certificates of other parties, raw TLS, and calls that no stub would make."""

import base64
import contextlib
import os
import re
import socket
import ssl
import struct

from cluster import ROOT, run

PATIENCE_S = 5


def method_names():
    """Every "package.Service/Method" of the protocol files."""
    names = []
    for path in sorted((ROOT / "proto/remoteler/v1").glob("*.proto")):
        service = None
        for line in path.read_text().splitlines():
            if found := re.match(r"service (\w+)", line):
                service = found[1]
            elif line == "}":
                service = None
            elif service and (found := re.match(r"\s*rpc (\w+)", line)):
                names.append(f"{service}/{found[1]}")
    return names


# ---- certificates ----


def fields(packed):
    """The length-delimited fields of a protobuf message: (number, bytes)."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = packed[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(packed):
        key = varint()
        if key & 7 == 2:
            n = varint()
            yield key >> 3, packed[at : at + n]
            at += n
        elif key & 7 == 0:
            varint()
        else:
            raise ValueError(f"wire type {key & 7}")


def pem(label, der):
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n"


class Holder:
    """A certificate with its key, in files of their own."""

    def __init__(self, c, name, chain, key):
        self.name = name
        self.certificate, self.key = c.dir / f"{name}.crt", c.dir / f"{name}.key"
        self.certificate.write_text(chain)
        self.key.write_text(key)
        self.key.chmod(0o600)

    @property
    def curl_flags(self):
        return ["--cert", self.certificate, "--key", self.key]


def agent_of(c, node):
    """What whoever is root on that device has."""
    return member_of(c, node, f"agent-{node}")


def service_of(c, service):
    """What whoever took that service over has."""
    return member_of(c, service, f"service-{service}")


def member_of(c, directory, name):
    key, chain = "", ""
    for number, value in fields((c.run_dir / "state" / directory / "identity").read_bytes()):
        if number == 3:
            key = value.decode()
        elif number == 8:
            chain += pem("CERTIFICATE", value)
    return Holder(c, name, chain, key)


def user_of(c, home):
    profile = profile_of(home)
    return Holder(c, f"user-{home.name}", (profile / "tls.pem").read_text(), (profile / "tls.key").read_text())


def profile_of(home):
    return next((home / "profiles").iterdir())


def holder_of_bundle(c, name, path):
    text = path.read_text()
    blocks = re.findall(r"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n", text, re.S)
    assert "PRIVATE KEY" in blocks and "CERTIFICATE" in blocks, blocks
    of = lambda label: "".join(
        m[0] for m in re.finditer(rf"-----BEGIN {label}-----\n.*?-----END {label}-----\n", text, re.S)
    )
    return Holder(c, name, of("CERTIFICATE"), of("PRIVATE KEY"))


def self_signed(c, uri):
    """Whoever makes a certificate for himself, with the right name in it."""
    key, certificate = c.dir / "self.key.pem", c.dir / "self.crt.pem"
    run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=alice", "-addext", f"subjectAltName=URI:{uri}", "-addext", "extendedKeyUsage=clientAuth",
         "-keyout", key, "-out", certificate]
    ).check()
    return Holder(c, "self-signed", certificate.read_text(), key.read_text())


# ---- raw connections ----


def address_of(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def dial(c):
    s = socket.create_connection(address_of(c.env["REMOTELER_PROXY"]), timeout=PATIENCE_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_to_the_end(s):
    """What comes until the other side closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := s.recv(65536):
            data += more
    return data


def context(holder=None, alpn=()):
    how = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    how.check_hostname = False
    how.verify_mode = ssl.CERT_NONE
    if holder:
        how.load_cert_chain(holder.certificate, holder.key)
    if alpn:
        how.set_alpn_protocols(list(alpn))
    return how


def client_hello(sni, alpn=()):
    """The first flight of a stock client, not sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context(alpn=alpn).wrap_bio(incoming, outgoing, server_hostname=sni).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def refused_handshake(c, sni, alpn=(), holder=None):
    """Why a TLS client gets no further; None when it does. In TLS 1.3 a client that was not
    believed learns it with its first read."""
    try:
        with context(holder, alpn).wrap_socket(dial(c), server_hostname=sni) as s:
            s.sendall(b"\0")
            s.recv(1)
    except ssl.SSLError as reason:
        return str(reason)
    except socket.timeout:
        return None
    except OSError as reason:
        return str(reason)
    return None


def connect_request(holder, c, target, cluster=b"", kind=b"ssh"):
    """One remoteler-connect exchange: (code, message). Code 0: joined."""
    how = context(holder, ["remoteler-connect"])
    with how.wrap_socket(dial(c), server_hostname="proxy.dev.remoteler.internal") as s:
        return ask_to_connect(s, target, cluster, kind)


def ask_to_connect(s, target, cluster=b"", kind=b"ssh"):
    """The exchange itself, after a handshake."""
    body = b""
    for number, value in ((1, cluster), (2, kind), (3, target)):
        if value:
            body += bytes([number << 3 | 2]) + varint(len(value)) + value
    s.sendall(struct.pack(">I", len(body)) + body)
    head = b""
    while len(head) < 4 and (more := s.recv(4 - len(head))):
        head += more
    (n,) = struct.unpack(">I", head)
    answer = b""
    while len(answer) < n and (more := s.recv(n - len(answer))):
        answer += more
    code = answer[1] if answer[:1] == b"\x08" else 0
    return code, next((v.decode() for number, v in fields(answer) if number == 2), "")


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


# ---- calls ----


def call_all(c, service, names, holder=None, with_message=False, at=None, message=b""):
    """Calls each method over one connection, through the public port or at a listener behind it (`at`, its
    port): {method: grpc-status, or None where the connection was refused}. Without a message: a refusal
    that overtakes one confuses curl."""
    host, port = address_of(c.env["REMOTELER_PROXY"])
    if at:
        host, port = "127.0.0.1", at
    sni = f"{service}.dev.remoteler.internal"
    args = ["curl", "-sk", "--http2", "--max-time", "20", "--resolve", f"{sni}:{port}:{host}"]
    args += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-X", "POST"]
    if with_message:
        path = c.dir / "message.grpc"
        path.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        args += ["--data-binary", f"@{path}"]
    args += holder.curl_flags if holder else []
    args += ["-D", "-", "-w", "\nend %{url}\n"]
    for name in names:
        args += ["-o", os.devnull, f"https://{sni}:{port}/remoteler.v1.{name}"]
    out = run(args, timeout=30).out
    answers = {}
    for part, name in re.findall(r"(.*?)\nend https://.*?/remoteler.v1.(\S+)\n", out, re.S):
        status = re.search(r"^grpc-status: (\d+)", part, re.M | re.I)
        answers[name] = int(status[1]) if status else None
    return answers
