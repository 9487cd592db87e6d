"""connect_proxy.py PORT_FILE LOG: an HTTP proxy that does CONNECT and nothing else, on a port of its own
choosing; each address that it was asked for is a line of the log."""

import asyncio
import pathlib
import sys


async def pour(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader, writer, log):
    head = await reader.readuntil(b"\r\n\r\n")
    method, address = head.split()[:2]
    if method != b"CONNECT":
        writer.close()
        return
    with open(log, "a", encoding="ascii") as f:
        f.write(address.decode() + "\n")
    host, port = address.decode().rsplit(":", 1)
    there, to_there = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pour(reader, to_there), pour(there, writer))


async def main(port_file, log):
    server = await asyncio.start_server(lambda r, w: serve(r, w, log), "127.0.0.1", 0)
    pathlib.Path(port_file).write_text(str(server.sockets[0].getsockname()[1]), encoding="ascii")
    await server.serve_forever()


asyncio.run(main(sys.argv[1], sys.argv[2]))
