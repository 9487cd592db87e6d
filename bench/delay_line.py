"""A delay line: a TCP relay that keeps every byte for a while, each way, and lets it go in order. In user
space, so that it needs no right to change an interface; as fast as it is fed, but for the delay.

    python3 delay_line.py LISTEN_ADDRESS TARGET_ADDRESS TARGET_PORT DELAY_MS

prints its port and runs until it is ended."""

import queue
import signal
import socket
import sys
import threading
import time

PART_BYTES = 1 << 18
# On the line at once, each way: more than a fast connection sends in the delay.
LINE_PARTS_MAX = 512


def shut(end, how):
    try:
        end.shutdown(how)
    except OSError:
        pass  # it is gone already


def put_on_line(source, line, delay_s):
    """The end of what there is to read is delayed like the rest."""
    part = b"more"
    while part:
        try:
            part = source.recv(PART_BYTES)
        except OSError:
            part = b""
        line.put((time.monotonic() + delay_s, part))


def take_off_line(line, sink):
    part, works = b"more", True
    while part:
        due, part = line.get()
        wait_s = due - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        try:
            if part and works:
                sink.sendall(part)
        except OSError:
            works = False  # what still comes goes nowhere
    shut(sink, socket.SHUT_WR)


def one_way(source, sink, delay_s):
    line = queue.Queue(LINE_PARTS_MAX)
    threads = [threading.Thread(target=put_on_line, args=(source, line, delay_s), daemon=True),
               threading.Thread(target=take_off_line, args=(line, sink), daemon=True)]
    for thread in threads:
        thread.start()
    return threads


def join_ends(near, target, delay_s):
    """The connection through the line costs the delay, too, as it would on a long way."""
    time.sleep(delay_s)
    try:
        far = socket.create_connection(target, 10)
    except OSError:
        near.close()
        return
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for thread in one_way(near, far, delay_s) + one_way(far, near, delay_s):
        thread.join()
    near.close()
    far.close()


def serve(listener, target, delay_s):
    while True:
        near, _ = listener.accept()
        threading.Thread(target=join_ends, args=(near, target, delay_s), daemon=True).start()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    address, target, port, delay_ms = sys.argv[1:]
    with socket.create_server((address, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(listener, (target, int(port)), float(delay_ms) / 1e3)


if __name__ == "__main__":
    main()
